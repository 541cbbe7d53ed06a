"""Concurrent clients: threads with separate connections, on a database that commits."""

import threading
from collections import Counter
from typing import Any

import pytest

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.api.views import devices
from devices.models import Device, Hospital
from devices.registry import hospital_checks, hospitals
from devices.tests.support.client import Api, issue
from devices.tests.support.concurrency import at_once
from devices.tests.support.factories import MAC, device_payload, register

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_of_twenty_concurrent_posts_of_a_mac_registers_it() -> None:
    key = issue("app").text
    responses = at_once(20, lambda n: Api(key).post("/api/devices", device_payload(n, device_mac=MAC)))
    assert Counter(response.status_code for response in responses) == {201: 1, 409: 19}
    for response in responses:
        if response.status_code == 409:
            assert [(e["field"], e["index"]) for e in response.json()["errors"]] == [("device_mac", 0)]
    assert Device.objects.count() == Device.history.count() == 1


def test_overlapping_lists_in_opposite_order_do_not_deadlock() -> None:
    key = issue("app").text
    devices = [device_payload(n) for n in range(200)]
    for _ in range(3):
        responses = at_once(6, lambda n: Api(key).post("/api/devices", devices[:: 1 if n % 2 else -1]))
        assert Counter(response.status_code for response in responses) == {201: 1, 409: 5}
        assert Device.objects.count() == 200
        Device.objects.all().delete()


def test_concurrent_requests_create_a_new_hospital_once() -> None:
    key = issue("app").text
    posts = [[device_payload(n * 10 + m, device_holder=f"RS {m}") for m in range(5)] for n in range(10)]
    responses = at_once(10, lambda n: Api(key).post("/api/devices", posts[n][:: 1 if n % 2 else -1]))
    assert Counter(response.status_code for response in responses) == {201: 10}
    assert (Hospital.objects.count(), Hospital.history.count(), Device.objects.count()) == (5, 5, 50)


def test_only_one_of_concurrent_requests_says_that_it_registered_a_hospital() -> None:
    key = issue("app").text
    devices = register(*map(device_payload, range(4)))

    def act(number: int) -> list[dict[str, Any]]:
        if number < 4:
            response = Api(key).patch(f"/api/device/{devices[number].pk}", {"device_holder": "RS Baru"})
        else:
            mode = ["", "?mode=partial"][number % 2]
            response = Api(key).post(f"/api/devices{mode}", device_payload(number, device_holder="rs baru"))
        assert response.status_code in (200, 201, 207)
        return response.json().get("hospitals_registered", [])

    [registered] = [rows for rows in at_once(8, act) if rows]
    hospital = Hospital.objects.get()
    assert registered == [{"hospital_id": hospital.pk, "hospital_name": hospital.name}]


def test_refusing_request_does_not_register_a_hospital_that_loses_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hospital exists when the name is checked, and is gone when the device is written."""
    key = issue("careful", unknown_holder="refuse").text
    own = hospitals.get_or_create(["RS Harapan"], SYSTEM)["rs harapan"]
    find = hospital_checks.find_hospital_problems

    def find_then_delete(*args: Any) -> Any:
        problems = find(*args)
        Hospital.objects.filter(pk=own.pk).delete()
        return problems

    monkeypatch.setattr(hospital_checks, "find_hospital_problems", find_then_delete)
    for query in ("", "?on_conflict=update"):
        response = Api(key).post(f"/api/devices{query}", device_payload(1, device_holder="RS Harapan"))
        assert (response.status_code, response.json()["errors"][0]["code"]) == (400, "unknown_hospital")
    assert not Hospital.objects.exists()
    assert not Device.objects.exists()


def test_concurrent_updates_of_a_device_are_all_recorded() -> None:
    key = issue("app").text
    [device] = register(device_payload(1))
    path = f"/api/device/{device.pk}"
    responses = at_once(12, lambda n: Api(key).patch(path, {"device_name": f"Name {n}"}))
    assert Counter(response.status_code for response in responses) == {200: 12}
    recorded = list(Device.history.filter(id=device.pk).order_by("history_id").values_list("device_name", flat=True))
    assert sorted(recorded) == sorted(["Cuff 1", *(f"Name {n}" for n in range(12))])
    assert recorded[-1] == Device.objects.get().device_name


def test_concurrent_updates_of_different_fields_are_all_applied() -> None:
    key = issue("app").text
    [device] = register(device_payload(1))
    changes = [{"device_name": "New"}, {"device_type": "CORPORATE"}, {"device_mac": MAC}, {"device_holder": "RS Baru"}]
    responses = at_once(4, lambda n: Api(key).patch(f"/api/device/{device.pk}", changes[n]))
    assert Counter(response.status_code for response in responses) == {200: 4}
    stored = Device.objects.get()
    assert (stored.device_name, stored.device_type, stored.device_mac, stored.device_holder.name) == (
        "New",
        "CORPORATE",
        MAC,
        "RS Baru",
    )


def test_concurrent_updates_give_a_name_to_one_device() -> None:
    key = issue("app").text
    devices = register(*map(device_payload, range(8)))
    responses = at_once(8, lambda n: Api(key).patch(f"/api/device/{devices[n].pk}", {"device_name": "Wanted"}))
    assert Counter(response.status_code for response in responses) == {200: 1, 409: 7}


def test_concurrent_requests_retire_a_device_once() -> None:
    key = issue("app").text
    [device] = register(device_payload(1))
    responses = at_once(8, lambda n: Api(key).delete(f"/api/device/{device.pk}"))
    assert Counter(response.status_code for response in responses) == {200: 1, 410: 7}
    assert Device.history.filter(history_type="-").count() == 1


def test_request_in_progress_is_the_last_one_of_a_revoked_key(monkeypatch: pytest.MonkeyPatch) -> None:
    issued = issue("app")
    in_flight, revoked = threading.Event(), threading.Event()
    list_devices = devices.DeviceViewSet.list  # called as soon as the key is authenticated

    def wait(view: devices.DeviceViewSet, request: Any) -> Any:
        in_flight.set()
        assert revoked.wait(10)
        return list_devices(view, request)

    monkeypatch.setattr(devices.DeviceViewSet, "list", wait)

    def act(number: int) -> int:
        if number == 0:
            return Api(issued.text).get("/api/devices?device_type=CONSUMER").status_code
        assert in_flight.wait(10)
        api_keys.revoke(issued.key, SYSTEM)
        status = Api(issued.text).get("/api/devices").status_code
        revoked.set()
        return status

    assert at_once(2, act) == [200, 401]


def test_devices_registered_during_a_merge_get_the_remaining_hospital() -> None:
    key = issue("app").text
    stays = hospitals.get_or_create(["RS Harapan"], SYSTEM)["rs harapan"]
    for turn in range(5):
        misspelled = hospitals.get_or_create([f"RS Harapn {turn}"], SYSTEM)[f"rs harapn {turn}"]

        def act(number: int, turn: int = turn, misspelled: Hospital = misspelled) -> int:
            if number == 0:
                return int(hospitals.merge([misspelled], stays, SYSTEM) is None)
            posted = device_payload(turn * 100 + number, device_holder=misspelled.name)
            return int(Api(key).post("/api/devices", posted).status_code)

        assert Counter(at_once(8, act)) == {0: 1, 201: 7}
    assert list(Hospital.objects.all()) == [stays]
    assert Device.objects.filter(device_holder=stays).count() == 35
