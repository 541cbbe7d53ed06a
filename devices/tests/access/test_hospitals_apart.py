"""Check that responses to one hospital disclose nothing about another: not in content, headers, cursors or queries.

test_access_matrix.py checks the status of each response. Here RS Sehat sends the same requests before and after changes
at RS Harapan.
"""

import base64
import re
import struct
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import users
from devices.history import feed
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.pages import without_varying_parts

CHANGES, LOOKUP = "/api/devices/changes", "/api/devices/lookup"
LIST, HISTORY = "/admin/devices/device/", "/admin/devices/historicaldevice/"

API_PATHS = [
    "/api/devices",
    "/api/devices?search=cuff",
    "/api/devices?search=harapan",
    "/api/devices?device_holder=RS%20Harapan",
    "/api/devices?device_name=Cuff%201",
    "/api/devices?device_mac=000000000001",
    "/api/devices?ordering=-updated_at&size=1&page=2",
    "/api/devices?after=0&size=1",
    "/api/devices?updated_since=0",
    "/api/device/{theirs}",
    "/api/device/{retired}",
    "/api/device/{theirs}/changes",
    "/api/device/{retired}/changes?size=1",
    CHANGES,
    f"{CHANGES}?since=now&wait=1",
    "/api/hospitals",
    "/api/hospitals?search=harapan",
    "/api/hospitals?name=RS%20Harapan",
    "/api/hospitals?name=RS%20Baru",
    "/api/hospitals?ordering=-updated_at&size=1&page=2",
    "/api/hospitals?after=0&size=1",
    "/api/hospitals?updated_since=0",
    "/api/hospital/{hospital}",
    "/api/key",
]
PAGES = [
    "/admin/",
    LIST,
    f"{LIST}?q=harapan",
    f"{LIST}?device_holder__id__exact={{hospital}}&_facets=True",
    f"{LIST}?o=-3&all=",
    f"{LIST}?_popup=1&_to_field=id",
    f"{LIST}{{theirs}}/change/?_to_field=id&_popup=1",
    f"{LIST}Cuff%201/change/?_to_field=device_name",
    f"{LIST}add/?device_holder={{hospital}}&_changelist_filters=q%3Dharapan",
    f"{HISTORY}?id={{theirs}}",
    f"{HISTORY}?_facets=True",
    "/admin/devices/hospital/?q=harapan",
    "/admin/search/?s=harapan",
    "/admin/autocomplete/?app_label=devices&model_name=device&field_name=device_holder&term=ha",
    "/admin/autocomplete/?app_label=devices&model_name=device&field_name=device_holder&term=&page=1&_to_field=name",
]


@pytest.fixture
def ids(devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital) -> dict[str, int]:
    users.invite("Ibu Sari", "sari@rs.example", [rs_b])
    [retired] = register(device_payload(4, device_holder=rs_a.name))
    registry.retire(Device.objects.filter(pk=retired.pk), SYSTEM)
    feed.state()
    return {"theirs": devices["a"].pk, "retired": retired.pk, "hospital": rs_a.pk}


@pytest.fixture
def sari(ids: dict[str, int]) -> Client:
    client = Client()
    client.force_login(User.objects.get(username="sari@rs.example"))
    return client


@pytest.fixture
def outsiders(api_b: Api, rs_b: Hospital) -> list[Api]:
    """Return clients without access to RS Harapan: of RS Sehat, of two hospitals, of none, and of the sandbox."""
    far = hospitals.get_or_create(["RS Jauh"], SYSTEM)["rs jauh"]
    group, nothing = issue("group", hospitals=[rs_b, far]), issue("nothing", hospitals=[])
    return [api_b, *(Api(issued.text) for issued in (group, nothing, issue("tries", sandbox=True)))]


def make_changes(rs_a: Hospital, device: Device) -> None:
    """Make changes of every kind at RS Harapan."""
    register(
        *(device_payload(n, device_holder=rs_a.name) for n in range(10, 40)),
        device_payload(41, device_holder="RS Baru"),
        device_payload(42),
    )
    registry.update(Device.objects.filter(pk=device.pk), {"device_name": "Renamed", "device_type": "CORPORATE"}, SYSTEM)
    registry.retire(Device.objects.filter(device_name="Cuff 10"), SYSTEM)
    registry.transfer(Device.objects.filter(device_name="Cuff 11"), None, SYSTEM)
    hospitals.rename(rs_a, "RS Harapan Kita", SYSTEM)
    hospitals.merge(Hospital.objects.filter(name="RS Baru"), rs_a, SYSTEM)
    users.invite("Ibu Ratna", "ratna@rs.example", [rs_a])
    issue("another", hospitals=[rs_a])


def mac(number: int) -> str:
    return str(device_payload(number)["device_mac"])


def normalized(response: Any) -> tuple[Any, ...]:
    """Return the response without parts that differ each time: form tokens, cursors, request ID and other headers."""
    page = without_varying_parts(response.content).decode()
    text = re.sub(r'(csrfmiddlewaretoken" value=|"cursor":|since=)"?[\w-]+', "", page)
    return response.status_code, text, response.headers.get("ETag"), response.headers.get("Location")


