"""The worker sends the head of an answer along with its body; who asks for its health waits for nobody else."""

import http.client
import os
import runpy
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.workers.gthread import TConn, ThreadWorker

from cexup.listening import let_nobody_connect
from cexup.threads import WarmThreads
from cexup.worker import EnvelopeWorker, HeldHead
from devices.tests.conftest import ROOT
from devices.tests.faults import eventually


class Recorder:
    """A socket that keeps what each call sends."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def sendall(self, data: bytes) -> None:
        self.sent.append(data)

    def sendfile(self, file: Any) -> None:
        self.sent.append(file)


@pytest.fixture
def wire() -> Recorder:
    return Recorder()


@pytest.fixture
def held(wire: Recorder) -> Any:
    return HeldHead(wire)  # type: ignore[arg-type]


def test_the_head_goes_with_the_first_of_the_body(wire: Recorder, held: Any) -> None:
    for part in (b"head", b"body", b"more", b"end"):
        held.sendall(part)
    held.flush()
    assert wire.sent == [b"headbody", b"more", b"end"]


def test_a_head_without_a_body_is_sent_at_the_end(wire: Recorder, held: Any) -> None:
    held.sendall(b"head")
    assert wire.sent == []
    held.flush()
    held.flush()
    assert wire.sent == [b"head"]


def test_a_head_is_sent_before_the_socket_is_used_in_another_way(wire: Recorder, held: Any) -> None:
    held.sendall(b"head")
    held.sendfile(b"file")
    held.flush()
    assert wire.sent == [b"head", b"file"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such filters")
def test_of_a_listener_that_ends_nobody_new_is_heard_and_who_had_connected_is_served() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with socket.create_connection(listener.getsockname(), timeout=20) as before, socket.socket() as late:
        let_nobody_connect(listener)
        late.settimeout(0.3)
        with pytest.raises(TimeoutError):
            late.connect(listener.getsockname())
        accepted, _address = listener.accept()
        with accepted:
            before.sendall(b"asked")
            assert accepted.recv(100) == b"asked"
            accepted.sendall(b"answered")
            assert before.recv(100) == b"answered"
        address = listener.getsockname()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        with socket.create_server(address) as following:
            following.settimeout(20)
            found, by = following.accept()  # who was not heard finds the next that listens there
            found.close()
            assert by == late.getsockname()


TCP = ("127.0.0.1", 8000)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such filters")
@pytest.mark.parametrize(
    ("stops", "is_heard"),
    [
        ({}, False),
        ({"graceful": False}, True),
        ({"reexec_pid": 7}, True),
        ({"master_pid": 7}, True),
        ({"systemd": True}, True),
        ({"address": [TCP, 3]}, True),
    ],
)
def test_a_socket_that_is_somebody_elses_too_goes_on_being_heard(stops: dict[str, Any], is_heard: bool) -> None:
    stopped: list[bool] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        master = SimpleNamespace(
            **{"reexec_pid": 0, "master_pid": 0, "systemd": False, **stops},
            cfg=SimpleNamespace(address=stops.get("address", [TCP])),
            LISTENERS=[listener],
            maybe_promote_master=lambda: None,
            stop=stopped.append,
        )
        runpy.run_path(str(ROOT / "gunicorn.conf.py"))["when_ready"](master)
        master.stop(stops.get("graceful", True))
        assert stopped == [stops.get("graceful", True)]
        try:
            socket.create_connection(listener.getsockname(), timeout=0.3).close()
        except TimeoutError:
            assert not is_heard
        else:
            assert is_heard


THREADS = 2
APPLICATION = """
import pathlib, time
here = pathlib.Path(__file__).parent
def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/held"):
        with (here / "waiting").open("a") as waiting:
            waiting.write(".")
        while not (here / "go").exists() and not (here / path.rpartition("/")[2]).exists():
            time.sleep(0.02)
    start_response("200 OK", [("Content-Length", str(len(path)))])
    return [path.encode()]
"""


def request(path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()


def told(connection: socket.socket) -> str:
    """Return the body of the answer, which is the path that was asked for; nobody waits for it longer than 20 s."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.read().decode()


class Worker:
    """A gunicorn with one worker of few threads, and an application that holds some for as long as it is told."""

    def __init__(self, folder: Path, stack: ExitStack, threads: int = THREADS) -> None:
        self.folder, self.stack = folder, stack
        (folder / "held.py").write_text(APPLICATION)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = free.getsockname()
        options = ["-b", "{}:{}".format(*self.address), "-k", "cexup.worker.EnvelopeWorker", "--threads", str(threads)]
        gunicorn = [sys.executable, "-m", "gunicorn", *options, "--no-control-socket", "--log-level", "critical"]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder}", "DJANGO_SETTINGS_MODULE": "cexup.settings"}
        process = subprocess.Popen([*gunicorn, "held:application"], cwd=folder, env=environment)
        stack.callback(process.wait, 60)
        stack.callback(process.terminate)
        stack.callback(self.let_go)
        eventually(self.answers)

    def answers(self) -> bool:
        try:
            return told(self.send(request("/"))) == "/"
        except OSError:
            return False

    def send(self, sent: bytes) -> socket.socket:
        connection = self.stack.enter_context(socket.create_connection(self.address, timeout=20))
        connection.sendall(sent)
        return connection

    def hold(self, *paths: str, then: str = "") -> list[socket.socket]:
        """Hold a thread with a request for each path, or THREADS; the first client sends another along with its own."""
        (self.folder / "go").unlink(missing_ok=True)
        (self.folder / "waiting").write_text("")
        first, *others = paths or ["/held"] * THREADS
        sent = [request(first) + (request(then) if then else b""), *map(request, others)]
        held = [self.send(each) for each in sent]
        eventually(lambda: self.held() == len(held))
        return held

    def held(self) -> int:
        """Return how many requests have been held since."""
        return len((self.folder / "waiting").read_text())

    def let_go(self, of: str = "go") -> None:
        """Let all go on that are held, or those whose path ends so."""
        (self.folder / of).touch()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    with ExitStack() as stack:
        yield Worker(tmp_path, stack)


