"""Limit the conflicts with devices of other hospitals that are shown to a key or an admin user."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices import registry
from devices.access.actor import SYSTEM
from devices.audit.audit_log import Action
from devices.models import AuditEvent, Device, Hospital, RateLimitCounter
from devices.ratelimit import stores
from devices.ratelimit.stores import DatabaseStore
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.clock import Clock
from devices.tests.support.factories import device_payload, register

DEVICES = "/api/devices"
ADMIN = "/admin/devices/device/"
FREE = 100  # numbers from here on belong to no registered device
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def limit(settings: Any) -> None:
    settings.CONFLICT_RATE = "3/d"


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    stores.limiter().clock = clock
    yield clock
    stores.limiter.cache_clear()


@pytest.fixture
def foreign(rs_b: Hospital) -> list[Device]:
    """Devices 1 to 10 of the other hospital."""
    return register(*(device_payload(number, device_holder=rs_b.name) for number in range(1, 11)))


def new_process() -> None:
    """Clear the memory of this process, so that it acts like another process."""
    stores.limiter.cache_clear()


def named(number: int) -> dict[str, Any]:
    """Return a device with an unused MAC and the name of device `number`."""
    return device_payload(FREE + number, device_name=f"Cuff {number}")


def use_up(api: Api) -> None:
    api.post(f"{DEVICES}?mode=partial&dry_run=true", [named(number) for number in (8, 9, 10)])


def statuses(response: Any) -> list[str]:
    assert response.status_code == 207, response.content
    return [item["status"] for item in response.json()["data"]]


def recorded() -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=Action.CONFLICTS_OUTSIDE_SCOPE).order_by("pk"))


# --- Posted arrays


@pytest.mark.parametrize(
    "query", ["/batch", "/batch?on_conflict=update", "?mode=partial", "?mode=partial&dry_run=true"]
)
def test_conflicts_are_shown_in_order_up_to_the_limit_and_further_devices_are_not_compared(
    api_a: Api, foreign: list[Device], query: str
) -> None:
    items = [
        device_payload(FREE),
        named(1),
        device_payload(FREE + 50),
        named(2),
        named(3),
        device_payload(FREE + 60),
        named(4),
        device_payload(FREE + 70),
    ]
    response = api_a.post(DEVICES + query, items)
    assert statuses(response) == ["created", "conflict", "created", "conflict", "conflict", *["limited"] * 3]
    free, taken = response.json()["data"][5]["errors"], response.json()["data"][6]["errors"]
    assert free == taken
    assert free[0]["code"] == "conflict_limit"
    assert Device.objects.count() == len(foreign) + (0 if "dry_run" in query else 2)
    assert statuses(api_a.post(DEVICES + query, [device_payload(FREE + 80), named(5)])) == ["limited"] * 2


def test_a_dry_run_of_a_whole_range_shows_no_more_than_the_limit(api_a: Api, foreign: list[Device]) -> None:
    macs = [device_payload(number, device_name=f"guess {number}") for number in range(1, 51)]
    results = statuses(api_a.post(f"{DEVICES}?mode=partial&dry_run=true", macs))
    assert results == ["conflict"] * 3 + ["limited"] * 47


def test_a_name_and_a_mac_of_one_device_are_two_conflicts(api_a: Api, foreign: list[Device]) -> None:
    response = api_a.post(f"{DEVICES}?mode=partial", [device_payload(1), device_payload(2), device_payload(3)])
    assert [len(item["errors"]) for item in response.json()["data"]] == [2, 1, 1]
    assert statuses(response) == ["conflict", "conflict", "limited"]


@pytest.mark.parametrize("query", ["", "?dry_run=true", "?on_conflict=update"])
def test_rejected_array_shows_no_more_conflicts_than_the_limit(api_a: Api, foreign: list[Device], query: str) -> None:
    response = api_a.post(DEVICES + query, [named(number) for number in range(1, 6)])
    assert (response.status_code, int(response["Retry-After"]) > 0) == (429, True)
    codes = [error["code"] for error in response.json()["errors"]]
    assert codes == ["unique"] * 3 + ["conflict_limit"] * 2
    assert response.json()["status"] == "TOO_MANY_REQUESTS"


def test_malformed_devices_are_compared_within_the_limit_too(api_a: Api, foreign: list[Device]) -> None:
    items = [{"device_name": f"Cuff {number}", "device_mac": "no"} for number in range(1, 7)]
    codes = [error["code"] for error in api_a.post(DEVICES, items).json()["errors"] if error["field"] == "device_name"]
    assert codes == ["unique"] * 3 + ["conflict_limit"] * 3


@pytest.mark.parametrize("query", ["", "?dry_run=true", "?mode=partial", "?on_conflict=update"])
def test_over_the_limit_a_free_and_a_taken_device_get_the_same_response(
    api_a: Api, foreign: list[Device], query: str
) -> None:
    use_up(api_a)
    free, taken = (api_a.post(DEVICES + query, body) for body in (device_payload(FREE), device_payload(1)))
    assert (free.status_code, free.content) == (taken.status_code, taken.content)
    assert free.status_code == (207 if "partial" in query else 429)
    assert Device.objects.count() == len(foreign)


def test_the_message_says_when_to_retry_in_both_languages(api_a: Api, foreign: list[Device], clock: Clock) -> None:
    use_up(api_a)
    english = api_a.post(DEVICES, device_payload(FREE))
    assert int(english["Retry-After"]) == 86_400 - clock.at % 86_400
    minutes = -(-int(english["Retry-After"]) // 60)
    assert f"Retry in {minutes} minutes." in english.json()["message"]
    indonesian = api_a.post(DEVICES, device_payload(FREE), **{"accept-language": "id"}).json()["message"]
    assert f"Coba lagi dalam {minutes} menit." in indonesian


def test_own_conflicts_and_repeated_items_are_not_limited(api_a: Api, foreign: list[Device], rs_a: Hospital) -> None:
    register(device_payload(20, device_holder=rs_a.name), device_payload(22, device_holder=rs_a.name))
    use_up(api_a)
    items = [device_payload(20), device_payload(FREE, device_name="Cuff 22"), device_payload(21), device_payload(21)]
    response = api_a.post(DEVICES, items)
    found = {(error["index"], error["code"]) for error in response.json()["errors"]}
    limited = {(index, "conflict_limit") for index in (2, 3)}
    assert found == {(3, "duplicate"), (0, "unique"), (1, "unique")} | limited
    assert statuses(api_a.post(f"{DEVICES}?mode=partial", items[:2])) == ["conflict", "conflict"]
    own = api_a.post(DEVICES, device_payload(20))
    assert (own.status_code, "Retry-After" in own) == (409, False)


def test_repeated_conflict_is_not_counted_again(api_a: Api, foreign: list[Device]) -> None:
    for _ in range(10):
        assert api_a.post(DEVICES, named(1)).status_code == 409
    assert api_a.post(DEVICES, device_payload(FREE)).status_code == 201
    use_up(api_a)
    assert api_a.post(DEVICES, named(1)).status_code == 409
    assert api_a.post(DEVICES, named(2)).status_code == 429


def test_limit_applies_to_one_key_and_one_day(api_a: Api, rs_a: Hospital, foreign: list[Device], clock: Clock) -> None:
    use_up(api_a)
    assert api_a.post(DEVICES, device_payload(FREE)).status_code == 429
    assert Api(issue("another", hospitals=[rs_a]).text).post(DEVICES, device_payload(FREE)).status_code == 201
    clock.at += 86_400
    assert api_a.post(DEVICES, device_payload(FREE + 1)).status_code == 201


def test_an_unrestricted_key_is_neither_limited_nor_recorded(api: Api, foreign: list[Device]) -> None:
    assert (
        statuses(api.post(f"{DEVICES}?mode=partial", [named(number) for number in range(1, 11)])) == ["conflict"] * 10
    )
    assert api.post(DEVICES, device_payload(FREE)).status_code == 201
    assert recorded() == []
    assert not RateLimitCounter.objects.filter(name__startswith="conflicts").exists()


def test_without_a_limit_conflicts_are_still_recorded(api_a: Api, foreign: list[Device], settings: Any) -> None:
    settings.CONFLICT_RATE = "unlimited"
    api_a.post(f"{DEVICES}?mode=partial", [named(number) for number in range(1, 11)])
    assert [event.details for event in recorded()] == [{"conflicts": 10, "unchecked": 0}]


def test_with_an_idempotency_key_it_is_executed_the_next_day(api_a: Api, foreign: list[Device], clock: Clock) -> None:
    key = {"idempotency-key": "once"}
    use_up(api_a)
    response = api_a.post(DEVICES, device_payload(FREE), **key)
    assert (response.status_code, "Retry-After" in response) == (429, True)
    clock.at += 86_400
    assert api_a.post(DEVICES, device_payload(FREE), **key).status_code == 201


# --- One device


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("query", ["", "?dry_run=true"])
def test_a_changed_name_or_mac_is_limited(
    api_a: Api, rs_a: Hospital, foreign: list[Device], method: str, query: str
) -> None:
    [own] = register(device_payload(20, device_holder=rs_a.name))
    path = f"/api/device/{own.pk}{query}"
    for number in (1, 2, 3):
        assert api_a(method, path, device_payload(20, device_name=f"Cuff {number}")).status_code == 409
    for name in ("Cuff 4", "free"):
        response = api_a(method, path, device_payload(20, device_name=name))
        assert (response.status_code, errors(response)) == (429, [("device_name", "conflict_limit")])
    response = api_a(method, path, device_payload(FREE, device_name="Cuff 20"))
    assert (response.status_code, errors(response)) == (429, [("device_mac", "conflict_limit")])
    assert api_a(method, path, device_payload(20, device_type="CORPORATE")).status_code == 200


def test_upsert_without_a_new_name_succeeds_over_the_limit(api_a: Api, rs_a: Hospital, foreign: list[Device]) -> None:
    register(device_payload(20, device_holder=rs_a.name), device_payload(21, device_holder=rs_a.name))
    use_up(api_a)
    items = [device_payload(20, device_type="CORPORATE"), device_payload(21, device_name="another name")]
    assert statuses(api_a.post(f"{DEVICES}?mode=partial&on_conflict=update", items)) == ["updated", "limited"]


# --- The counter


def used() -> list[int]:
    return list(RateLimitCounter.objects.filter(name__startswith="conflicts").values_list("used", flat=True))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("query", ["?dry_run=true", "?mode=partial&dry_run=true", "", "?on_conflict=update"])
def test_conflicts_of_a_rolled_back_request_are_counted_and_recorded(
    api_a: Api, foreign: list[Device], query: str
) -> None:
    api_a.post(DEVICES + query, [named(1), named(2)])
    assert used() == [2]
    assert [event.details for event in recorded()] == [{"conflicts": 2, "unchecked": 0}]
    assert recorded()[0].api_key is not None


def test_another_process_knows_the_used_limit(api_a: Api, foreign: list[Device]) -> None:
    use_up(api_a)
    new_process()
    assert api_a.post(DEVICES, device_payload(FREE)).status_code == 429
    assert used() == [3]


def test_another_process_continues_with_the_remaining_limit(api_a: Api, foreign: list[Device]) -> None:
    api_a.post(f"{DEVICES}?mode=partial", [named(1), named(2)])
    new_process()
    assert statuses(api_a.post(f"{DEVICES}?mode=partial", [named(3), named(4)])) == ["conflict", "limited"]


def test_a_large_limit_is_counted_exactly(api_a: Api, foreign: list[Device], settings: Any) -> None:
    settings.CONFLICT_RATE = "100000/d"
    api_a.post(f"{DEVICES}?mode=partial", [named(1), named(2)])
    assert used() == [2]


def test_request_without_conflicts_costs_one_query_per_process(api_a: Api, foreign: list[Device]) -> None:
    api_a.post(DEVICES, device_payload(FREE))
    with CaptureQueriesContext(connection) as queries:
        assert api_a.post(DEVICES, device_payload(FREE + 1)).status_code == 201
    assert not [query for query in queries if "ratelimitcounter" in query["sql"]]
    assert recorded() == []


@pytest.mark.parametrize("broken", ["reserve", "used"])
def test_each_process_counts_separately_if_the_counter_fails(
    api_a: Api, foreign: list[Device], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(DatabaseStore, broken, fail)
    assert api_a.post(DEVICES, device_payload(FREE)).status_code == 201
    found = [api_a.post(DEVICES, named(number)).status_code for number in range(1, 6)]
    assert found == [409] * 3 + [429] * 2
    assert len(recorded()) == 1


# --- The admin


def form(number: int, hospital: Hospital, **fields: Any) -> dict[str, Any]:
    return device_payload(number, device_holder=hospital.pk, **fields)


def test_the_forms_of_the_admin_are_limited(
    ratna: Client, operator: Client, rs_a: Hospital, foreign: list[Device]
) -> None:
    [own] = register(device_payload(20, device_holder=rs_a.name))
    change = f"{ADMIN}{own.pk}/change/"
    assert "already registered" in ratna.post(f"{ADMIN}add/", form(FREE, rs_a, device_name="Cuff 1")).content.decode()
    assert "already registered" in ratna.post(f"{ADMIN}add/", form(2, rs_a, device_name="x")).content.decode()
    assert "already registered" in ratna.post(change, form(20, rs_a, device_name="Cuff 3")).content.decode()
    for path, sent in [
        (f"{ADMIN}add/", form(FREE, rs_a)),
        (f"{ADMIN}add/", form(4, rs_a)),
        (change, form(20, rs_a, device_name="Cuff 5")),
        (change, form(20, rs_a, device_name="free")),
    ]:
        page = ratna.post(path, sent)
        assert (page.status_code, "not compared" in page.content.decode()) == (200, True)
        assert "already registered" not in page.content.decode()
    assert Device.objects.count() == len(foreign) + 1
    assert ratna.post(change, form(20, rs_a, device_type="CORPORATE")).status_code == 302
    assert operator.post(f"{ADMIN}add/", form(FREE, rs_a)).status_code == 302
    assert [(event.username, event.details["conflicts"]) for event in recorded()] == [("ratna@rs.example", 1)]


def test_a_restore_is_limited(ratna: Client, rs_a: Hospital, foreign: list[Device]) -> None:
    gone = register(*(device_payload(number, device_holder=rs_a.name) for number in range(20, 25)))
    registry.retire(Device.objects.filter(pk__in=[device.pk for device in gone]), SYSTEM)
    register(
        *(device_payload(number, device_mac=device_payload(number + FREE)["device_mac"]) for number in range(21, 25))
    )
    chosen = list(Device.history.filter(id__in=[device.pk for device in gone], history_type="-").values("history_id"))
    data = {"action": "restore", "_selected_action": [row["history_id"] for row in chosen], "confirmed": 5}
    # The last change comes first: device 20, whose name and MAC are free, is the last to be restored.
    page = ratna.post("/admin/devices/historicaldevice/", data, follow=True).content.decode()
    assert (page.count("already registered"), page.count("not compared")) == (3, 2)
    assert recorded()[0].details == {"conflicts": 3, "unchecked": 2}


def test_an_import_preview_is_limited(ratna: Client, rs_a: Hospital, foreign: list[Device]) -> None:
    rows = [
        named(1),
        device_payload(FREE),
        named(2),
        device_payload(3, device_name="x"),
        named(4),
        device_payload(FREE + 50),
    ]
    lines = ["ID,MAC,TYPE", *(",".join(str(value) for value in row.values()) for row in rows)]
    file = SimpleUploadedFile("devices.csv", "\n".join(lines).encode())
    preview = ratna.post(f"{ADMIN}import/", {"file": file})["location"]
    shown = ratna.get(preview).context["rows"]
    assert [line["number"] for line in shown] == [2, 4, 5, 6, 7]
    texts = ["".join(str(field["errors"]) for field in row["fields"]) for row in shown]
    assert ["already registered" in text for text in texts] == [True] * 3 + [False] * 2
    assert ["not compared" in text for text in texts] == [False] * 3 + [True] * 2
    assert [(event.username, event.details) for event in recorded()] == [
        ("ratna@rs.example", {"conflicts": 3, "unchecked": 2})
    ]
