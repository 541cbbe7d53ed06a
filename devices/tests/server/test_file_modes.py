"""Files that the registry creates are readable by their owner only, for every umask at its start."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from devices.tests.support.services.server import ROOT, served_from, serving

USUAL_UMASK = 0o022  # of most shells and services


def manage(environment: dict[str, str], *words: str) -> None:
    command = [sys.executable, "manage.py", *words]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, umask=USUAL_UMASK)


def modes(folder: Path) -> dict[str, str]:
    return {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running server with its database and an export."""
    folder = tmp_path_factory.mktemp("files")
    environment = served_from(f"sqlite:///{folder / 'registry.sqlite3'}")
    manage(environment, "migrate", "-v0")
    before = os.umask(USUAL_UMASK)
    try:
        with serving(environment) as port:
            assert urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=120).status == 200
            manage(environment, "create_api_key", "tests")
            manage(environment, "export_devices", str(folder / "export.csv"))
            yield folder
    finally:
        os.umask(before)


def test_database_files_are_readable_by_their_owner_only(data_folder: Path) -> None:
    found = modes(data_folder)
    assert {"registry.sqlite3", "registry.sqlite3-wal", "registry.sqlite3-shm"} <= set(found)
    assert set(found.values()) == {"0o600"}


def test_export_is_readable_by_its_owner_only(data_folder: Path) -> None:
    assert modes(data_folder)["export.csv"] == "0o600"


def test_static_files_are_public(tmp_path: Path) -> None:
    settings = tmp_path / "static_settings.py"
    settings.write_text(f"from cexup.settings import *\nSTATIC_ROOT = {str(tmp_path / 'static')!r}\n")
    environment = {**served_from("sqlite://:memory:"), "DJANGO_SETTINGS_MODULE": "static_settings"}
    manage(environment | {"PYTHONPATH": str(tmp_path)}, "collectstatic", "--no-input", "-v0")
    found = [path for path in (tmp_path / "static").rglob("*") if path.name.startswith("labels")]
    assert found
    assert {path.stat().st_mode & 0o777 for path in found} == {0o644}


def test_makefile_and_services_set_the_same_umask() -> None:
    makefile = (ROOT / "Makefile").read_text()
    recipe = makefile.partition("\nrun:")[2].partition("\n\n")[0].splitlines()[1:]
    assert all(line.startswith("\t@umask 077; ") for line in recipe)
    services = sorted((ROOT / "deploy").glob("*.service"))
    assert services
    for service in services:
        lines = service.read_text().splitlines()
        assert {"UMask=0077", "StateDirectory=registry", "StateDirectoryMode=0700"} <= set(lines), service.name
    assert "owner root, group registry, mode 0640" in (ROOT / "deploy" / "registry.service").read_text()