def test_where_all_threads_are_held_a_probe_is_answered_and_all_else_in_its_turn(worker: Worker) -> None:
    for _ in range(2):  # the second time as the first: it is known how many are held
        held = worker.hold()
        late, kept, other = worker.send(b""), worker.send(request("/healthz")), worker.send(request("/other"))
        assert told(kept) == "/healthz"
        kept.sendall(request("/healthz"))
        assert told(kept) == "/healthz"
        late.sendall(request("/healthz"))
        assert told(late) == "/healthz"
        worker.let_go()
        assert [told(connection) for connection in (*held, other)] == ["/held", "/held", "/other"]


def test_as_many_as_work_at_once_may_be_held_and_others_are_answered(tmp_path: Path) -> None:
    with ExitStack() as stack:
        worker = Worker(tmp_path, stack, threads=EnvelopeWorker.at_once + 1)
        held = [worker.send(request("/held")) for _ in range(EnvelopeWorker.at_once)]
        assert told(worker.send(request("/other"))) == "/other"  # which nothing else makes anybody look after
        worker.let_go()
        assert [told(connection) for connection in held] == ["/held"] * EnvelopeWorker.at_once


def test_who_connects_and_sends_nothing_takes_no_thread() -> None:
    worker = EnvelopeWorker.__new__(EnvelopeWorker)
    worker.alive, worker.answering = True, 0
    worker.cfg = SimpleNamespace(keepalive=5, threads=1, is_ssl=False)
    worker.pending_conns = deque()
    worker.tpool = WarmThreads(max_workers=1, at_once=1)
    theirs, ours = socket.socketpair()
    with theirs, ours, selectors.DefaultSelector() as worker.poller:
        conn = TConn(worker.cfg, ours, None, None)
        worker.enqueue_req(conn)
        assert (worker.answering, list(worker.pending_conns)) == (0, [conn])


def test_each_request_that_follows_on_a_connection_counts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, answered = EnvelopeWorker.__new__(EnvelopeWorker), []
    worker.tpool = WarmThreads(max_workers=1, at_once=1)
    monkeypatch.setattr(ThreadWorker, "handle", lambda _worker, conn: answered.append(conn) or True)
    monkeypatch.setattr(EnvelopeWorker, "_is_followed", lambda _worker, _conn: len(answered) < 3)
    monkeypatch.setattr(worker.tpool, "begin_anew", lambda: answered.append("anew"))
    assert worker.handle("conn") is True
    assert answered == ["conn", "anew", "conn"]


def test_an_operator_says_how_many_are_worked_at_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEB_AT_ONCE", "5")
    worker = SimpleNamespace()
    runpy.run_path(str(ROOT / "gunicorn.conf.py"))["post_fork"](None, worker)
    assert worker.at_once == 5


def test_a_worker_ends_no_sooner_than_what_is_being_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(worker: ThreadWorker) -> None:
        raise SystemExit

    monkeypatch.setattr(ThreadWorker, "run", end)
    worker = EnvelopeWorker.__new__(EnvelopeWorker)
    worker.tpool = WarmThreads(max_workers=1, at_once=1)
    answer = worker.tpool.submit(time.sleep, 0.3)
    with pytest.raises(SystemExit):
        worker.run()
    assert answer.done()


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        request("/healthz", "Content-Length: 5\r\n"),
        request("/healthz") + request("/held"),
    ],
)
def test_what_only_begins_like_a_probe_holds_up_no_other(worker: Worker, sent: bytes) -> None:
    worker.hold()
    for _ in range(5):  # gunicorn waits 5 s for a body: together longer than we do
        worker.send(sent)
    for _ in range(3):
        assert told(worker.send(request("/healthz"))) == "/healthz"


def test_what_follows_a_request_that_was_read_along_with_it_waits_its_turn(worker: Worker) -> None:
    two_at_once, _other = worker.hold("/held/1", "/held/2", then="/held/3")
    _next = worker.send(request("/held/4"))
    two_at_once.sendall(request("/healthz"))  # all that is to be seen there, since the two have been read
    worker.let_go("1")
    assert told(two_at_once) == "/held/1"
    eventually(lambda: worker.held() == THREADS + 1)
    for _ in range(3):
        assert told(worker.send(request("/healthz"))) == "/healthz"
