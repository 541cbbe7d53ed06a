"""GET /api/devices: pages, filters, search and order."""

from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from pytest_django import DjangoAssertNumQueries

from devices import registry
from devices.access.actor import SYSTEM
from devices.api import pagination, queries
from devices.models import Device, Hospital
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload, register


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.content
    return [device["id"] for device in response.json()["data"]]


NO_NEIGHBORS = {"after": None, "before": None, "next": None, "previous": None}


def follow(api: Api, url: str, step: str = "next") -> list[int]:
    seen = []
    while url:
        parts = urlsplit(url)
        body = api.get(f"{parts.path}?{parts.query}").json()
        seen += [device["id"] for device in body["data"]]
        url = body["pagination"][step]
    return seen


def test_devices_are_listed_by_ascending_id_in_the_documented_format(api: Api) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    body = api.get("/api/devices").json()
    milliseconds = round(device.created_at.timestamp() * 1000)
    assert body == {
        "status": "OK",
        "code": 200,
        "message": "Devices returned.",
        "data": [
            {
                "id": device.pk,
                "device_name": "Cuff 1",
                "device_mac": "00:00:00:00:00:01",
                "device_type": "CONSUMER",
                "device_holder": "RS Harapan",
                "created_at": milliseconds,
                "updated_at": milliseconds,
            }
        ],
        "pagination": {"page": 1, "size": 20, "total": 1, "total_pages": 1} | NO_NEIGHBORS,
    }


def test_default_page_size_is_twenty(api: Api) -> None:
    devices = register(*map(device_payload, range(1, 46)))
    first = api.get("/api/devices")
    assert ids(first) == [device.pk for device in devices[:20]]
    assert first.json()["pagination"] == {
        "page": 1,
        "size": 20,
        "total": 45,
        "total_pages": 3,
        **NO_NEIGHBORS,
        "after": devices[19].pk,
        "next": f"http://testserver/api/devices?after={devices[19].pk}&size=20",
    }
    assert ids(api.get("/api/devices?page=3&size=20")) == [device.pk for device in devices[40:]]
    assert len(ids(api.get("/api/devices?size=1000"))) == 45


def test_page_beyond_the_end_is_an_empty_list(api: Api) -> None:
    register(*map(device_payload, range(1, 6)))
    response = api.get("/api/devices?page=9&size=2")
    assert ids(response) == []
    pagination = response.json()["pagination"]
    assert (pagination["total"], pagination["next"]) == (5, None)
    assert pagination["previous"] == "http://testserver/api/devices?page=3&size=2"


