"""gunicorn's threaded worker, answering what is no HTTP with the same envelope as everything else."""

import json
import select
import socket
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from cexup.stopping import stopping
from cexup.threads import HELD_UP, WarmThreads
from devices.problems import status_name

FOLLOWS_WITHIN = 2  # milliseconds
CONNECTS_WITHIN = 0.2  # seconds
YIELD_FOR = 0.0001  # seconds, a connection
DRAIN_BYTES, DRAIN_SECONDS = 1024 * 1024, 2.0
HEAD_BYTES = 4096  # of a probe, at most
PROBES = (b"GET /healthz ", b"HEAD /healthz ")
BODY = (b"content-length:", b"transfer-encoding:")


class EnvelopeWorker(ThreadWorker):
    tpool: WarmThreads
    at_once = 3  # requests that are worked at; gunicorn.conf.py

    def get_thread_pool(self) -> WarmThreads:
        """Return the threads that answer, and have one more for who asks whether the process is up."""
        self.answering, self.probes = 0, ThreadPoolExecutor(max_workers=1)
        return WarmThreads(self.cfg.threads, self.at_once)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Look after the threads too, soon where something waits for one."""
        super().wait_for_and_dispatch_events(min(timeout, HELD_UP) if self.tpool.waiting else timeout)
        self.tpool.look_after()

    def enqueue_req(self, conn: Any) -> None:
        """Give the connection to a thread: where there are none left, a probe to its own.

        Else a supervisor would take a process for dead whose threads all wait for a database that says nothing. A new
        connection that has sent nothing yet is watched until it has: gunicorn would have a thread wait for that.
        """
        if self.alive and _is_silent(conn):
            watched: Future[object] = Future()
            watched.set_result(_DEFER)
            super().finish_request(conn, watched)
        elif self.answering < self.cfg.threads or not self.alive or _is_hidden(conn):
            self._answer_in_turn(conn)
        elif (sent := _peek(conn.sock)) and _is_probe(sent):
            self._submit(self.probes, super().handle, conn, super().finish_request)
        else:
            self._answer_in_turn(conn)

    def _answer_in_turn(self, conn: Any) -> None:
        self.answering += 1
        self._submit(self.tpool, self.handle, conn, self.finish_request)

    def _submit(self, pool: Executor, handle: Any, conn: Any, finish: Callable[[Any, Any], None]) -> None:
        answered = pool.submit(handle, conn)
        answered.add_done_callback(lambda done: self.method_queue.defer(finish, conn, done))

    def finish_request(self, conn: Any, fs: Any) -> None:
        self.answering -= 1
        super().finish_request(conn, fs)

    def handle(self, conn: Any) -> Any:
        """Answer the connection's request, and those that follow at once, in the same thread.

        gunicorn would give the connection back to the thread that watches all of them after each request, which takes
        longer than a request for one device. Where others wait for a thread, it still does.
        """
        while (kept := super().handle(conn)) is True and self._is_followed(conn):
            self.tpool.begin_anew()
        return kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer the request, and send the head of the answer along with the body: gunicorn sends one by one."""
        sock = conn.sock
        conn.sock = held = HeldHead(sock)
        try:
            return super().handle_request(req, conn)
        finally:
            held.flush()
            conn.sock = sock

    def accept(self, listener: Any) -> None:
        """Take a new connection, after a moment for workers that have fewer: else the quickest would have them all."""
        if self.alive:
            time.sleep(min(self.nr_conns, 10) * YIELD_FOR)
        super().accept(listener)

    def _is_followed(self, conn: Any) -> bool:
        """Tell whether the client sends its next request right away, while no other connection wants the thread."""
        if not self.alive or self.tpool.waiting or self.tpool.is_crowded:
            return False
        return _is_readable(conn.sock, FOLLOWS_WITHIN)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:
        """Answer a request that never reached the application: by default that would be a page of HTML."""
        if not isinstance(exc, ParseException):
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("Not a request: %s", type(exc).__name__)
        _answer(client, _status(exc))

    def run(self) -> None:
        """Serve, and end no sooner than what is being answered: a worker that is replaced may be at a long import."""
        try:
            super().run()
        finally:
            stopping.set()
            self.tpool.shutdown()

    def is_parent_alive(self) -> bool:
        """Stop as ever when the master was killed: whoever starts the registry again needs its port."""
        if not super().is_parent_alive():
            self.alive = False
        return self.alive

    def set_accept_enabled(self, enabled: bool) -> None:
        """At the end, take what has connected but was not accepted yet, and let nobody else connect here.

        Whoever waits for changes is let go: they would hold up the end for as long as they may wait.
        The kernel would go on taking connections for as long as the last request takes, and then reset them all. Where
        the whole registry stops, nobody new connects by now (cexup/listening.py); who had begun to gets a moment.
        """
        if self.alive or enabled:
            super().set_accept_enabled(enabled)
            return
        stopping.set()
        listeners = [listener for listener in self.sockets if listener.sock is not None]
        end = time.monotonic() + CONNECTS_WITHIN
        while listeners and self._has_room() and (left := end - time.monotonic()) > 0:
            super().set_accept_enabled(True)
            self.wait_for_and_dispatch_events(left)
        super().set_accept_enabled(False)
        for listener in listeners:
            listener.setblocking(False)
            while self._has_room() and _is_readable(listener):
                self.accept(listener)
            listener.close()

    def _has_room(self) -> bool:
        return bool(self.nr_conns < self.worker_connections)


