"""The comparison at the end of each fault test finds every kind of difference. Otherwise those tests could not fail."""

from typing import Any

import pytest

from devices.tests.support.services.faults import Client, Writers

Row = dict[str, Any]


def row(number: int, name: str, holder: str | None = None) -> Row:
    return {"id": number, "device_name": name, "device_holder": holder}


@pytest.mark.parametrize(
    ("removed", "added", "lost"),
    [
        ([], [], []),
        ([1], [], [1]),
        ([], [row(1, "renamed", "RS {group}")], [1]),
        ([], [row(2, "retired", "RS {group}")], [2]),
        ([10, 11], [], ["Hasty {group}.1"]),
        ([11], [], ["Hasty {group}.1"]),
        ([], [row(12, "Hasty {group}.2/0"), row(13, "Hasty {group}.2/1")], []),
        ([], [row(12, "Hasty {group}.2/0")], ["Hasty {group}.2"]),
        ([], [row(14, "Hasty 0.1/0"), row(15, "of another client", "RS 0")], []),
    ],
)
def test_lost_and_incomplete_writes_are_found(removed: list[int], added: list[Row], lost: list[Any]) -> None:
    """The client has one device and one acknowledged array of two. Another array got no response."""
    writers = Writers(Client({}, "127.0.0.1:1", ""), size=2)

    def own(value: Any) -> Any:
        return value.format(group=writers.group) if isinstance(value, str) else value

    writers.known = {1: row(1, "kept", own("RS {group}"))}
    writers.hasty_arrays = {own("Hasty {group}.1"): True, own("Hasty {group}.2"): False}
    found = writers.known | {10 + n: row(10 + n, own(f"Hasty {{group}}.1/{n}")) for n in range(2)}
    found = {pk: each for pk, each in found.items() if pk not in removed}
    found |= {each["id"]: {name: own(value) for name, value in each.items()} for each in added}
    assert writers.lost(found) == [own(each) for each in lost]
