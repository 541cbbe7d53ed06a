"""The folder of the metrics is private, and the files of a worker are continued by the next one."""

import os
import re
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from cexup.metrics import files
from devices.tests.support.services.server import ROOT

WORKER = """
import sys, os
from pathlib import Path
from cexup.metrics import files
print(files.take_slot(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


def start_worker(place: Path) -> "subprocess.Popen[str]":
    run = [sys.executable, "-c", WORKER, str(place)]
    return subprocess.Popen(run, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def slot_of(worker: "subprocess.Popen[str]") -> int:
    assert worker.stdout
    return int(worker.stdout.readline())


def end(worker: "subprocess.Popen[str]") -> None:
    worker.kill()
    worker.communicate(timeout=30)


def test_slot_is_free_again_when_its_worker_was_killed(tmp_path: Path) -> None:
    place = tmp_path / "metrics"
    first = start_worker(place)
    second = None
    try:
        assert slot_of(first) == 0
        second = start_worker(place)
        assert slot_of(second) == 1
        assert files.workers(place) == {0: first.pid, 1: second.pid}
        end(first)
        assert files.workers(place) == {1: second.pid}
        names = {Path(name).name for name in files.counted(place)}
        assert names == {"counter_0.db", "histogram_0.db", "counter_1.db", "histogram_1.db", "gauge_livesum_1.db"}
        third = start_worker(place)
        assert slot_of(third) == 0
        end(third)
    finally:
        end(first)
        if second:
            end(second)


def test_files_are_private_and_have_their_disk_space(tmp_path: Path) -> None:
    place = tmp_path / "metrics"
    files.take_slot(place)
    assert place.stat().st_mode & 0o777 == 0o700
    for path in place.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        if path.suffix == ".db":
            assert path.stat().st_size == files.FILE_SIZE
            assert path.stat().st_blocks * 512 >= files.FILE_SIZE


@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_folder_that_is_not_private_is_rejected(tmp_path: Path, kind: str) -> None:
    place, other = tmp_path / "metrics", tmp_path / "other"
    other.mkdir(mode=0o700)
    if kind == "open":
        place.mkdir()
        place.chmod(0o770)
    elif kind == "link":
        place.symlink_to(other)
    else:
        place.touch(0o600)
    with pytest.raises(PermissionError):
        files.create(place)
    assert list(other.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_folder_of_another_user_is_rejected(tmp_path: Path) -> None:
    place = tmp_path / "metrics"
    place.mkdir(mode=0o700)
    os.chown(place, 65534, 65534)
    with pytest.raises(PermissionError):
        files.create(place)


def test_start_removes_old_counts_and_an_upgrade_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unused_port: str
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    port = int(unused_port)
    place = files.folder(port)
    files.begin("127.0.0.1", port, is_upgrade=False)
    assert place.is_dir()
    files.take_slot(place)
    assert len(list(place.iterdir())) == 4
    files.begin("127.0.0.1", port, is_upgrade=True)
    assert len(list(place.iterdir())) == 4
    files.begin("127.0.0.1", port, is_upgrade=False)
    assert list(place.iterdir()) == []


def test_port_of_another_registry_prevents_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise both would count in the same folder, and return their sum."""
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        message = f"METRICS_PORT: 127.0.0.1:{port} or {files.folder(port)} cannot be used (Address already in use)."
        with pytest.raises(ValueError, match=re.escape(message)):
            files.begin("127.0.0.1", port, is_upgrade=False)
        files.begin("127.0.0.1", port, is_upgrade=True)
    files.begin("127.0.0.1", 0, is_upgrade=False)
    assert list(tmp_path.iterdir()) == [files.folder(port)]
