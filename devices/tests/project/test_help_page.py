"""The help page of the admin has the current guide. `make docs` writes it."""

import os

import pytest

from devices.tests.support import guide


@pytest.mark.parametrize("language", guide.GUIDES)
def test_help_page_has_the_current_guide(language: str) -> None:
    path, rendered = guide.template_of(language), guide.render(language)
    if os.environ.get("WRITE_DOCS"):
        path.write_text(rendered)
    assert path.read_text() == rendered
