"""`make drill` runs the commands of the pages about backups. Without a drill, these tests check what it would run."""

import configparser
import re

import pytest

from devices.tests.support.drill import pages
from devices.tests.support.services.server import ROOT


@pytest.mark.parametrize("name", ["postgresql", "sqlite"])
def test_drill_runs_each_section_with_commands(name: str) -> None:
    code = (ROOT / f"devices/tests/drill/test_{name}.py").read_text()
    sections = pages.sections(f"backup-{name}")
    assert len(sections) >= 3
    assert [heading for heading in sections if f'"{heading}"' not in code] == []


def test_overview_has_no_commands_of_backups_that_no_drill_runs() -> None:
    sections = pages.sections("backup-and-restore")
    assert sections.keys() <= {"Move from SQLite to PostgreSQL"}


def test_command_that_continues_on_the_next_line_is_one_command() -> None:
    commands = pages.sections("backup-and-restore")["Move from SQLite to PostgreSQL"]
    assert "manage.py dumpdata --output dump.json" in commands
    assert all(not command.endswith("\\") for command in commands)


def test_stanza_and_data_directory_of_pgbackrest_are_those_of_the_page() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "deploy/pgbackrest.conf")
    text = (ROOT / "docs/operations/backup-postgresql.md").read_text()
    [stanza] = set(re.findall(r"--stanza=(\w+)", text))
    assert config[stanza]["pg1-path"] in text
    assert config["global"]["repo1-cipher-type"] == "aes-256-cbc"
    assert "repo1-cipher-pass" not in config["global"]
