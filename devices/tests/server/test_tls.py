"""The nginx of deploy/ accepts modern TLS only."""

import re
import socket
import ssl
from collections.abc import Iterator

import pytest

from devices.tests.support.services.nginx import NGINX, nginx

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture(scope="module")
def secure_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("tls")
    with nginx(folder, 9):
        [port] = re.findall(r"127\.0\.0\.1:(\d+) ssl http2;", (folder / "registry" / "nginx.conf").read_text())
        yield int(port)


def handshake(port: int, version: ssl.TLSVersion, ciphers: str) -> tuple[str, str]:
    """Return the protocol and the cipher that server and client agree on."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="registry.example.org") as secure,
    ):
        return str(secure.version()), str((secure.cipher() or [""])[0])


def test_tls_1_3_and_1_2_are_accepted_with_the_strongest_cipher(secure_port: int) -> None:
    assert handshake(secure_port, ssl.TLSVersion.TLSv1_3, "ALL")[0] == "TLSv1.3"
    weakest_first = "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384"
    agreed = handshake(secure_port, ssl.TLSVersion.TLSv1_2, weakest_first)
    assert agreed == ("TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384")


@pytest.mark.parametrize(
    "ciphers", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES256-GCM-SHA384", "DHE-RSA-AES256-GCM-SHA384"]
)
def test_weak_ciphers_are_rejected(secure_port: int, ciphers: str) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(secure_port, ssl.TLSVersion.TLSv1_2, ciphers)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_older_tls_versions_are_rejected(secure_port: int) -> None:
    with pytest.raises((ssl.SSLError, OSError)):
        handshake(secure_port, ssl.TLSVersion.TLSv1_1, "ALL")