@pytest.mark.parametrize("path", API_PATHS)
def test_changes_of_another_hospital_do_not_change_an_api_response(
    outsiders: list[Api], ids: dict[str, int], devices: dict[str, Device], rs_a: Hospital, path: str
) -> None:
    clients = outsiders[:1] if "wait" in path else outsiders
    before = [normalized(client.get(path.format(**ids))) for client in clients]
    make_changes(rs_a, devices["a"])
    assert [normalized(client.get(path.format(**ids))) for client in clients] == before
    assert not [response for response in before if "Harapan" in response[1]]


def test_changes_of_another_hospital_do_not_change_a_lookup(
    api_b: Api, ids: dict[str, int], devices: dict[str, Device], rs_a: Hospital
) -> None:
    def response() -> tuple[Any, ...]:
        return normalized(api_b.post(LOOKUP, {"device_mac": [mac(n) for n in range(1, 45)]}))

    before = response()
    make_changes(rs_a, devices["a"])
    assert response() == before


@pytest.mark.parametrize("path", PAGES)
def test_changes_of_another_hospital_do_not_change_a_page(
    sari: Client, ids: dict[str, int], devices: dict[str, Device], rs_a: Hospital, path: str
) -> None:
    before = normalized(sari.get(path.format(**ids)))
    make_changes(rs_a, devices["a"])
    cache.clear()
    after = normalized(sari.get(path.format(**ids)))
    assert after == before
    assert "Harapan" not in after[1]


def test_cursor_does_not_disclose_changes_of_another_hospital(api: Api, api_b: Api, ids: dict[str, int]) -> None:
    def cursor() -> str:
        url = api_b.get(f"{CHANGES}?since=now").json()["pagination"]["next"]
        return str(re.search(r"since=([\w-]+)", url)[1])  # type: ignore[index]

    first, second = cursor(), cursor()
    assert first != second
    assert len(first) == len(second)
    here = struct.pack(">Q", feed.stable_watermark())
    assert not [text for text in (first, second) if here in base64.urlsafe_b64decode(text)]
    register(device_payload(5, device_holder="RS Sehat"))
    for text in (first, second):
        [event] = api_b.get(f"{CHANGES}?since={text}").json()["data"]
        assert event["device"]["device_name"] == "Cuff 5"
        assert api.get(f"{CHANGES}?since={text}").status_code == 410


def test_cursor_with_a_changed_character_is_invalid(api_b: Api, ids: dict[str, int]) -> None:
    text = api_b.get(CHANGES).json()["data"][0]["cursor"]
    for place in range(0, len(text), 7):
        other = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        response = api_b.get(f"{CHANGES}?since={other}")
        assert (response.status_code, errors(response)) == (410, [(None, "cursor_too_old")])


def test_etag_of_a_list_changes_when_its_hospital_name_becomes_an_alias(api_b: Api, rs_b: Hospital) -> None:
    register(device_payload(2, device_holder=rs_b.name))
    empty = hospitals.get_or_create(["RS Kosong"], SYSTEM)["rs kosong"]
    path = "/api/devices?device_holder=RS%20Kosong"
    before = api_b.get(path)
    hospitals.merge([empty], rs_b, SYSTEM)
    after = api_b.get(path, **{"if-none-match": before["ETag"]})
    assert (before.json()["data"], len(after.json()["data"])) == ([], 1)


def shapes(act: Callable[[], Any]) -> list[str]:
    """Return the queries that `act` causes, without their values."""
    with CaptureQueriesContext(connection) as captured:
        act()
    return [re.sub(r"'[^']*'|\b\d+\b|s\d+_x\d+", "?", query["sql"]) for query in captured.captured_queries]


@pytest.mark.parametrize(
    ("method", "below"), [("GET", ""), ("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/changes")]
)
def test_queries_are_the_same_for_a_foreign_and_a_missing_device(
    outsiders: list[Api], ids: dict[str, int], method: str, below: str
) -> None:
    for client in outsiders:

        def queries_of(pk: int, send: Api = client) -> list[str]:
            body = device_payload(9) if method.startswith("P") else None
            return shapes(lambda: send(method, f"/api/device/{pk}{below}", body))

        queries_of(1)  # the first request also prepares statements and records the use of the key
        assert queries_of(ids["theirs"]) == queries_of(ids["retired"]) == queries_of(987_654)


def test_queries_are_the_same_for_a_lookup_of_foreign_and_of_unknown_devices(
    api_b: Api, ids: dict[str, int], devices: dict[str, Device]
) -> None:
    def queries_of(*numbers: int) -> list[str]:
        return shapes(lambda: api_b.post(LOOKUP, {"device_mac": [mac(n) for n in numbers]}))

    queries_of(1)
    assert queries_of(1, 3, 4) == queries_of(901, 903, 904)


