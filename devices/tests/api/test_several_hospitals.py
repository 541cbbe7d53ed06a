"""A key of several hospitals reads their devices together, at the cost of a key of one hospital."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from devices import registry
from devices.access.actor import SYSTEM
from devices.api import pagination
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db
NAMES = ["RS A", "RS B", "RS C", "RS D"]  # the key is for the first three


@pytest.fixture
def named() -> dict[str, Hospital]:
    found = hospitals.get_or_create(NAMES, SYSTEM)
    return {name: found[name.casefold()] for name in NAMES}


@pytest.fixture
def of_three(named: dict[str, Hospital]) -> Api:
    return Api(issue("group", hospitals=[named[name] for name in NAMES[:3]]).text)


@pytest.fixture
def mine() -> list[Device]:
    """Register devices of the four hospitals and of none in turn, and retire two. Return those of the first three."""
    holders = [*NAMES, None]
    types = ["CONSUMER", "CORPORATE"]
    payloads = [
        device_payload(n, device_holder=holders[n * n % 5], device_type=types[n % 3 == 0]) for n in range(1, 61)
    ]
    devices = register(*payloads)
    registry.retire(Device.objects.filter(pk__in=[devices[0].pk, devices[30].pk]), SYSTEM)
    scope = Device.objects.filter(device_holder__name__in=NAMES[:3])
    return list(scope.order_by("pk"))


def ids(response: Any) -> list[int]:
    assert response.status_code == 200, response.content
    return [device["id"] for device in response.json()["data"]]


@pytest.mark.parametrize("is_deep", [False, True])
@pytest.mark.parametrize(
    ("query", "condition"),
    [
        ("", lambda device: True),
        ("&device_type=CORPORATE", lambda device: device.device_type == "CORPORATE"),
        ("&device_holder=rs%20b", lambda device: device.device_holder.name == "RS B"),
        ("&search=cuff", lambda device: True),
        ("&created_since=1", lambda device: True),
        (
            "&device_holder=RS%20B&device_type=CONSUMER",
            lambda d: (d.device_holder.name, d.device_type) == ("RS B", "CONSUMER"),
        ),
        ("&device_holder=RS%20D", lambda device: False),
        ("&device_holder=unknown", lambda device: False),
    ],
)
def test_pages_have_all_devices_of_the_hospitals_in_order(
    of_three: Api, mine: list[Device], monkeypatch: pytest.MonkeyPatch, query: str, condition: Any, *, is_deep: bool
) -> None:
    monkeypatch.setattr(pagination, "SEEK_THRESHOLD", 4 if is_deep else 1000)
    wanted = [device.pk for device in mine if condition(device)]
    last = max(1, -(-len(wanted) // 7))
    for page in range(1, last + 2):
        response = of_three.get(f"/api/devices?page={page}&size=7{query}")
        assert ids(response) == wanted[(page - 1) * 7 : page * 7]
        shown = response.json()["pagination"]
        assert (shown["total"], shown["total_pages"], shown["next"] is None) == (
            len(wanted),
            -(-len(wanted) // 7),
            page >= last,
        )
    for pk in wanted[::5]:
        assert ids(of_three.get(f"/api/devices?after={pk}&size=5{query}")) == [each for each in wanted if each > pk][:5]
        assert (
            ids(of_three.get(f"/api/devices?before={pk}&size=5{query}")) == [each for each in wanted if each < pk][-5:]
        )
    assert ids(of_three.get(f"/api/devices?ordering=-id&size=9{query}")) == wanted[::-1][:9]
    assert ids(of_three.get(f"/api/devices?ordering=-id&size=9&page=2{query}")) == wanted[::-1][9:18]
    assert ids(of_three.get(f"/api/devices?ordering=-updated_at&size=9{query}")) == _newest(wanted)[:9]


def _newest(wanted: list[int]) -> list[int]:
    return list(Device.objects.filter(pk__in=wanted).order_by("-updated_at", "id").values_list("pk", flat=True))


@pytest.mark.parametrize("field", ["device_name", "device_mac"])
def test_filter_by_a_unique_value_finds_devices_of_the_hospitals_only(
    of_three: Api, mine: list[Device], field: str
) -> None:
    foreign = Device.objects.exclude(pk__in=[device.pk for device in mine]).order_by("pk")
    for device, found in ((mine[3], [mine[3].pk]), (foreign[0], []), (foreign[1], [])):
        response = of_three.get(f"/api/devices?{field}={getattr(device, field)}")
        assert (ids(response), response.json()["pagination"]["total"]) == (found, len(found))


@pytest.mark.parametrize("query", ["", "&device_type=CONSUMER", "&device_holder=RS%20B"])
def test_key_without_hospitals_reads_nothing(mine: list[Device], query: str) -> None:
    api = Api(issue("nothing", hospitals=[]).text)
    for position in (
        "page=1",
        "page=2",
        "after=0",
        "before=1000000",
        "ordering=-id",
        "search=cuff",
        "ordering=updated_at",
    ):
        response = api.get(f"/api/devices?{position}{query}")
        assert (ids(response), response.json()["pagination"]["total"]) == ([], 0)
    assert api.get(f"/api/device/{mine[0].pk}").status_code == 404


@pytest.mark.parametrize(
    ("query", "number"),
    [  # the key, the list with its total; for a hospital by its name, the hospital too
        *(("", 2), ("?size=7", 2), ("?page=2&size=7", 2), ("?after=1&size=7", 2), ("?ordering=-id", 2)),
        *(("?device_type=CONSUMER&size=7", 2), ("?device_holder=RS%20B&size=3", 3)),
        *(("?ordering=-updated_at", 3), ("?page=2&size=7&ordering=-updated_at", 3)),
    ],
)
def test_list_takes_as_many_queries_as_for_one_hospital(
    of_three: Api,
    named: dict[str, Hospital],
    mine: list[Device],
    django_assert_num_queries: DjangoAssertNumQueries,
    query: str,
    number: int,
) -> None:
    for api in (of_three, Api(issue("one", hospitals=[named["RS B"]]).text)):
        api.get("/api/devices")  # writes the time of the last use
        expected = 2 if api is not of_three and query == "?ordering=-updated_at" else number
        with django_assert_num_queries(expected):
            api.get(f"/api/devices{query}")


def test_totals_come_from_the_counts(of_three: Api, mine: list[Device]) -> None:
    of_three.get("/api/devices")
    queries = ("", "?size=3", "?page=3&size=3", "?device_type=CONSUMER&size=3", "?ordering=-updated_at&size=3")
    for query in queries:
        with CaptureQueriesContext(connection) as captured:
            of_three.get(f"/api/devices{query}")
        assert not [each["sql"] for each in captured if "COUNT(*)" in each["sql"]], query


def test_device_takes_two_queries(
    of_three: Api, mine: list[Device], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    of_three.get("/api/devices")
    with django_assert_num_queries(2):  # the key, the device
        assert of_three.get(f"/api/device/{mine[0].pk}").status_code == 200