@pytest.mark.parametrize("query", ["", "&device_type=CONSUMER", "&device_holder=RS%20Harapan", "&search=cuff"])
def test_deep_page_is_found_from_either_end(api: Api, api_a: Api, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    devices = register(*(device_payload(n, device_holder="RS Harapan") for n in range(1, 48)))
    registry.retire(Device.objects.filter(pk__in=[devices[5].pk, devices[30].pk]), SYSTEM)
    kept = [device.pk for device in devices if device not in (devices[5], devices[30])]
    monkeypatch.setattr(pagination, "SEEK_THRESHOLD", 4)
    for client in (api, api_a):
        for page in range(1, 14):
            response = client.get(f"/api/devices?page={page}&size=4{query}")
            assert ids(response) == kept[(page - 1) * 4 : page * 4]
            shown = response.json()["pagination"]
            assert (shown["page"], shown["total"], shown["next"] is None) == (page, 45, page >= 12)
        assert ids(client.get("/api/devices?ordering=-id&page=3&size=5")) == kept[::-1][10:15]


def test_first_page_can_be_zero(api: Api, settings: Any) -> None:
    settings.API_FIRST_PAGE = 0
    devices = register(*map(device_payload, range(1, 5)))
    assert ids(api.get("/api/devices?page=0&size=2")) == [device.pk for device in devices[:2]]
    assert ids(api.get("/api/devices?page=1&size=2")) == [device.pk for device in devices[2:]]
    assert api.get("/api/devices?size=2").json()["pagination"]["page"] == 0


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("size=0", "size"),
        ("size=1001", "size"),
        ("size=ten", "size"),
        ("size=", "size"),
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=abc", "page"),
        ("page=1.5", "page"),
        ("page=%D9%A1", "page"),
        (f"page={10**30}", "page"),
        ("after=-1", "after"),
        (f"after={2**63}", "after"),
        ("page=1&after=3", "after"),
        ("ordering=-id&after=3", "after"),
        ("devicetype=CONSUMER", "devicetype"),
        ("device_type=PHONE", "device_type"),
        ("device_type=", "device_type"),
        ("device_mac=12345", "device_mac"),
        ("device_name=a%00b", "device_name"),
        ("search=a%00b", "search"),
        ("device_holder=", "device_holder"),
        ("device_holder=A&device_holder=B", "device_holder"),
        ("updated_since=abc", "updated_since"),
        ("updated_since=-1", "updated_since"),
        (f"created_since={10**30}", "created_since"),
        (f"updated_since={'0' * 20}{'9' * 25}", "updated_since"),
        ("device_name=%ff", "device_name"),
        ("ordering=device_mac", "ordering"),
    ],
)
def test_invalid_parameter_is_named(api: Api, query: str, name: str) -> None:
    response = api.get(f"/api/devices?{query}")
    assert response.status_code == 400
    assert [field for field, _code in errors(response)] == [name]


def test_all_invalid_parameters_are_listed(api: Api) -> None:
    response = api.get("/api/devices?size=0&page=x&hospital=1&updated_since=q&device_type=Z")
    assert {field for field, _code in errors(response)} == {"size", "page", "hospital", "updated_since", "device_type"}


def test_too_many_query_parameters_return_400(api: Api) -> None:
    assert api.get("/api/devices?" + "&".join("a" * 1001)).status_code == 400


def test_default_ordering_can_be_sent(api: Api) -> None:
    devices = register(*map(device_payload, range(1, 4)))
    response = api.get("/api/devices?ordering=id&size=2")
    assert response.json()["pagination"]["next"].endswith(f"?after={devices[1].pk}&size=2&ordering=id")
    assert ids(api.get(f"/api/devices?ordering=id&after={devices[1].pk}")) == [devices[2].pk]


def test_each_pagination_link_works(api: Api) -> None:
    register(device_payload(1))
    for query in (f"after={2**63 - 1}", "before=0", "before=1", "page=7"):
        for link in ("next", "previous"):
            if url := api.get(f"/api/devices?{query}").json()["pagination"][link]:
                assert api.get(url.removeprefix("http://testserver")).status_code == 200, (query, url)


@pytest.mark.parametrize(
    "query", ["", "&page=2", "&page=9", "&after=3", "&after=0", "&before=5", "&before=1", "&ordering=-id", "&search=x"]
)
def test_after_and_before_are_the_ids_in_the_links(api: Api, query: str) -> None:
    register(*map(device_payload, range(1, 10)))
    shown = api.get(f"/api/devices?size=2{query}").json()["pagination"]
    for name, url in (("after", shown["next"]), ("before", shown["previous"])):
        linked = parse_qs(urlsplit(url or "").query).get(name)
        assert shown[name] == (int(linked[0]) if linked else None)


def test_search_is_case_insensitive_in_each_alphabet(api: Api) -> None:
    register(device_payload(1, device_name="Žluťoučký .* kůň"), device_payload(2))
    for text in ("žluťoučký", "ŽLUŤOUČKÝ", "KŮŇ", "ý .* k"):
        assert len(ids(api.get(f"/api/devices?search={quote(text)}"))) == 1, text
    assert ids(api.get("/api/devices?search=%C5%BE.%2A")) == []


