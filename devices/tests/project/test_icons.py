"""The font of icons has each icon that a page names. An icon that is not in the font appears as its name."""

import re

from devices.tests.support.services.server import ROOT

ICONS = set((ROOT / "devices/static/devices/icons.txt").read_text().split())
IN_CODE = re.compile(r"""\bicon["']?\s*[=:]\s*["']([a-z0-9_]+)["']""")
IN_MARKUP = re.compile(r"material-symbols-outlined[^>]*>\s*([a-z0-9_]+)\s*<")


def test_each_icon_of_a_page_is_in_the_font() -> None:
    code = [*(ROOT / "devices/admin").glob("*.py"), *(ROOT / "cexup").glob("*.py")]
    templates = sorted((ROOT / "templates").rglob("*.html"))
    used = {
        (path.name, icon)
        for path in (*code, *templates)
        for pattern in (IN_CODE, IN_MARKUP)
        for icon in pattern.findall(path.read_text())
    }
    assert len(used) > 20
    assert sorted(pair for pair in used if pair[1] not in ICONS) == []
