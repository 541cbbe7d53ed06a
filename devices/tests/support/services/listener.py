"""Servers on loopback that take the place of a registry, to see what a client sends and how it reads a response."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from devices.history import replica

KEY = "cxp_a-secret"


class Listener(ThreadingHTTPServer):
    """A server on loopback that stores the requests that it receives, and optionally redirects them."""

    def __init__(self, redirect_to: str | None = None, status: int = 302) -> None:
        self.redirect_to, self.status = redirect_to, status
        self.received: list[tuple[str, str | None]] = []
        super().__init__(("127.0.0.1", 0), Redirecting)

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}"


class Redirecting(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        self.server.received.append((self.path, self.headers.get("x-api-key")))
        if target := self.server.redirect_to:
            self.send_response(self.server.status)
            self.send_header("Location", target)
            self.end_headers()
        else:
            body = b'{"data": [], "pagination": {"next": "/?since=x"}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def listening(redirect_to: str | None = None, status: int = 302) -> Iterator[Listener]:
    with Listener(redirect_to, status) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        try:
            yield listener
        finally:
            listener.shutdown()
            thread.join()


@contextmanager
def responding(response: bytes) -> Iterator[str]:
    """Listen on loopback, and send these bytes to each client. Yield `host:port`."""

    def serve() -> None:
        with suppress(OSError):  # the test has ended
            while True:
                with server.accept()[0] as client:
                    client.recv(65536)
                    client.sendall(response)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def http(status: int, body: str = "{}") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode()


def once(url: str, folder: Path, key: str = KEY) -> int:
    with closing(replica.Replica(folder / "state.sqlite3")) as copy:
        return replica.replicate(url, key, copy, None, once=True, log=print)