def test_out_of_range_message_names_the_range(api: Api) -> None:
    assert api.get("/api/devices?size=1001").json()["errors"][0]["message"] == "This must be an integer from 1 to 1000."


def test_following_next_returns_each_remaining_device_once(api: Api) -> None:
    devices = register(*map(device_payload, range(1, 31)))
    first = api.get("/api/devices?size=7").json()
    registry.retire(Device.objects.filter(pk__in=[devices[0].pk, devices[3].pk, devices[20].pk]), SYSTEM)
    register(device_payload(99))
    rest = follow(api, first["pagination"]["next"])
    seen = [device["id"] for device in first["data"]] + rest
    assert len(seen) == len(set(seen))
    assert {device.pk for device in devices} - set(seen) == {devices[20].pk}


def test_following_previous_reaches_the_first_page(api: Api) -> None:
    devices = [device.pk for device in register(*map(device_payload, range(1, 11)))]
    body = api.get(f"/api/devices?after={devices[7]}&size=3").json()
    assert body["pagination"]["page"] is None
    parts = urlsplit(body["pagination"]["previous"])
    assert ids(api.get(f"{parts.path}?{parts.query}")) == devices[5:8]
    assert sorted(follow(api, body["pagination"]["previous"], "previous")) == devices[:8]


def test_pagination_links_keep_the_filters(api: Api) -> None:
    wanted = register(*(device_payload(n, device_type="CORPORATE") for n in range(1, 6)))
    register(*(device_payload(n) for n in range(6, 11)))
    seen = follow(api, "http://testserver/api/devices?device_type=corporate&size=2")
    assert seen == [device.pk for device in wanted]


@pytest.mark.parametrize("ordering", ["device_name", "-device_name", "-id", "updated_at", "-updated_at"])
def test_following_next_is_complete_in_each_ordering(api: Api, ordering: str) -> None:
    devices = register(*map(device_payload, range(1, 12)))
    seen = follow(api, f"http://testserver/api/devices?ordering={ordering}&size=3")
    name = ordering.lstrip("-")
    expected = sorted(devices, key=lambda device: device.pk)
    if name != "id":
        expected.sort(key=lambda device: getattr(device, name), reverse=ordering.startswith("-"))
    else:
        expected.reverse()
    assert seen == [device.pk for device in expected]


def test_each_filter_finds_the_matching_devices(api: Api) -> None:
    cuff, watch, oximeter = register(
        device_payload(1, device_holder="RS Harapan"),
        device_payload(2, device_name="Watch 2", device_type="CORPORATE", device_mac="D0:61:AE:D4:58:94"),
        device_payload(3, device_name="Oximeter 100%", device_holder="RS Sehat"),
    )
    found = {
        "device_name=Watch%202": [watch],
        "device_mac=d061.aed4.5894": [watch],
        "device_type=consumer": [cuff, oximeter],
        "device_holder=%20rs%20harapan": [cuff],
        "device_holder=Unknown": [watch],
        "device_holder=RS%20Nowhere": [],
        "search=wat": [watch],
        "search=SEHAT": [oximeter],
        "search=d0-61-ae": [watch],
        "search=D061AED4": [watch],
        "search=61:ae": [watch],
        "search=D0%2061%20AE%20D4": [watch],
        "search=d0_61_ae": [watch],
        "search=MAC:%20D0:61": [watch],
        "search=%EF%BC%A4%EF%BC%90%EF%BC%9A%EF%BC%96%EF%BC%91": [watch],  # full-width D0:61
        "search=45894": [watch],
        "device_mac=D0%2061%20AE%20D4%2058%2094": [watch],
        "search=0%25": [oximeter],
        "search=_": [],
        "search=unknown": [watch],
        "search=": [cuff, watch, oximeter],
        f"updated_since={10**13}": [],
        "created_since=0": [cuff, watch, oximeter],
        "device_type=CONSUMER&device_holder=RS%20Sehat": [oximeter],
    }
    for query, devices in found.items():
        response = api.get(f"/api/devices?{query}")
        assert ids(response) == [device.pk for device in devices], query
        assert response.json()["pagination"]["total"] == len(devices), query


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("device_name=%s&ordering=-id", ["Cuff 1", "Cuff 2", "Cuff 3"]),
        ("device_mac=%s", ["02:00:00:00:00:01", "02-00-00-00-00-02", "02:00:00:00:00:03"]),
        ("device_type=consumer&device_holder=%s", ["RS 1", "rs 2", "RS 3"]),
    ],
)
def test_filter_sql_is_compiled_once_for_all_values(api: Api, query: str, values: list[str]) -> None:
    one, two = register(
        *(device_payload(n, device_mac=f"02:00:00:00:00:0{n}", device_holder=f"RS {n}") for n in (1, 2))
    )
    queries._compiled.cache_clear()
    assert [ids(api.get(f"/api/devices?{query % quote(value)}")) for value in values] == [[one.pk], [two.pk], []]
    assert queries._compiled.cache_info().misses == 1