class HeldHead:
    """A socket that keeps what is sent first until more is sent, or it is used in any other way."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.kept, self.begun = sock, b"", False

    def sendall(self, data: bytes) -> None:
        if self.begun:
            self.sock.sendall(self.kept + data)
            self.kept = b""
        else:
            self.kept, self.begun = data, True

    def flush(self) -> None:
        if self.kept:
            self.sendall(b"")

    def __getattr__(self, name: str) -> Any:
        self.flush()
        return getattr(self.sock, name)


def _is_readable(sock: socket.socket, within: int = 0) -> bool:
    """Tell whether something is to be read, or accepted, within so many milliseconds."""
    ready = select.poll()
    ready.register(sock, select.POLLIN)
    return bool(ready.poll(within))


def _is_silent(conn: Any) -> bool:
    """Tell whether the connection is new and has sent nothing yet."""
    return not (conn.initialized or conn.data_ready) and _peek(conn.sock) is None


def _is_hidden(conn: Any) -> bool:
    """Tell whether the socket does not show what is asked: a part of it has been read already, or it is TLS."""
    return conn.cfg.is_ssl or (conn.initialized and bool(conn.parser.unreader.buf.getvalue()))


def _peek(sock: socket.socket) -> bytes | None:
    """Return what is to be read, and leave it there; None if nothing has come yet."""
    try:
        return sock.recv(HEAD_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return None
    except OSError:
        return b""  # the thread that reads it deals with that


def _is_probe(sent: bytes) -> bool:
    """Tell whether this is a whole request for the probe, so that nobody who sends a part of one holds its thread."""
    return sent.startswith(PROBES) and sent.endswith(b"\r\n\r\n") and not any(name in sent.lower() for name in BODY)


def _status(exc: ParseException) -> HTTPStatus:
    if isinstance(exc, LimitRequestLine):
        return HTTPStatus.REQUEST_URI_TOO_LONG
    if isinstance(exc, LimitRequestHeaders):
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return HTTPStatus.BAD_REQUEST


def _answer(client: socket.socket, status: HTTPStatus) -> None:
    message = f"This is no request that can be read: {status.phrase}."
    problem = {"field": None, "code": "http", "message": message}
    body = json.dumps(
        {"status": status_name(status), "code": status.value, "message": message, "data": [], "errors": [problem]}
    ).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nX-Request-ID: {uuid.uuid4().hex}\r\n"
        "Cache-Control: no-store\r\nVary: x-api-key\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    try:
        client.settimeout(DRAIN_SECONDS)
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        _drain(client)
    except OSError:
        return  # the client has gone, and with it whoever would read the answer


def _drain(client: socket.socket) -> None:
    """Read what the client is still sending: closed on unread data, it would be reset and never see the answer."""
    end, left = time.monotonic() + DRAIN_SECONDS, DRAIN_BYTES
    while left > 0 and time.monotonic() < end and (chunk := client.recv(65536)):
        left -= len(chunk)
