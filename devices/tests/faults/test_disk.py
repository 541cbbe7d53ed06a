"""The disk of the database becomes full while clients write, and has free space again later."""

import contextlib
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from devices.tests.support.services.cluster import Cluster
from devices.tests.support.services.faults import Registry, Writers, eventually, served


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """Yield a folder on a separate file system. Skip the test if it cannot be mounted."""
    with tempfile.TemporaryDirectory(prefix="registry-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        options = f"size={megabytes}m,mode=755"
        mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
        result = subprocess.run(mount, capture_output=True, text=True, check=False)
        if result.returncode:
            pytest.skip(f"a separate file system cannot be mounted: {result.stderr.strip()}")
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path) -> Path:
    """Use all free space."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1024 * 1024, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return filler


def fill_and_free(registry: Registry, disk: Path, cluster: Cluster | None = None) -> None:
    """Fill the disk while clients write, then free it. No write is lost, and the registry is not restarted."""
    workers = set(registry.workers())
    with Writers(registry) as writers:
        writers.wait_for(10)
        filler = fill(disk)
        eventually(lambda: writers.seen["503"] >= 5)
        assert registry.send("GET", "/healthz").status == 200
        if cluster is None:  # devices can still be read
            assert registry.send("GET", "/api/devices").status == 200
            assert registry.is_ready()
        before = len(writers.acknowledged)
        time.sleep(2)
        assert set(writers.seen) <= {"503"}
        filler.unlink()
        if cluster is not None:
            cluster.start()  # it may have stopped; its supervisor would start it again
        eventually(lambda: len(writers.acknowledged) > before + 10)
        eventually(registry.is_ready)
    writers.check()
    assert set(registry.workers()) == workers


@pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL's programs")
def test_registry_recovers_from_a_full_disk_of_postgresql(tmp_path: Path) -> None:
    with small_disk(90) as disk:
        cluster = Cluster(disk)
        try:
            cluster.start()
            with served(f"{cluster.url}?connect_timeout=5", tmp_path) as full:
                fill_and_free(full, disk, cluster)
        finally:
            cluster.stop()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has a separate test")
def test_registry_recovers_from_a_full_disk_of_sqlite(registry: Registry, tmp_path: Path) -> None:
    with small_disk(32) as disk:
        copy = disk / "registry.sqlite3"
        path = registry.environment["DATABASE_URL"].removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        with served(f"sqlite:///{copy}", tmp_path, registry.key) as full:
            fill_and_free(full, disk)
