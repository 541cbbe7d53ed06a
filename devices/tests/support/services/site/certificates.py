"""An authority, and a certificate for each machine, as etcd, Patroni and PostgreSQL need them."""

import shutil
import subprocess
from pathlib import Path

KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def create_authority(folder: Path) -> None:
    """Write ca.pem and ca.key to the folder."""
    files = ["-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem")]
    _openssl("req", "-x509", *KEY, "-days", "2", "-subj", "/CN=tests of the registry", *files)


def certify(authority: Path, folder: Path, address: str, user: str) -> None:
    """Write node.pem, node.key and ca.pem to the folder, for a machine with this address."""
    request, extensions = folder / "node.csr", folder / "extensions"
    extensions.write_text(f"subjectAltName=IP:{address}\n")
    _openssl("req", *KEY, "-subj", f"/CN={address}", "-keyout", str(folder / "node.key"), "-out", str(request))
    signing = ["-CA", str(authority / "ca.pem"), "-CAkey", str(authority / "ca.key"), "-CAcreateserial", "-days", "2"]
    result = ["-extfile", str(extensions), "-out", str(folder / "node.pem")]
    _openssl("x509", "-req", "-in", str(request), *signing, *result)
    shutil.copy(authority / "ca.pem", folder)
    for name in ("ca.pem", "node.pem", "node.key"):
        shutil.chown(folder / name, user, user)
    (folder / "node.key").chmod(0o600)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
