"""The templates use only utility classes that a style sheet defines. The library's style sheet is compiled."""

import re
from pathlib import Path

import unfold

from devices.tests.support.services.server import ROOT

SHEETS = [
    Path(unfold.__file__).parent / "static/unfold/css/styles.css",
    *(ROOT / "devices/static/devices").glob("*.css"),
]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
CLASS_ATTRIBUTE = re.compile(r'\bclass="([^"]*)"')
TAG = re.compile(r"{%.*?%}|{{.*?}}")


def test_each_class_with_a_variant_is_defined() -> None:
    """`xl:hidden` has no effect if the style sheet has only `xl:hidden!`."""
    defined = {name for sheet in SHEETS for name in _names(sheet.read_text())}
    used = {
        (template.name, name)
        for template in TEMPLATES
        for classes in CLASS_ATTRIBUTE.findall(template.read_text())
        for name in TAG.sub(" ", classes).split()
        if ":" in name
    }
    assert len(used) > 100
    assert sorted(pair for pair in used if pair[1] not in defined) == []


def _names(css: str) -> list[str]:
    """Return the names of classes without escapes. The escape of a first digit is its code: `.\\32 xl`."""
    names = re.findall(r"\.((?:\\3\d |\\.|[\w-])+)", css)
    return [re.sub(r"\\(?:3(\d) |(.))", r"\1\2", name) for name in names]
