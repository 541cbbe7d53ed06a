"""The counts in the database equal the numbers of devices after every kind of write."""

import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.db.models import Count
from pytest_django import DjangoAssertNumQueries

from devices import registry
from devices.access.actor import SYSTEM
from devices.db.triggers import counts, definitions
from devices.models import Device, DeviceCount, Hospital
from devices.tests.support.client import Api, issue
from devices.tests.support.concurrency import at_once
from devices.tests.support.factories import device_item, device_payload, register
from devices.values import scope

POSTGRESQL = connection.vendor == "postgresql"


def counted() -> dict[tuple[int | None, str], int]:
    """Return the expected counts, computed from the devices."""
    rows = Device.objects.order_by().values_list("device_holder_id", "device_type").annotate(number=Count("pk"))
    return {(hospital, device_type): number for hospital, device_type, number in rows}


def register_devices() -> list[Device]:
    """Register 4 devices in RS Harapan, 3 in RS Sehat, and 2 without a hospital."""
    return register(
        *(device_payload(n, device_holder="RS Harapan") for n in range(4)),
        *(device_payload(n, device_holder="RS Sehat", device_type="CORPORATE") for n in range(4, 7)),
        *(device_payload(n) for n in range(7, 9)),
    )


def write_in_sql(statement: str) -> Callable[[], object]:
    def write() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    return write


def merge() -> None:
    source, target = Hospital.objects.order_by("pk")
    registry.transfer(Device.objects.filter(device_holder=source), target, SYSTEM)
    source.delete()


def restore() -> None:
    first = Device.objects.order_by("pk").first()
    registry.retire(Device.objects.all(), SYSTEM)
    registry.restore([first.pk], SYSTEM)


