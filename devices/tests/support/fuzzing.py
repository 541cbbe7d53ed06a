"""Run a check with mutated inputs. An exception, a slow input and growing memory are findings.

`make test` tries about a hundred inputs for each target. With FUZZ_SECONDS each target runs for that time, with new
inputs (`make fuzz`).
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
ROUND = 500  # examples of one run of Hypothesis; the next run has another seed
MAX_CPU_SECONDS = 5  # of one input
MAX_SECONDS = 60  # of one input, because the machine may be busy
MAX_GROWTH = 300 * 1024  # KiB of the peak memory of the process


class TimeLimitExceeded(Exception):
    """The check of an input did not end in time."""


def fuzz(check: Callable[..., None], *inputs: st.SearchStrategy[Any], examples: int = 100) -> None:
    """Run the check with this number of inputs, or for FUZZ_SECONDS. The check raises an exception for each finding."""
    if SECONDS:
        logging.disable(logging.ERROR)  # each rejected request would log a line
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count, end = 0, time.monotonic() + SECONDS

    def timed(values: tuple[Any, ...]) -> None:
        nonlocal count
        count += 1
        with _limited_time():
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
    assert grown < MAX_GROWTH, f"{grown} KiB more memory"
    if SECONDS:
        logging.disable(logging.NOTSET)
        print(f"{os.environ['PYTEST_CURRENT_TEST']}: {count} inputs in {SECONDS:.0f} s")  # noqa: T201


@contextmanager
def _limited_time() -> Iterator[None]:
    def interrupt(_signal: int, _frame: Any) -> None:
        raise TimeLimitExceeded

    former = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(MAX_SECONDS)
    begin = time.process_time()
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    assert time.process_time() - begin < MAX_CPU_SECONDS


@st.composite
def mutated(draw: st.DrawFn, examples: Sequence[bytes], dictionary: Sequence[bytes] = (b"\0", b"\xff")) -> bytes:
    """Return an example after edits: flipped bits, and bytes deleted, doubled, inserted or copied from another one."""
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
    """Return mutated texts. Bytes that are not valid UTF-8 become U+FFFD."""
    in_bytes = mutated([text.encode() for text in examples], [text.encode() for text in dictionary])
    return in_bytes.map(lambda data: data.decode(errors="replace"))
