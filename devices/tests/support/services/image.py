"""Build the container image without a daemon: buildah, on Debian's packages.

The base and the wheels stay in `.cache/image`. The first build downloads them, with the configuration of this machine
for debootstrap and pip.
"""

import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from devices.tests.support.services.server import ROOT

CACHE = ROOT / ".cache" / "image"
SUITE, PYTHON = "bookworm", "3.11"  # a release of Debian, and the version of Python in it
BASE_PACKAGES = "ca-certificates,netbase,python3,python3-venv"
NEEDED = {  # programs, and the packages of Debian that have them
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "nginx": "nginx",
    "redis-server": "redis-server",
}


class Image(NamedTuple):
    """The files of an image, which only its containers may change, and its configuration in the format of Docker."""

    root: Path
    config: dict[str, Any]
    history: list[str]  # the commands that created its layers


def what_is_missing() -> str:
    """Return what must be done before an image can be built, or an empty text."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    packages = sorted({package for program, package in NEEDED.items() if not shutil.which(program, path=path)})
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        packages.append("postgresql")
    if packages:
        return f"Run: apt-get install {' '.join(packages)}"
    return "" if os.geteuid() == 0 else "Run it as root: it creates namespaces and mounts."


@contextmanager
def built(folder: Path) -> Iterator[Image]:
    """Build the Dockerfile of this checkout. Its files are in memory (about 2 GB), until the context ends."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(folder)], check=True)
    try:
        yield _build(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _build(folder: Path) -> Image:
    with (folder / "pip.conf").open("w") as configuration:
        configuration.write("[global]\nno-index = true\nfind-links = /mnt\n")
    container = _buildah(folder, "from", "scratch")
    _buildah(folder, "add", "--quiet", container, str(_base()), "/")
    _buildah(folder, "commit", "--quiet", "--rm", container, "base")
    secret = f"id=pip.conf,src={folder / 'pip.conf'}"
    options = [
        "--format=docker",
        "--build-arg=BASE=localhost/base",
        f"--secret={secret}",
        f"--volume={_wheels()}:/mnt:ro",
    ]
    _buildah(folder, "build", "--pull-never", *options, "--tag=registry", str(ROOT))
    container = _buildah(folder, "from", "--pull-never", "localhost/registry")
    inspected = json.loads(_buildah(folder, "inspect", "--type=image", "localhost/registry"))
    history = [str(step.get("created_by", "")) for step in inspected["Docker"]["history"]]
    return Image(Path(_buildah(folder, "mount", container)), inspected["Docker"]["config"], history)


def _buildah(folder: Path, command: str, *arguments: str) -> str:
    storage = ["--storage-driver=vfs", f"--root={folder / 'storage'}", f"--runroot={folder / 'run'}"]
    environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
    result = subprocess.run(
        ["buildah", *storage, command, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"buildah {command}: {result.stdout[-3000:]}{result.stderr[-3000:]}"
    return result.stdout.strip()


def _base() -> Path:
    """Return an archive with a minimal Debian and Python."""
    archive = CACHE / f"base-{SUITE}.tar"
    if not archive.exists():
        root = CACHE / "base"
        shutil.rmtree(root, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "debootstrap.log").open("w") as log:
            command = ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", SUITE, str(root)]
            subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
        excluded = [f"--exclude=./{path}/*" for path in ("dev", "var/cache/apt", "var/lib/apt/lists")]
        partial = archive.with_suffix(".partial")
        subprocess.run(["tar", "--create", f"--file={partial}", f"--directory={root}", *excluded, "."], check=True)
        partial.rename(archive)
        shutil.rmtree(root)
    return archive


def _wheels() -> Path:
    """Return a folder with the wheels of requirements.txt, for the Python of the base."""
    requirements = ROOT / "requirements.txt"
    folder = CACHE / f"wheels-{zlib.crc32(requirements.read_bytes()):08x}"
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--require-hashes"]
        platform = [f"--python-version={PYTHON}", "--only-binary=:all:"]
        subprocess.run([*command, *platform, "-r", str(requirements), "-d", str(partial)], check=True)
        partial.rename(folder)
    return folder
