"""The site that all tests of this folder use. Its machines are network namespaces."""

from collections.abc import Iterator

import pytest

from devices.tests.support.services.site.load import FULL
from devices.tests.support.services.site.whole import Site, missing, running_site


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    if reason := missing():
        (pytest.fail if FULL else pytest.skip)(reason)
    with running_site() as site:
        yield site