@pytest.mark.parametrize(
    ("foreign", "missing"),
    [
        ("device_holder=RS%20Harapan", "device_holder=RS%20Jauh"),
        ("device_holder=RS%20Lama", "device_holder=RS%20Jauh"),
        ("search=harapan", "search=jauh"),
        ("device_name=Cuff%201", "device_name=Cuff%2099"),
        ("device_mac=000000000001", "device_mac=000000000099"),
    ],
)
def test_queries_are_the_same_for_a_filter_with_foreign_values(
    api_b: Api, ids: dict[str, int], rs_a: Hospital, foreign: str, missing: str
) -> None:
    hospitals.merge([hospitals.get_or_create(["RS Lama"], SYSTEM)["rs lama"]], rs_a, SYSTEM)

    def queries_of(query: str) -> list[str]:
        return shapes(lambda: api_b.get(f"/api/devices?{query}"))

    queries_of(missing)
    assert queries_of(foreign) == queries_of(missing)


def test_queries_are_the_same_for_a_foreign_a_merged_and_a_missing_hospital(
    api_b: Api, rs_a: Hospital, rs_b: Hospital
) -> None:
    citra, former = (hospitals.get_or_create([name], SYSTEM)[name.lower()] for name in ("RS Citra", "RS Lama"))
    hospitals.merge([former], rs_a, SYSTEM)

    def queries_of(api: Api, path: str) -> list[str]:
        return shapes(lambda: api.get(f"/api/hospital{path}"))

    for api in (api_b, Api(issue("several", hospitals=[rs_b, citra]).text)):
        queries_of(api, "/987653")  # the first 404 is recorded, those of the same minute are counted
        queries = [queries_of(api, f"/{pk}") for pk in (rs_a.pk, former.pk, 987_654)]
        assert queries[0] == queries[1] == queries[2]
        for query in ("s?name=RS%20Harapan", "s?name=RS%20Lama", "s?search=harapan"):
            assert queries_of(api, query) == queries_of(api, query.split("=")[0] + "=jauh")


def test_queries_are_the_same_for_a_search_of_foreign_values_in_the_admin(sari: Client, ids: dict[str, int]) -> None:
    def queries_of(text: str) -> list[str]:
        return shapes(lambda: sari.get(f"{LIST}?q={text}"))

    queries_of("jauh")
    assert queries_of("harapan") == queries_of("jauh")


@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_queries_are_the_same_for_the_page_of_a_foreign_and_a_missing_device(
    sari: Client, ids: dict[str, int], page: str
) -> None:
    def queries_of(pk: int) -> list[str]:
        return shapes(lambda: sari.get(f"{LIST}{pk}/{page}/"))

    queries_of(1)
    assert queries_of(ids["theirs"]) == queries_of(ids["retired"]) == queries_of(987_654)


@pytest.mark.parametrize("query", ["", "?on_conflict=update", "?mode=partial", "/batch", "?dry_run=true"])
def test_conflict_does_not_disclose_the_hospital_of_the_other_device(
    api_b: Api, ids: dict[str, int], devices: dict[str, Device], query: str
) -> None:
    def response_to(other: Device) -> Any:
        return api_b.post(f"/api/devices{query}", device_payload(50, device_name=other.device_name)).content

    assert response_to(devices["a"]) == response_to(devices["free"]) == response_to(devices["b"])


def test_put_with_a_foreign_mac_or_id_returns_the_same_as_with_a_missing_one(api_b: Api, ids: dict[str, int]) -> None:
    for body in (
        device_payload(1),
        device_payload(1, id=ids["theirs"]),
        device_payload(4),
        device_payload(4, id=ids["retired"]),
    ):
        assert api_b.put("/api/device", body).content == api_b.put("/api/device", device_payload(77)).content


@pytest.mark.parametrize("query", ["", "?mode=partial", "?dry_run=true", "?on_conflict=update"])
def test_similar_names_do_not_disclose_another_hospital(
    ids: dict[str, int], rs_a: Hospital, rs_b: Hospital, query: str
) -> None:
    """The name, a former name, and a misspelled name of RS Harapan have the same response as a name of no hospital."""
    hospitals.merge([hospitals.get_or_create(["RS Harum"], SYSTEM)["rs harum"]], rs_a, SYSTEM)
    several = [rs_b, *hospitals.get_or_create(["RS Mulia"], SYSTEM).values()]
    for own in ([rs_b], several):
        careful = Api(issue("careful", hospitals=own, unknown_holder="refuse").text)

        def response_to(name: str, careful: Api = careful) -> Any:
            return careful.post(f"/api/devices{query}", device_payload(50, device_holder=name)).content

        unknown = response_to("Klinik Jauh")
        assert b"unknown_hospital" in unknown
        assert [
            name for name in ("RS Harapan", "RS Harum", "RS Harapn", "RS Haram") if response_to(name) != unknown
        ] == []
        assert shapes(lambda: response_to("RS Harapan")) == shapes(lambda: response_to("Klinik Jauh"))
