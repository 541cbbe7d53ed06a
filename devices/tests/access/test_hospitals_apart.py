"""What leaks sideways, if anything does: by what else an answer tells one hospital of another, or how long it takes.

test_access_matrix.py holds who is answered what; here hospital RS Sehat asks, before and after RS Harapan was busy.
"""

import base64
import re
import struct
from collections.abc import Callable
from typing import Any

import pytest
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

CHANGES = "/api/devices/changes"
LIST, HISTORY = "/admin/devices/device/", "/admin/devices/historicaldevice/"

ASKED = [
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
    CHANGES,
    f"{CHANGES}?since=now&wait=1",
]
SHOWN = [
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
    client.force_login(users.User.objects.get(username="sari@rs.example"))
    return client


def busy(rs_a: Hospital, theirs: Device) -> None:
    """Do elsewhere whatever there is to do."""
    register(
        *(device_payload(n, device_holder=rs_a.name) for n in range(10, 40)),
        device_payload(41, device_holder="RS Baru"),
        device_payload(42),
    )
    registry.update(Device.objects.filter(pk=theirs.pk), {"device_name": "Renamed", "device_type": "CORPORATE"}, SYSTEM)
    registry.retire(Device.objects.filter(device_name="Cuff 10"), SYSTEM)
    registry.transfer(Device.objects.filter(device_name="Cuff 11"), None, SYSTEM)
    hospitals.rename(rs_a, "RS Harapan Kita", SYSTEM)
    hospitals.merge(Hospital.objects.filter(name="RS Baru"), rs_a, SYSTEM)
    users.invite("Ibu Ratna", "ratna@rs.example", [rs_a])
    issue("another", hospital=rs_a)


def told(response: Any) -> tuple[Any, ...]:
    """Return an answer without what differs each time: tokens of forms, cursors, the time, the request's id."""
    text = re.sub(r'(csrfmiddlewaretoken" value=|"cursor":|since=)"?[\w-]+', "", response.content.decode())
    return response.status_code, text, response.headers.get("ETag"), response.headers.get("Location")


@pytest.mark.parametrize("path", ASKED)
def test_changes_of_another_hospital_do_not_change_an_api_response(
    api_b: Api, ids: dict[str, int], devices: dict[str, Device], rs_a: Hospital, path: str
) -> None:
    before = told(api_b.get(path.format(**ids)))
    busy(rs_a, devices["a"])
    assert told(api_b.get(path.format(**ids))) == before


@pytest.mark.parametrize("path", SHOWN)
def test_changes_of_another_hospital_do_not_change_a_page(
    sari: Client, ids: dict[str, int], devices: dict[str, Device], rs_a: Hospital, path: str
) -> None:
    before = told(sari.get(path.format(**ids)))
    busy(rs_a, devices["a"])
    cache.clear()
    after = told(sari.get(path.format(**ids)))
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
        assert errors(api_b.get(f"{CHANGES}?since={other}")) == [("since", "cursor")]


def test_etag_of_a_list_changes_when_its_hospital_name_becomes_an_alias(api_b: Api, rs_b: Hospital) -> None:
    register(device_payload(2, device_holder=rs_b.name))
    empty = hospitals.get_or_create(["RS Kosong"], SYSTEM)["rs kosong"]
    path = "/api/devices?device_holder=RS%20Kosong"
    before = api_b.get(path)
    hospitals.merge([empty], rs_b, SYSTEM)
    after = api_b.get(path, **{"if-none-match": before["ETag"]})
    assert (before.json()["data"], len(after.json()["data"])) == ([], 1)


def shapes(act: Callable[[], Any]) -> list[str]:
    """Return what the database is asked meanwhile, without the values."""
    with CaptureQueriesContext(connection) as captured:
        act()
    return [re.sub(r"'[^']*'|\b\d+\b|s\d+_x\d+", "?", query["sql"]) for query in captured.captured_queries]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_queries_are_the_same_for_a_foreign_and_a_missing_device(api_b: Api, ids: dict[str, int], method: str) -> None:
    def ask(pk: int) -> list[str]:
        body = device_payload(9) if method.startswith("P") else None
        return shapes(lambda: api_b(method, f"/api/device/{pk}", body))

    ask(1)  # what is prepared once, and the use of the key, are behind us
    assert ask(ids["theirs"]) == ask(ids["retired"]) == ask(987_654)


@pytest.mark.parametrize(
    ("theirs", "nobodys"),
    [
        ("device_holder=RS%20Harapan", "device_holder=RS%20Jauh"),
        ("device_holder=RS%20Lama", "device_holder=RS%20Jauh"),
        ("search=harapan", "search=jauh"),
        ("device_name=Cuff%201", "device_name=Cuff%2099"),
        ("device_mac=000000000001", "device_mac=000000000099"),
    ],
)
def test_queries_are_the_same_for_a_filter_with_foreign_values(
    api_b: Api, ids: dict[str, int], rs_a: Hospital, theirs: str, nobodys: str
) -> None:
    hospitals.merge([hospitals.get_or_create(["RS Lama"], SYSTEM)["rs lama"]], rs_a, SYSTEM)

    def ask(query: str) -> list[str]:
        return shapes(lambda: api_b.get(f"/api/devices?{query}"))

    ask(nobodys)
    assert ask(theirs) == ask(nobodys)


def test_queries_are_the_same_for_a_search_of_foreign_values_in_the_admin(sari: Client, ids: dict[str, int]) -> None:
    def ask(text: str) -> list[str]:
        return shapes(lambda: sari.get(f"{LIST}?q={text}"))

    ask("jauh")
    assert ask("harapan") == ask("jauh")


@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_queries_are_the_same_for_the_page_of_a_foreign_and_a_missing_device(
    sari: Client, ids: dict[str, int], page: str
) -> None:
    def ask(pk: int) -> list[str]:
        return shapes(lambda: sari.get(f"{LIST}{pk}/{page}/"))

    ask(1)
    assert ask(ids["theirs"]) == ask(ids["retired"]) == ask(987_654)


@pytest.mark.parametrize("query", ["", "?on_conflict=update", "?mode=partial", "?dry_run=true"])
def test_conflict_does_not_disclose_the_hospital_of_the_other_device(
    api_b: Api, ids: dict[str, int], devices: dict[str, Device], query: str
) -> None:
    def ask(other: Device) -> Any:
        return api_b.post(f"/api/devices{query}", device_payload(50, device_name=other.device_name)).content

    assert ask(devices["a"]) == ask(devices["free"]) == ask(devices["b"])


def test_put_with_a_foreign_mac_or_id_returns_the_same_as_with_a_missing_one(api_b: Api, ids: dict[str, int]) -> None:
    for body in (
        device_payload(1),
        device_payload(1, id=ids["theirs"]),
        device_payload(4),
        device_payload(4, id=ids["retired"]),
    ):
        assert api_b.put("/api/device", body).content == api_b.put("/api/device", device_payload(77)).content
