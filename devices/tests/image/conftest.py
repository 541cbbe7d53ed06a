"""The image of this checkout, built once. `make test-image` runs these tests, and no other command does."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.tests.support.services import image
from devices.tests.support.services.image import Image

REASON = "It takes minutes, as root, and downloads a base: `make test-image` runs it."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("IMAGE") != "full":
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=REASON))


@pytest.fixture(scope="session", name="image")
def built_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if missing := image.what_is_missing():
        pytest.exit(missing, 1)
    with image.built(tmp_path_factory.mktemp("image")) as found:
        yield found
