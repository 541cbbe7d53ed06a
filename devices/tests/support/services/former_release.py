"""The code of the last release, from the history of the repository."""

import io
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from devices.tests.support.services.server import ROOT

RELEASED = re.compile(r"^## \[(\d+\.\d+\.\d+)\]", re.MULTILINE)


def extract(folder: Path) -> None:
    """Write the code of the last release to the folder. Skip the test if the clone lacks it."""
    archive = git("archive", released_commit())
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")


def migrations() -> list[str]:
    """Return the names of the migrations of the last release. Skip the test if the clone lacks it."""
    paths = git("ls-tree", "--name-only", released_commit(), "devices/migrations/").decode().split()
    return sorted(Path(path).stem for path in paths if Path(path).name[0].isdigit())


def released_commit() -> str:
    """Return the commit of the last release. Skip the test if the clone lacks it."""
    version = last_version()
    commit = find_commit(version)
    if not commit:
        pytest.skip(f"This clone has no history with version {version}. Clone it without --depth.")
    return commit


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def last_version() -> str:
    """Return the newest version that CHANGELOG.md describes as released."""
    return RELEASED.findall((ROOT / "CHANGELOG.md").read_text())[0]


def find_commit(version: str) -> str:
    """Return the commit of the tag with this version, or that set the version; an empty text if there is none."""
    for find in (
        ["rev-parse", "--quiet", "--verify", f"refs/tags/{version}^{{commit}}"],
        ["log", "--first-parent", "-1", "--format=%H", f'-S"{version}"', "--", "cexup/__init__.py"],
    ):
        found = subprocess.run(["git", *find], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        if found and found not in first_commits():
            return found
    return ""


def first_commits() -> str:
    """Return the first commits of a clone with `--depth`, which seem to add all lines. A full clone has none."""
    path = ROOT / git("rev-parse", "--git-path", "shallow").decode().strip()
    return path.read_text() if path.exists() else ""
