"""The worker sends the head of an answer along with its body, and loses neither."""

from typing import Any

import pytest

from cexup.worker import HeldHead


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
