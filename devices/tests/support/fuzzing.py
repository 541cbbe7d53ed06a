"""What the fuzzers share: valid examples, what is done to them, and what counts as a finding besides an exception.

`make test` tries some hundred inputs a target; FUZZ_SECONDS lets each go on for so long, with new ones (`make fuzz`).
"""

import logging
import os
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
ROUND = 500  # examples of one run of hypothesis; the next begins with another seed
HANGS = 5  # seconds of this process' time for one input
STUCK = 60  # seconds on the clock after which an input is given up: the machine may be busy
GROWS = 300 * 1024  # KiB that the process may grow by, at its peak


class Stuck(Exception):
    """An input takes without end."""


def fuzz(check: Callable[..., None], *inputs: st.SearchStrategy[Any], examples: int = 100) -> None:
    """Try the check with inputs, as many as asked for or for as long; the check raises what it finds."""
    if SECONDS:
        logging.disable(logging.ERROR)  # a line for each request that is refused
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count, end = 0, time.monotonic() + SECONDS

    def timed(values: tuple[Any, ...]) -> None:
        nonlocal count
        count += 1
        with _watched():
            check(*values)

    while True:
        run = settings(
            max_examples=ROUND if SECONDS else examples,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )(given(st.tuples(*inputs))(timed))
        seed(random.getrandbits(64))(run)() if SECONDS else run()
        if time.monotonic() >= end:
            break
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < GROWS, f"{grown} KiB more memory"
    if SECONDS:
        logging.disable(logging.NOTSET)
        print(f"{os.environ['PYTEST_CURRENT_TEST']}: {count} inputs in {SECONDS:.0f} s")  # noqa: T201


@contextmanager
def _watched() -> Iterator[None]:
    def give_up(_signal: int, _frame: Any) -> None:
        raise Stuck

    former = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(STUCK)
    begin = time.process_time()
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    assert time.process_time() - begin < HANGS


@st.composite
def mutated(draw: st.DrawFn, examples: Sequence[bytes], dictionary: Sequence[bytes] = (b"\0", b"\xff")) -> bytes:
    """One of the examples after some edits: bytes flipped, cut out, doubled, put in, or taken from another example."""
    data = bytearray(draw(st.sampled_from(examples)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(data)))
        end = min(len(data), place + draw(st.integers(1, 40)))
        edit = draw(st.sampled_from(["flip", "cut", "double", "insert", "word", "splice"]))
        if edit == "flip" and data:
            data[min(place, len(data) - 1)] ^= 1 << draw(st.integers(0, 7))
        elif edit == "cut":
            del data[place:end]
        elif edit == "double":
            data[place:place] = data[place:end]
        elif edit == "insert":
            data[place:place] = draw(st.binary(max_size=8))
        elif edit == "word":
            data[place:end] = draw(st.sampled_from(dictionary))
        elif edit == "splice":
            other = draw(st.sampled_from(examples))
            begin = draw(st.integers(0, len(other)))
            data[place:end] = other[begin : begin + draw(st.integers(0, 60))]
    return bytes(data)


def mutated_text(examples: Sequence[str], dictionary: Sequence[str] = ("\0",)) -> st.SearchStrategy[str]:
    """The same of texts: what is no UTF-8 any more becomes U+FFFD."""
    in_bytes = mutated([text.encode() for text in examples], [text.encode() for text in dictionary])
    return in_bytes.map(lambda data: data.decode(errors="replace"))