@pytest.mark.parametrize("query", ["search=%s", "search=%s&ordering=-updated_at"])
def test_search_is_planned_for_its_own_text(api: Api, query: str) -> None:
    one, two = register(*(device_payload(n, device_mac=f"02:00:00:00:00:0{n}") for n in (1, 2)))
    found = [ids(api.get(f"/api/devices?{query % quote(text)}")) for text in ("uff 1", "CUFF 2", "0002", "f_")]
    assert found == [[one.pk], [two.pk], [two.pk], []]


def test_since_filters_are_inclusive(api: Api) -> None:
    register(device_payload(1))
    at = api.get("/api/devices").json()["data"][0]["updated_at"]
    assert len(ids(api.get(f"/api/devices?updated_since={at}"))) == 1
    assert len(ids(api.get(f"/api/devices?updated_since={at + 1}"))) == 0


@pytest.mark.parametrize(("query", "number"), [("", 2), ("&device_type=consumer", 2), ("&search=cuff", 3)])
def test_number_of_queries_does_not_depend_on_the_page_size(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries, query: str, number: int
) -> None:
    register(*(device_payload(n, device_holder=f"RS {n}") for n in range(1, 51)))
    api.get("/api/devices")
    with django_assert_num_queries(number):
        assert len(ids(api.get(f"/api/devices?size=50{query}"))) == 50


def test_total_is_counted_only_if_the_page_does_not_show_it(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    register(*(device_payload(n) for n in range(1, 8)))
    api.get("/api/devices")  # writes last_used_at of the key
    for page, number in ((1, 4), (2, 3), (3, 4)):  # a full page; the last page; a page beyond the end
        with django_assert_num_queries(number):
            shown = api.get(f"/api/devices?search=cuff&size=4&page={page}").json()
        assert (shown["pagination"]["total"], shown["pagination"]["total_pages"]) == (7, 2)


def test_stored_count_of_zero_needs_no_counting(api: Api, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    register(device_payload(1, device_type="CONSUMER"))
    api.get("/api/devices")
    with django_assert_num_queries(2):
        body = api.get("/api/devices?device_type=CORPORATE&after=5").json()
    assert body["pagination"]["total"] == 0


@pytest.mark.parametrize("query", ["search=cuff", "created_since=0&after=0", "updated_since=0&ordering=-device_name"])
def test_counted_total_is_within_the_scope_of_the_key(
    api: Api, api_a: Api, rs_a: Hospital, rs_b: Hospital, query: str
) -> None:
    register(*(device_payload(n, device_holder=rs_a.name if n < 4 else rs_b.name) for n in range(1, 8)))
    for client, total in ((api, 7), (api_a, 3)) * 2:
        body = client.get(f"/api/devices?{query}&size=1").json()
        assert body["pagination"]["total"] == total
