"""Check the documents: each test, file and link that they name exists, and the changelog has the version."""

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from cexup import __version__
from devices.tests import conftest
from devices.tests.support.services.server import ROOT

TESTS = list((ROOT / "devices/tests").rglob("test_*.py"))
NAMES = {name for path in TESTS for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
NAMES |= {f"{path.parent.name}/{path.name}" for path in TESTS}
VERIFIED = "security", "security-inventory", "asvs", "reliability", "performance"
DOCUMENTS = [ROOT / "docs" / f"{name}.md" for name in VERIFIED]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "bench/results").glob("*.md")])
CURRENT = [page for page in PAGES if not re.match(r"\d", page.name)]  # others name the files of their date
SECTIONS = ["Context", "Decision", "Consequences"]
REQUIREMENTS = 253  # of OWASP ASVS 5.0.0, levels 1 and 2


def test_pytest_collects_every_test_file(pytestconfig: pytest.Config) -> None:
    roots = [ROOT / path for path in pytestconfig.getini("testpaths")]
    files = [path for name in ("bench", "cexup", "devices") for path in (ROOT / name).rglob("test_*.py")]
    assert [path for path in files if not any(root in path.parents for root in roots)] == []


def test_modules_that_get_markers_exist() -> None:
    modules = {*conftest.SLOW, *conftest.WITH_THEIR_DATABASE}
    assert modules - NAMES == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_test_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`((?:\w+/)?test_\w+(?:\.py)?)`", document.read_text()))
    assert len(named) > 5
    assert named - NAMES == set()


@pytest.mark.parametrize("page", CURRENT, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_path_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"`((?:bench|cexup|deploy|devices|docs|templates)/[\w./*-]*)`", page.read_text()))
    assert {name for name in named if not any(ROOT.glob(name))} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for link in set(re.findall(r"\]\(([^)\s]+)\)", text)):
        name, _hash, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not re.match(r"(https?|mailto):", link):
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_version_is_the_newest_of_the_changelog() -> None:
    versions = re.findall(r"^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == __version__


def test_each_decision_has_a_header_and_is_in_the_index() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text()
    for path in (ROOT / "docs/decisions").glob("0*.md"):
        text = path.read_text()
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        assert re.search(r"^- Status: .+\n- Date: \d{4}-\d\d-\d\d$", text, re.MULTILINE), path.name
        assert re.findall(r"^## (Context|Decision|Consequences)$", text, re.MULTILINE) == SECTIONS, path.name
        assert f"]({path.name})" in index


def test_each_requirement_of_asvs_has_a_state_and_evidence() -> None:
    lines = (ROOT / "docs/asvs.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if re.match(r"\| \d+\.\d+\.\d+ ", line)]
    assert len({row[0] for row in rows}) == len(rows) == REQUIREMENTS
    states = Counter(row[3] for row in rows)
    assert set(states) == {"met", "n/a", "not met"}
    assert states["not met"] <= 5
    head = "\n".join(lines[:10])
    for state, name in {"met": "Met", "n/a": "Not applicable", "not met": "Not met"}.items():
        assert f"{name}: {states[state]}" in head
    assert all(len(row) == 5 and row[4] for row in rows)


@pytest.mark.parametrize(("name", "least"), [("security", 40), ("reliability", 20), ("performance", 5)])
def test_each_guarantee_names_the_test_that_verifies_it(name: str, least: int) -> None:
    guarantees = 0
    heading: list[str] = []
    for line in (ROOT / f"docs/{name}.md").read_text().splitlines():
        row = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        if not row:
            heading = []
        elif not heading:
            heading = row
        elif heading[-1] == "verified by" and not row[0].startswith("---"):
            assert len(row) == len(heading), row
            assert re.search(r"`(?:\w+/)?test_", row[-1]), row
            guarantees += 1
    assert guarantees > least


def test_each_table_of_security_is_of_guarantees() -> None:
    lines = (ROOT / "docs/security.md").read_text().splitlines()
    headings = {before for before, line in itertools.pairwise(lines) if line.startswith("|---")}
    assert headings == {"| guarantee | how | verified by |"}
