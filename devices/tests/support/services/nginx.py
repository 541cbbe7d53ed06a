"""nginx with the shipped configuration, in front of the registry."""

import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from devices.tests.support.services.faults import eventually
from devices.tests.support.services.server import ROOT, children

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")

BLOCK = re.compile(r"^upstream registry \{.*?^\}\n", flags=re.DOTALL | re.MULTILINE)
CONFIGURATION = """
daemon off; pid {folder}/pid; error_log {folder}/errors; worker_processes 1; worker_rlimit_nofile {descriptors};
events {{ worker_connections 12000; }}
http {{
    access_log {log};
    client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/responses;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    lingering_timeout 200ms;
    include registry/nginx.conf;
}}
"""


def free_ports(number: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Ports(NamedTuple):
    """The ports of nginx: HTTP and HTTPS as shipped, and the HTTPS server without TLS (`plain`), for tests."""

    plain: int
    redirecting: int
    secure: int


def install_configuration(folder: Path, upstream: int | str, places: str = "max_conns=500", log: str = "off") -> Ports:
    """Copy the files of deploy/ to the folder, with a certificate and free ports.

    The upstream is the port of one registry, or a text with another block `upstream`.
    """
    (folder / "registry").mkdir()
    shutil.copy(ROOT / "deploy" / "registry.locations", folder / "registry")
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    ports = Ports(*free_ports(3))
    secure = f"listen 127.0.0.1:{ports.secure} ssl http2"
    certificate = folder / "certificate.pem"
    _sign(certificate)
    logged = "access_log off;" if log == "off" else f"access_log {log} combined if=$registry_logged;"
    for old, new in (
        ("    listen [::]:80;\n", ""),
        ("    listen [::]:80 default_server;\n", ""),
        ("    listen [::]:443 ssl http2;\n", ""),
        ("    listen [::]:443 ssl http2 default_server;\n", ""),
        ("listen 80 default_server;", f"listen 127.0.0.1:{ports.redirecting} default_server;"),
        ("listen 80;", f"listen 127.0.0.1:{ports.redirecting};"),
        ("listen 443 ssl http2 default_server;", f"{secure} default_server;"),
        ("listen 443 ssl http2;", f"listen 127.0.0.1:{ports.plain};\n    {secure};"),
        ("/etc/letsencrypt/live/registry.example.org/fullchain.pem", str(certificate)),
        ("/etc/letsencrypt/live/registry.example.org/privkey.pem", str(certificate)),
        ("access_log /var/log/nginx/access.log combined if=$registry_logged;", logged),
    ):
        assert old in text, old
        text = text.replace(old, new)
    block = BLOCK.search(text)
    assert block
    one = block[0].replace("127.0.0.1:8000 max_conns=500", f"127.0.0.1:{upstream} {places}")
    text = replace_upstream(text, upstream if isinstance(upstream, str) else one)
    (folder / "registry" / "nginx.conf").write_text(text)
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    (folder / "nginx.conf").write_text(CONFIGURATION.format(folder=folder, descriptors=descriptors, log=log))
    return ports


def replace_upstream(text: str, other: str) -> str:
    """Return the configuration with the block `upstream` of the other text."""
    block = BLOCK.search(other)
    assert block
    changed, count = BLOCK.subn(lambda _match: block[0], text)
    assert count == 1
    return changed


def _sign(certificate: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subject = ["-subj", "/CN=registry.example.org"]
    files = ["-keyout", str(certificate), "-out", str(certificate.with_suffix(".crt"))]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    with certificate.open("a") as both:
        both.write(certificate.with_suffix(".crt").read_text())


@contextmanager
def nginx(folder: Path, upstream: int | str, **options: str) -> Iterator[Ports]:
    """Run nginx in front of the server on the upstream port; yield the ports of nginx."""
    folder.chmod(0o755)
    for parent in list(folder.parents)[
        :3
    ]:  # nginx's worker runs as another user and stores bodies here; xdist adds one folder
        parent.chmod(0o755)
    ports = install_configuration(folder, upstream, **options)
    process = subprocess.Popen([str(NGINX), "-e", folder / "errors", "-p", folder, "-c", folder / "nginx.conf"])
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if process.poll() is not None or probe.connect_ex(("127.0.0.1", ports.plain)) == 0:
                    break
            time.sleep(0.05)
        assert process.poll() is None, (folder / "errors").read_text()
        yield ports
    finally:
        process.terminate()
        process.wait(30)


def reload_upstream(folder: Path, block: str) -> None:
    """Replace the block `upstream` of the running nginx, and wait until its former worker has ended."""
    configuration = folder / "registry" / "nginx.conf"
    configuration.write_text(replace_upstream(configuration.read_text(), block))
    master = int((folder / "pid").read_text())
    before = set(children(master))
    os.kill(master, signal.SIGHUP)
    # A long-polling request takes up to 30 seconds.
    eventually(lambda: (found := set(children(master))) and not found & before)