WRITES = {
    "register": lambda: register(*(device_payload(n, device_holder=f"RS {n % 7}") for n in range(100, 200))),
    "update": lambda: registry.update(Device.objects.filter(pk=Device.objects.first().pk), device_item(0), SYSTEM),
    "transfer": lambda: registry.transfer(Device.objects.all(), None, SYSTEM),
    "retire": lambda: registry.retire(Device.objects.filter(device_type="CORPORATE"), SYSTEM),
    "restore": restore,
    "merge": merge,
    "retype": write_in_sql("UPDATE devices_device SET device_type = 'CORPORATE' WHERE device_holder_id IS NULL"),
    "rename": write_in_sql("UPDATE devices_device SET device_name = device_name || 'x'"),
    "delete": write_in_sql("DELETE FROM devices_device WHERE device_type = 'CONSUMER'"),
    "delete all": write_in_sql("DELETE FROM devices_device"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_counts_equal_the_devices_after_every_kind_of_write(write: Callable[[], object]) -> None:
    register_devices()
    write()
    assert DeviceCount.objects.by_holder_and_type(None) == counted()
    assert DeviceCount.objects.total(scope.UNRESTRICTED) == Device.objects.count()
    assert counts.find_drift() == []


@pytest.mark.django_db
def test_rolled_back_writes_are_not_counted() -> None:
    register_devices()
    with transaction.atomic():
        register(device_payload(50))
        registry.retire(Device.objects.filter(device_holder=None), SYSTEM)
        transaction.set_rollback(True)
    assert DeviceCount.objects.by_holder_and_type(None) == counted()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not POSTGRESQL, reason="SQLite has no TRUNCATE")
def test_counts_are_zero_after_truncate() -> None:
    register_devices()
    write_in_sql("TRUNCATE devices_device")()
    assert DeviceCount.objects.by_holder_and_type(None) == {}
    register(device_payload(1))
    assert DeviceCount.objects.total(scope.UNRESTRICTED) == 1


@pytest.mark.django_db
def test_totals_by_scope_hospital_and_type_are_read_from_the_counts(rs_a: Hospital, rs_b: Hospital) -> None:
    register_devices()
    total = DeviceCount.objects.total
    both, only_a = scope.Scope((rs_a, rs_b)), scope.Scope((rs_a,))
    read = [
        total(scope.UNRESTRICTED),
        total(only_a),
        total(both),
        total(scope.Scope()),
        total(both, device_holder=rs_a.pk, device_type="CONSUMER"),
        total(only_a, device_holder=rs_b.pk),
        total(scope.UNRESTRICTED, device_holder=None),
        total(scope.UNRESTRICTED, device_type="CORPORATE"),
    ]
    assert read == [9, 4, 7, 0, 4, 0, 2, 3]
    DeviceCount.objects.filter(number__gt=0).update(number=1_000_000)
    assert total(scope.UNRESTRICTED, device_type="CORPORATE") % 1_000_000 == 0


@pytest.mark.django_db
def test_counts_can_be_limited_to_hospitals(
    rs_a: Hospital, rs_b: Hospital, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    register_devices()
    with django_assert_num_queries(1):
        assert DeviceCount.objects.by_holder_and_type(None) == {
            (rs_a.pk, "CONSUMER"): 4,
            (rs_b.pk, "CORPORATE"): 3,
            (None, "CONSUMER"): 2,
        }
    assert DeviceCount.objects.by_holder_and_type([rs_b.pk]) == {(rs_b.pk, "CORPORATE"): 3}
    assert DeviceCount.objects.by_holder_and_type([]) == {}


@pytest.mark.django_db
def test_number_of_count_rows_is_bounded() -> None:
    for n in range(300):
        register(device_payload(n, device_holder="RS Harapan"))
    assert DeviceCount.objects.count() <= counts.COMPACT_EVERY + 3
    assert DeviceCount.objects.by_holder_and_type(None) == counted()


# --- Check and repair


@pytest.mark.django_db
def test_wrong_counts_are_reported_and_repaired() -> None:
    register_devices()
    out, err = io.StringIO(), io.StringIO()
    call_command("check_counts", stdout=out)
    assert out.getvalue() == "All counters match.\n"
    DeviceCount.objects.filter(device_type="CORPORATE").delete()
    with pytest.raises(CommandError, match=r"^2 counters do not match. Run check_counts --repair\.$"):
        call_command("check_counts", stderr=err)
    assert sorted(err.getvalue().splitlines()) == ["RS Sehat, CORPORATE: +3", "all hospitals, CORPORATE: +3"]
    call_command("check_counts", "--repair", stdout=out, stderr=err)
    assert out.getvalue().endswith("2 counters were corrected.\n")
    assert counts.find_drift() == []
    assert DeviceCount.objects.by_holder_and_type(None) == counted()


@pytest.mark.django_db
def test_migrate_restores_missing_count_triggers() -> None:
    register_devices()
    counts.remove(connection)
    assert definitions.changed(connection, counts.SHIPPED)
    Device.objects.filter(device_holder=None).delete()
    call_command("migrate", verbosity=0)
    assert definitions.changed(connection, counts.SHIPPED) == []
    assert DeviceCount.objects.by_holder_and_type(None) == counted()
    register(device_payload(99))
    assert DeviceCount.objects.by_holder_and_type(None) == counted()


# --- Concurrent writes


@pytest.mark.django_db(transaction=True)
def test_total_during_concurrent_writes_is_between_committed_totals(rs_a: Hospital) -> None:
    key = issue("app").text
    lock, writing = threading.Lock(), threading.Semaphore(0)
    begun, done = {"+": 0, "-": 0}, {"+": 0, "-": 0}

    def add(account: dict[str, int], sign: str, number: int) -> None:
        with lock:
            account[sign] += number

    def write(thread: int) -> None:
        for n in range(25):
            first = (thread * 100 + n) * 10
            add(begun, "+", 10)
            posted = [device_payload(first + m, device_holder=f"RS {(thread + m) % 3}") for m in range(10)]
            response = Api(key).post("/api/devices", posted)
            assert response.status_code == 201
            add(done, "+", 10)
            add(begun, "-", 1)
            assert Api(key).delete(f"/api/device/{response.json()['data'][n % 10]['id']}").status_code == 200
            add(done, "-", 1)
            moved = Device.objects.filter(device_name__startswith=f"Cuff {thread}")
            registry.transfer(
                moved.filter(device_type="CONSUMER", pk__lt=response.json()["data"][2]["id"]), rs_a, SYSTEM
            )
        writing.release()

    def read() -> int:
        seen = 0
        while seen < 10 or not writing.acquire(blocking=False):
            with lock:
                least, most = done["+"], done["-"]
            total = Api(key).get("/api/devices?size=1").json()["pagination"]["total"]
            with lock:
                least, most = least - begun["-"], begun["+"] - most
            assert least <= total <= most
            seen += 1
        return seen

    at_once(5, lambda thread: write(thread) if thread else read())
    assert Device.objects.count() == 4 * 25 * 9
    assert Api(key).get("/api/devices").json()["pagination"]["total"] == 4 * 25 * 9
    assert DeviceCount.objects.by_holder_and_type(None) == counted()
    assert counts.find_drift() == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not POSTGRESQL, reason="SQLite has one writer at a time, and no rows to compact")
def test_writers_do_not_wait_for_a_compaction() -> None:
    for n in range(20):
        register(device_payload(n))

    def compact() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '1s'")
            cursor.execute("SELECT devices_fold_counts()")

    def write_and_compact() -> None:
        try:
            with transaction.atomic():
                register(device_payload(100))
                compact()
        finally:
            connections.close_all()

    with transaction.atomic():
        compact()
        other = threading.Thread(target=write_and_compact)
        other.start()
        other.join(10)
        assert DeviceCount.objects.total(scope.UNRESTRICTED) == 21
    assert Device.objects.filter(device_name="Cuff 100").exists()
    assert DeviceCount.objects.by_holder_and_type(None) == counted()


@pytest.mark.django_db(transaction=True)
def test_counts_are_right_after_a_repair_during_writes() -> None:
    register_devices()
    DeviceCount.objects.filter(is_total=False).delete()

    def act(thread: int) -> Any:
        for n in range(10):
            if thread:
                register(device_payload(thread * 100 + n))
            else:
                counts.repair()

    at_once(4, act)
    assert counts.find_drift() == []
    assert DeviceCount.objects.by_holder_and_type(None) == counted()
