"""The lookup of many MAC addresses in one request."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.api.request_bodies import MAX_LOOKUP
from devices.models import AuditEvent, Device, Hospital, RateLimitCounter
from devices.ratelimit import stores
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.clock import Clock
from devices.tests.support.factories import device_payload, register

PATH = "/api/devices/lookup"
UNKNOWN = "D0:61:AE:D4:58:94"
# None of these is the text of a MAC address. The errors are those of a registration.
MALFORMED: list[object] = [
    None,
    "",
    " ",
    "x",
    "00:00:00:00:00",
    "ZZ:00:00:00:00:01",
    "a\x07b",
    "x" * 300,
    [],
    {},
    True,
    False,
    1.5,
    7,
]


def mac(number: int) -> str:
    return str(device_payload(number)["device_mac"])


def look_up(api: Api, *sent: object) -> Any:
    response = api.post(PATH, {"device_mac": list(sent)})
    assert response.status_code == 200, response.content
    return response.json()["data"]


def found(api: Api, *sent: object) -> list[Any]:
    return [entry["device"] and entry["device"]["device_name"] for entry in look_up(api, *sent)]


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    stores.limiter().clock = clock
    yield clock
    stores.limiter.cache_clear()


def test_results_are_in_the_posted_order_with_the_address_as_sent(api: Api) -> None:
    register(device_payload(1), device_payload(2))
    sent = [mac(2), "00-00-00-00-00-01", UNKNOWN, "MAC: 0000.0000.0002", " 000000000001 "]
    results = look_up(api, *sent)
    assert [entry["device_mac"] for entry in results] == sent
    assert [entry["device"] and entry["device"]["device_name"] for entry in results] == [
        *("Cuff 2", "Cuff 1", None, "Cuff 2", "Cuff 1")
    ]
    assert all(list(entry) == ["device_mac", "device"] for entry in results)


def test_device_is_the_same_object_as_in_the_detail(api: Api) -> None:
    [device] = register(device_payload(1, device_name='say "hi" 測試', device_holder="RS Harapan"))
    [entry] = look_up(api, mac(1))
    assert entry["device"] == api.get(f"/api/device/{device.pk}").json()["data"]


def test_keys_of_every_naming_have_their_field_names(api: Api, camel: Api) -> None:
    register(device_payload(1))
    [entry, invalid] = look_up(camel, mac(1), "x")
    assert list(entry) == ["deviceMac", "device"]
    assert entry["device"]["deviceName"] == "Cuff 1"
    assert invalid["errors"][0]["field"] == "deviceMac"
    for client in (api, camel):
        assert client.post(PATH, {"deviceMac": [mac(1)]}).content == client.post(PATH, {"device_mac": [mac(1)]}).content


@pytest.mark.parametrize("value", MALFORMED, ids=repr)
def test_malformed_entry_has_the_errors_of_a_registration(api: Api, value: object) -> None:
    register(device_payload(1))
    [expected] = api.post("/api/devices", device_payload(2, device_mac=value)).json()["errors"]
    del expected["index"]
    before, entry, after = look_up(api, mac(1), value, mac(1))
    assert (entry["device"], entry["errors"]) == (None, [expected])
    assert entry["device_mac"] == (value if isinstance(value, str) else "7" if value == 7 else None)
    assert before == after
    assert "errors" not in before


def test_messages_are_in_the_language_of_the_request(api: Api) -> None:
    response = api.post(PATH, {"device_mac": ["x"]}, **{"accept-language": "id"})
    assert "MAC" in response.json()["data"][0]["errors"][0]["message"]
    assert response.content != api.post(PATH, {"device_mac": ["x"]}).content


@pytest.mark.parametrize("group", ["FF:FF:FF:FF:FF:FF", "000000000000", "33:33:00:00:00:01"])
def test_address_of_no_single_device_is_read_as_in_a_filter(api: Api, group: str) -> None:
    assert look_up(api, group) == [{"device_mac": group, "device": None}]
    assert api.get(f"/api/devices?device_mac={group}").status_code == 200


def test_manufacturer_ids_are_found_if_the_setting_allows_them(api: Api, settings: Any) -> None:
    settings.DEVICES_ALLOW_NON_MAC = True
    register(device_payload(1, device_mac="001-20210101-0001"), device_payload(2))
    assert found(api, "001-20210101-0001", "000000000002", "abcd") == ["Cuff 1", "Cuff 2", None]
    assert "errors" in look_up(api, "abc")[0]


def test_retired_device_is_not_found(api: Api) -> None:
    [device] = register(device_payload(1))
    api.delete(f"/api/device/{device.pk}")
    assert look_up(api, mac(1)) == [{"device_mac": mac(1), "device": None}]


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ([], 400, [(None, "invalid_type")]),
        ([mac(1)], 400, [(None, "invalid_type")]),
        ("text", 400, [(None, "invalid_type")]),
        ({}, 400, [("device_mac", "required")]),
        ({"macs": [mac(1)]}, 400, [("device_mac", "required")]),
        ({"device_mac": None}, 400, [("device_mac", "null")]),
        ({"device_mac": mac(1)}, 400, [("device_mac", "invalid_type")]),
        ({"device_mac": {"0": mac(1)}}, 400, [("device_mac", "invalid_type")]),
        ({"device_mac": []}, 400, [("device_mac", "empty")]),
        ({"device_mac": [mac(1)] * (MAX_LOOKUP + 1)}, 413, [(None, "too_many_items")]),
        (None, 400, [(None, "body_required")]),
        (b"{", 400, [(None, "invalid_json")]),
        (b" " * (1024 * 1024 + 1), 413, [(None, "too_large")]),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_malformed_body_is_an_error(api: Api, body: Any, status: int, expected: list[Any]) -> None:
    response = api.post(PATH, body)
    assert (response.status_code, errors(response)) == (status, expected)


def test_error_of_the_body_names_the_field_as_the_key_does(camel: Api) -> None:
    assert errors(camel.post(PATH, {})) == [("deviceMac", "required")]


def test_unknown_parameter_is_an_error(api: Api) -> None:
    response = api.post(f"{PATH}?dry_run=true", {"device_mac": [mac(1)]})
    assert (response.status_code, errors(response)) == (400, [("dry_run", "unknown_parameter")])


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_not_supported(api: Api, method: str) -> None:
    response = api(method, PATH, {"device_mac": [mac(1)]})
    assert (response.status_code, response["Allow"]) == (405, "POST")


def test_read_only_key_can_look_up_but_not_post_elsewhere(reader: Api) -> None:
    register(device_payload(1))
    assert found(reader, mac(1)) == ["Cuff 1"]
    assert reader.post("/api/devices", device_payload(2)).status_code == 403
    assert reader.put(PATH, {"device_mac": [mac(1)]}).status_code == 403


@pytest.mark.parametrize(
    "header", [{"if-match": "x"}, {"if-none-match": "*"}, {"idempotency-key": ""}, {"idempotency-key": "1"}]
)
def test_headers_of_writes_are_ignored(api: Api, header: dict[str, str]) -> None:
    register(device_payload(1))
    for number in (1, 2):
        response = api.post(PATH, {"device_mac": [mac(number)]}, **header)
        assert response.status_code == 200
        assert not {"ETag", "Idempotency-Replayed"} & set(response.headers)
        assert response["Cache-Control"] == "no-store"


def test_lookup_is_one_request_of_the_rate_and_writes_nothing(clock: Clock, rs_a: Hospital) -> None:
    register(*(device_payload(n, device_holder=rs_a.name) for n in range(1, 5)))
    client = Api(issue("app", rate="10/min", hospitals=[rs_a]).text)
    before = Device.history.count(), AuditEvent.objects.count()
    response = client.post(PATH, {"device_mac": [mac(n) for n in range(1, 1001)]})
    assert response["RateLimit"] == '"default";r=9;t=45'
    assert RateLimitCounter.objects.get().used == 1
    assert (Device.history.count(), AuditEvent.objects.count()) == before


# --- Hospitals


def test_only_devices_in_scope_are_found(
    api: Api, api_a: Api, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    several = Api(issue("several", hospitals=[rs_a, rs_b]).text)
    nothing = Api(issue("nothing", hospitals=[]).text)
    expected = {
        api: ["Cuff 1", "Cuff 2", "Cuff 3", None],
        api_a: ["Cuff 1", None, None, None],
        several: ["Cuff 1", "Cuff 2", None, None],
        nothing: [None] * 4,
    }
    for client, names in expected.items():
        assert found(client, *map(mac, range(1, 5))) == names


def test_foreign_and_unknown_devices_have_the_same_response_and_queries(
    api_b: Api, api_a: Api, devices: dict[str, Device]
) -> None:
    register(*(device_payload(n, device_holder="RS Harapan") for n in range(4, 9)))
    api_a.delete(f"/api/device/{devices['a'].pk}")
    look_up(api_b, mac(1))  # the first request also records the use of the key
    responses = []
    for numbers in (range(3, 9), [1] * 6, range(903, 909)):  # foreign, retired and unknown
        with CaptureQueriesContext(connection) as captured:
            response = api_b.post(PATH, {"device_mac": [mac(n) for n in numbers]})
        statements = [query["sql"].replace(mac(n), "") for query in captured for n in numbers]
        assert len(captured) == 2  # the key, and the devices
        bodies = response.content
        for n in numbers:
            bodies = bodies.replace(mac(n).encode(), b"")
        headers = {name: value for name, value in response.headers.items() if name != "X-Request-ID"}
        responses.append((bodies, headers, len(statements)))
    assert responses[0] == responses[1] == responses[2]


@pytest.mark.parametrize("number", [1, MAX_LOOKUP])
def test_number_of_queries_does_not_depend_on_the_number_of_addresses(api_a: Api, number: int) -> None:
    look_up(api_a, mac(1))
    with CaptureQueriesContext(connection) as captured:
        assert found(api_a, *map(mac, range(1, number + 1))) == [None] * number
    assert len(captured) == 2
