"""Each test that the documents name as what holds a promise exists."""

import re
from collections import Counter
from pathlib import Path

import pytest

from devices.tests.conftest import ROOT

TESTS = [*(ROOT / "devices/tests").glob("test_*.py"), *(ROOT / "tests").rglob("test_*.py")]
NAMES = {name for path in TESTS for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
NAMES |= {path.name for path in TESTS}
DOCUMENTS = [ROOT / "docs" / f"{name}.md" for name in ("security", "security-inventory", "asvs", "reliability")]
REQUIREMENTS = 253  # of OWASP ASVS 5.0.0, levels 1 and 2


def test_pytest_without_arguments_runs_every_file_of_tests(pytestconfig: pytest.Config) -> None:
    roots = [ROOT / path for path in pytestconfig.getini("testpaths")]
    files = [path for name in ("bench", "cexup", "devices", "tests") for path in (ROOT / name).rglob("test_*.py")]
    assert [path for path in files if not any(root in path.parents for root in roots)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_test_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`(test_\w+(?:\.py)?)`", document.read_text()))
    assert len(named) > 5
    assert named - NAMES == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_file_that_a_document_names_exists(document: Path) -> None:
    named = set(re.findall(r"`((?:cexup|deploy|devices|docs|templates)/[\w./-]+\.\w+)`", document.read_text()))
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_each_requirement_of_asvs_has_a_state_and_what_verifies_it() -> None:
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


def test_each_promise_of_security_names_what_holds_it() -> None:
    lines = (ROOT / "docs/security.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    promises = [row for row in rows if row[0] != "promise" and not row[0].startswith("---")]
    assert len(promises) > 40
    for row in promises:
        assert len(row) == 3, row
        assert "`test_" in row[2], row
