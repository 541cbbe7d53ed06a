"""Reading the change feed during writes: PostgreSQL can commit transactions in another order than they begin."""

import json
import random
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.utils import timezone

from devices import registry
from devices.access.actor import SYSTEM
from devices.api.device_rows import serialize_device
from devices.api.views.changes import representation
from devices.history import feed
from devices.models import Device, Hospital
from devices.tests.support.concurrency import at_once
from devices.tests.support.factories import device_payload, register
from devices.values.errors import ValidationFailed
from devices.values.scope import UNRESTRICTED, Scope

JSON = representation("snake_case")

pytestmark = pytest.mark.django_db(transaction=True)


def names(events: list[feed.Event]) -> list[str]:
    return [json.loads(event.device)["device_name"] for event in events]


def read_all(after: int = 0, size: int = 100, scope: Scope = UNRESTRICTED) -> list[feed.Event]:
    events: list[feed.Event] = []
    while (page := feed.read_page(after, size, scope, JSON)).events:
        events, after = events + page.events, page.end
    return events


def test_late_commit_keeps_its_position_and_holds_back_later_changes() -> None:
    """The first change gets the first number, but is committed last."""
    first_written, second_committed, is_read = (threading.Event() for _ in range(3))
    results: list[list[str]] = []

    def act(number: int) -> None:
        if number == 0:
            with transaction.atomic():
                register(device_payload(1))
                first_written.set()
                assert is_read.wait(20)
        elif number == 1:
            assert first_written.wait(20)
            register(device_payload(2))  # on SQLite, this waits for the first writer
            second_committed.set()
        else:
            assert first_written.wait(20)
            if connection.vendor == "postgresql":
                assert second_committed.wait(20)
                assert list(Device.objects.values_list("device_name", flat=True)) == ["Cuff 2"]
                assert 60 < feed.lag(timezone.now() + timedelta(minutes=1)) < 120  # of the second change
            results.append(names(read_all()))
            is_read.set()

    at_once(3, act)
    assert results == [[]]
    assert names(read_all()) == ["Cuff 1", "Cuff 2"]


def test_open_transaction_without_changes_does_not_hold_back_the_feed() -> None:
    began, is_read = threading.Event(), threading.Event()

    def act(number: int) -> None:
        if number == 0:
            assert began.wait(20)
            if connection.vendor == "postgresql":
                register(device_payload(1))
                assert names(read_all()) == ["Cuff 1"]
            is_read.set()
        else:
            with transaction.atomic():
                Hospital.objects.create(name="RS Baru")
                began.set()
                assert is_read.wait(20)
                register(device_payload(2))

    at_once(2, act)
    assert names(read_all())[-1] == "Cuff 2"


def test_rolled_back_changes_are_not_returned_and_hold_back_no_others() -> None:
    with transaction.atomic():
        with transaction.atomic():
            register(device_payload(1))
            transaction.set_rollback(True)
        register(device_payload(2))
        transaction.set_rollback(True)
    register(device_payload(3))
    assert names(read_all()) == ["Cuff 3"]


def test_transaction_with_many_statements_takes_one_lock() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    with transaction.atomic():
        for number in range(20):
            register(device_payload(number))
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
            assert cursor.fetchone() == (1,)


WRITERS, ROUNDS = 8, 25


def write(number: int, ids: list[int], hospitals: list[Hospital]) -> None:
    """Register, rename, transfer, retire and restore devices at random, with several writes in a transaction."""
    chance = random.Random(number)  # noqa: S311  (test data, not a secret)
    for turn in range(ROUNDS):
        # The errors are conflicts with other writers. Nothing was written, so the feed has no change.
        with suppress(Device.DoesNotExist, ValidationFailed, OperationalError, IntegrityError), transaction.atomic():
            pk = chance.choice(ids)
            device = Device.objects.filter(pk=pk)
            register(device_payload(1000 * (number + 1) + turn, device_holder=chance.choice(hospitals).name))
            pause(chance)
            if device.exists():
                registry.transfer(device, chance.choice([*hospitals, None]), SYSTEM)
                registry.update(device, {"device_name": f"Name {number}.{turn}"}, SYSTEM)
                if chance.random() < 0.2:
                    registry.retire(device, SYSTEM)
            else:
                registry.restore([pk], SYSTEM)
            pause(chance)


def pause(chance: random.Random) -> None:
    if connection.vendor == "postgresql":  # on SQLite, a pause would block all other writers
        time.sleep(chance.random() * 0.01)


def copy(events: list[feed.Event]) -> dict[int, Any]:
    """Return the devices of a client that applies the events, by id."""
    devices: dict[int, Any] = {}
    for event in events:
        device = json.loads(event.device)
        if event.action == "deleted":
            del devices[device["id"]]
        else:
            assert (event.action == "updated") == (device["id"] in devices)
            devices[device["id"]] = device
    return devices


def test_readers_see_every_change_of_eight_writers_in_the_same_order(rs_a: Hospital, rs_b: Hospital) -> None:
    """Each reader gets each change once, in the same order. The resulting copies equal the registry."""
    ids = [device.pk for device in register(*(device_payload(n) for n in range(12)))]
    scopes = [UNRESTRICTED, UNRESTRICTED, Scope((rs_a,))]
    finished: list[int] = []

    def act(number: int) -> list[feed.Event]:
        if number >= len(scopes):
            try:
                write(number, ids, [rs_a, rs_b])
            finally:
                finished.append(number)
            return []
        after, last, seen = 0, False, list[feed.Event]()
        while not last:
            last = len(finished) == WRITERS
            while (page := feed.read_page(after, 1 + number * 3, scopes[number], JSON)).events:
                seen, after = seen + page.events, page.end
        return seen

    first, second, of_a = at_once(len(scopes) + WRITERS, act)[: len(scopes)]
    history = list(Device.history.order_by("history_id").values_list("history_id", flat=True))
    assert len(history) > WRITERS * ROUNDS / 2
    assert [event.position for event in first] == [event.position for event in second] == history
    for seen, scope in ((first, UNRESTRICTED), (of_a, Scope((rs_a,)))):
        assert seen == read_all(scope=scope)
        registered = Device.objects.in_scope(scope).select_related("device_holder")
        assert copy(seen) == {device.pk: serialize_device(device) for device in registered}
