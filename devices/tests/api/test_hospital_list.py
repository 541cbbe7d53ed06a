"""GET /api/hospitals: rows, pages, filters and the scope of each kind of key."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from devices import registry
from devices.access.actor import SYSTEM
from devices.api import hospital_queries
from devices.api.field_names import names_of
from devices.api.hospital_json import COLUMNS
from devices.api.queries import FIRST, Cut
from devices.db.triggers import counts
from devices.models import ApiKey, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.plans import explained

LIST = "/api/hospitals"
CONTACT = {
    "address": "Jalan Melati 5, Bandung",
    "email": "info@rs.example",
    "phone": "+62 22 555 0100",
    "region": "Jawa Barat",
    "domain": "rs.example",
}
EMPTY = dict.fromkeys(CONTACT, "")
HOSTILE_NAMES = ['RS "A"', "RS \\ B", "RS Žluťoučký 测试 😀", "RS </script>%s{}", "it's \u2028 RS", "RS " + "x" * 250]


def names(response: Any) -> list[str]:
    return [row["hospital_name"] for row in response.json()["data"]]


def add(*added: str) -> list[Hospital]:
    """Register hospitals with these names, with ids in this order."""
    return [next(iter(hospitals.get_or_create([name], SYSTEM).values())) for name in added]


def test_hospitals_are_listed_by_ascending_id_in_the_documented_format(
    api: Api, rs_a: Hospital, rs_b: Hospital
) -> None:
    register(*(device_payload(n, device_holder=rs_a.name) for n in (1, 2)), device_payload(3))
    Device.objects.filter(device_name="Cuff 2").update(device_type="CORPORATE")
    hospitals.update(rs_b, CONTACT, SYSTEM)
    at = datetime(2021, 11, 2, 2, 48, 2, 937000, tzinfo=UTC)
    Hospital.objects.update(created_at=at, updated_at=at + timedelta(milliseconds=1))
    times = {"created_at": 1635821282937, "updated_at": 1635821282938}
    assert api.get(LIST).json() == {
        "status": "OK",
        "code": 200,
        "message": "Hospitals returned.",
        "data": [
            {"hospital_id": rs_a.pk, "hospital_name": "RS Harapan", "device_count": 2, **EMPTY, **times},
            {"hospital_id": rs_b.pk, "hospital_name": "RS Sehat", "device_count": 0, **CONTACT, **times},
        ],
        "pagination": {"page": 1, "size": 20, "total": 2, "total_pages": 1}
        | dict.fromkeys(("after", "before", "next", "previous")),
    }


@pytest.mark.parametrize("path", [LIST, f"{LIST}/"])
def test_url_works_with_and_without_a_trailing_slash(api: Api, rs_a: Hospital, path: str) -> None:
    assert names(api.get(path)) == ["RS Harapan"]


@pytest.mark.parametrize("naming", ApiKey.Naming.values)
def test_fields_have_the_names_of_the_key(rs_a: Hospital, naming: str) -> None:
    hospitals.update(rs_a, CONTACT, SYSTEM)
    snake = Api(issue("snake").text)
    other = Api(issue("other", naming=naming).text)
    for path in (LIST, f"/api/hospital/{rs_a.pk}"):
        [expected], [row] = (
            data if isinstance(data := client.get(path).json()["data"], list) else [data] for client in (snake, other)
        )
        assert row == {name: expected[field] for name, field in names_of(tuple(COLUMNS), naming)}
    assert {"snake_case": 10, "camelCase": 10, "both": 15}[naming] == len(row)
    assert ("hospitalName" in row, "hospital_name" in row) == (naming != "snake_case", naming != "camelCase")


def test_each_text_is_valid_json(api: Api, db: None) -> None:
    for hospital, name in zip(add(*HOSTILE_NAMES), HOSTILE_NAMES, strict=True):
        Hospital.objects.filter(pk=hospital.pk).update(address=name)
    rows = orjson.loads(api.get(LIST).content)["data"]
    assert [row["address"] for row in rows] == HOSTILE_NAMES
    assert [row["hospital_name"] for row in rows] == HOSTILE_NAMES


def test_device_count_is_exact_after_each_kind_of_change(api: Api, rs_a: Hospital, rs_b: Hospital) -> None:
    def numbers() -> list[int]:
        return [row["device_count"] for row in api.get(LIST).json()["data"]]

    register(*(device_payload(n, device_holder=rs_a.name) for n in range(1, 6)))
    assert numbers() == [5, 0]
    registry.transfer(Device.objects.filter(device_name__in=["Cuff 1", "Cuff 2"]), rs_b, SYSTEM)
    registry.retire(Device.objects.filter(device_name="Cuff 3"), SYSTEM)
    assert numbers() == [2, 2]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT devices_fold_counts()")
    assert numbers() == [2, 2]
    hospitals.merge([rs_a], rs_b, SYSTEM)
    assert numbers() == [4]
    assert counts.find_drift() == []


# --- Pages


def test_following_next_returns_each_hospital_once(api: Api, db: None) -> None:
    expected = [f"RS {n}" for n in range(7)]
    add(*expected)
    seen, url = [], f"{LIST}?size=2"
    while url:
        page = api.get(url).json()
        assert (page["pagination"]["total"], page["pagination"]["total_pages"]) == (7, 4)
        assert (page["pagination"]["page"] is None) == ("after=" in url)
        seen += [row["hospital_name"] for row in page["data"]]
        if len(seen) == 2:
            add("RS New")
            hospitals.merge(Hospital.objects.filter(name="RS 1"), Hospital.objects.get(name="RS 0"), SYSTEM)
        url = (page["pagination"]["next"] or "").removeprefix("http://testserver")
    assert seen == [*expected, "RS New"]


@pytest.mark.parametrize("naming", ApiKey.Naming.values)
def test_following_previous_reaches_the_first_page(db: None, naming: str) -> None:
    api = Api(issue("app", naming=naming).text)
    ids = [hospital.pk for hospital in add(*(f"RS {n}" for n in range(5)))]
    page = api.get(f"{LIST}?after={ids[2]}&size=2").json()
    seen = []
    while previous := page["pagination"]["previous"]:
        page = api.get(previous.removeprefix("http://testserver")).json()
        seen.append(len(page["data"]))
    assert seen == [2, 1]


@pytest.mark.parametrize("ordering", ["id", "-id", "hospital_name", "-hospital_name", "updated_at", "-updated_at"])
def test_pages_by_number_are_complete_in_each_ordering(api: Api, db: None, ordering: str) -> None:
    add("RS b", "rs A", "RS c", "RS d", "RS É")
    Hospital.objects.filter(name="RS c").update(updated_at=datetime(2020, 1, 1, tzinfo=UTC))
    pages = [api.get(f"{LIST}?ordering={ordering}&size=2&page={n}") for n in (1, 2, 3, 4)]
    found = [name for page in pages for name in names(page)]
    expected = {
        "id": ["RS b", "rs A", "RS c", "RS d", "RS É"],
        "hospital_name": ["rs A", "RS b", "RS c", "RS d", "RS É"],
        "updated_at": ["RS c", "RS b", "rs A", "RS d", "RS É"],
    }[ordering.removeprefix("-")]
    if ordering.startswith("-"):
        assert sorted(found) == sorted(expected)
        assert (
            found[{"-id": 0, "-hospital_name": 0, "-updated_at": -1}[ordering]]
            == {
                "-id": "RS É",
                "-hospital_name": "RS É",
                "-updated_at": "RS c",
            }[ordering]
        )
    else:
        assert found == expected
    assert pages[3].json()["data"] == []
    assert pages[3].json()["pagination"]["total"] == 5


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sise=1", [("sise", "unknown_parameter")]),
        ("device_holder=RS", [("device_holder", "unknown_parameter")]),
        ("size=0", [("size", "out_of_range")]),
        ("size=1001", [("size", "out_of_range")]),
        ("name=", [("name", "blank")]),
        ("name=a&name=b", [("name", "repeated")]),
        ("name=%01", [("name", "characters")]),
        ("ordering=device_name", [("ordering", "invalid_choice")]),
        ("ordering=hospital_id", [("ordering", "invalid_choice")]),
        ("updated_since=2024-01-01", [("updated_since", "invalid_timestamp")]),
        ("after=1&ordering=hospital_name", [("after", "mutually_exclusive")]),
        ("page=1&after=1", [("after", "mutually_exclusive")]),
        ("page=x&created_since=x", [("page", "out_of_range"), ("created_since", "invalid_timestamp")]),
    ],
)
def test_invalid_parameter_is_named(api: Api, query: str, expected: list[tuple[str, str]]) -> None:
    response = api.get(f"{LIST}?{query}")
    assert (response.status_code, errors(response)) == (400, expected)


# --- Filters


def test_name_finds_a_hospital_by_its_name_or_a_former_name(api: Api, rs_a: Hospital, rs_b: Hospital) -> None:
    hospitals.merge(add("RS Lama"), rs_b, SYSTEM)
    hospitals.rename(rs_a, "RSUD Harapan", SYSTEM)
    for text in ("RSUD Harapan", "rsud%20HARAPAN", "RS%20%20Harapan", "%EF%BC%B2%EF%BC%B3 Harapan"):
        assert names(api.get(f"{LIST}?name={text}")) == ["RSUD Harapan"]
    assert names(api.get(f"{LIST}?name=rs%20lama")) == ["RS Sehat"]
    for text in ("RSUD", "unknown", "-"):
        page = api.get(f"{LIST}?name={text}").json()
        assert (page["data"], page["pagination"]["total"]) == ([], 0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("harapan", ["RSUD Harapan Kita", "RS Harapan Jaya"]),
        ("HARAPAN kita", ["RSUD Harapan Kita"]),
        ("kita rsud", ["RSUD Harapan Kita"]),
        ("mulia", ["RSUD Harapan Kita"]),
        ("mulia jaya", []),
        ("rs%20mulia%20kita", ["RSUD Harapan Kita"]),
        ("%25", []),
        ("_", []),
        ("ÉLA", ["RS Éla"]),
        ("", ["RSUD Harapan Kita", "RS Harapan Jaya", "RS Éla"]),
    ],
)
def test_search_finds_all_words_in_the_names_and_former_names(api: Api, text: str, found: list[str]) -> None:
    first, *_others = add("RS Mulia", "RS Harapan Jaya", "RS Éla")
    hospitals.rename(first, "RSUD Harapan Kita", SYSTEM)
    response = api.get(f"{LIST}?search={text}")
    assert names(response) == found
    assert response.json()["pagination"]["total"] == len(found)
    assert names(api.get(f"{LIST}?search={text}&size=1")) == found[:1]
    assert api.get(f"{LIST}?search={text}&size=1").json()["pagination"]["total"] == len(found)


def test_since_filters_are_inclusive(api: Api, db: None) -> None:
    at = datetime(2021, 11, 2, 2, 48, 2, 937000, tzinfo=UTC)
    for days, hospital in enumerate(add("RS 0", "RS 1", "RS 2")):
        later = at + timedelta(days=days)
        Hospital.objects.filter(pk=hospital.pk).update(created_at=later, updated_at=later + timedelta(hours=1))
    day = 1635821282937 + 86_400_000
    assert names(api.get(f"{LIST}?created_since={day}")) == ["RS 1", "RS 2"]
    assert names(api.get(f"{LIST}?created_since={day + 1}")) == ["RS 2"]
    assert names(api.get(f"{LIST}?updated_since={day + 3_600_000}")) == ["RS 1", "RS 2"]
    assert names(api.get(f"{LIST}?updated_since={day + 3_600_001}&created_since=0&search=2")) == ["RS 2"]


def test_change_of_the_number_of_devices_does_not_change_updated_at(api: Api, rs_a: Hospital) -> None:
    before = api.get(LIST).json()["data"][0]
    register(device_payload(1, device_holder=rs_a.name))
    after = api.get(LIST).json()["data"][0]
    assert after == before | {"device_count": 1}


# --- Conditional requests


def test_unchanged_list_returns_304(api: Api, rs_a: Hospital) -> None:
    first = api.get(LIST)
    again = api.get(LIST, **{"if-none-match": first["ETag"]})
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    register(device_payload(1, device_holder=rs_a.name))
    assert api.get(LIST, **{"if-none-match": first["ETag"]}).status_code == 200


# --- The scope of the key


def test_key_sees_only_its_hospitals(rs_a: Hospital, rs_b: Hospital) -> None:
    [other] = add("RS Citra")
    keys = {
        "all": issue("all"),
        "read-only": issue("read-only", read_only=True),
        "one": issue("one", hospitals=[rs_b]),
        "several": issue("several", hospitals=[other, rs_a], read_only=True),
        "none": issue("none", hospitals=[rs_a]),
    }
    keys["none"].key.hospitals.clear()
    seen = {name: api.get(LIST).json() for name, api in ((name, Api(key.text)) for name, key in keys.items())}
    everything = ["RS Harapan", "RS Sehat", "RS Citra"]
    assert {name: [row["hospital_name"] for row in page["data"]] for name, page in seen.items()} == {
        "all": everything,
        "read-only": everything,
        "one": ["RS Sehat"],
        "several": ["RS Harapan", "RS Citra"],
        "none": [],
    }
    assert {name: page["pagination"]["total"] for name, page in seen.items()} == {
        "all": 3,
        "read-only": 3,
        "one": 1,
        "several": 2,
        "none": 0,
    }


@pytest.mark.parametrize(
    "query", ["", "?name=RS%20Harapan", "?search=harapan", "?updated_since=0", "?after=0", "?page=2&size=1"]
)
def test_no_filter_finds_hospitals_outside_the_scope(api_b: Api, rs_a: Hospital, query: str) -> None:
    page = api_b.get(f"{LIST}{query}")
    assert "Harapan" not in page.content.decode().replace("search=harapan", "")
    assert page.json()["pagination"]["total"] in (0, 1)


def test_sandbox_is_listed_only_for_its_own_keys(rs_a: Hospital) -> None:
    [sandbox] = add("Sandbox")
    Hospital.objects.filter(pk=sandbox.pk).update(sandbox=True)
    unrestricted = Api(issue("app").text)
    assert names(unrestricted.get(LIST)) == ["RS Harapan"]
    assert names(unrestricted.get(f"{LIST}?name=Sandbox")) == names(unrestricted.get(f"{LIST}?search=sandbox")) == []
    assert unrestricted.get(f"/api/hospital/{sandbox.pk}").status_code == 404
    limited = Api(issue("sandbox", hospitals=[sandbox]).text)
    assert names(limited.get(LIST)) == ["Sandbox"]
    assert limited.get(f"/api/hospital/{sandbox.pk}").status_code == 200


# --- Costs


@pytest.mark.parametrize(
    ("query", "number"),
    [
        *(
            ("", 2),
            ("?size=50", 2),
            ("?after=1", 2),
            ("?page=2&size=3", 2),
            ("?updated_since=0&ordering=-updated_at", 2),
        ),
        *(("?name=rs%201", 3), ("?search=rs", 2), ("?search=rs&size=2", 3), ("?page=2&size=2&ordering=-id", 3)),
    ],
)
def test_number_of_queries_does_not_depend_on_the_rows(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries, query: str, number: int
) -> None:
    add(*(f"RS {n}" for n in range(10)))
    register(*(device_payload(n, device_holder=f"RS {n % 10}") for n in range(30)))
    api.get(LIST)  # it also records the use of the key
    with django_assert_num_queries(number):
        assert api.get(f"{LIST}{query}").status_code == 200


@pytest.mark.parametrize("query", ["", "?after={}", "?updated_since={}", "?page={}"])
def test_sql_of_a_list_is_compiled_once_for_all_values(api: Api, query: str) -> None:
    hospital_queries._page.cache_clear()
    for value in (1, 2, 3):
        api.get(f"{LIST}{query.format(value)}")
    assert hospital_queries._page.cache_info().misses <= 2  # the first page and another one


@pytest.mark.parametrize("naming", ApiKey.Naming.values)
def test_sql_without_filters_has_no_parameters_for_which_postgresql_would_plan_again(db: None, naming: str) -> None:
    query = hospital_queries._page((), "all", "id", Cut(FIRST, 20), naming)
    names = {name for name, _field in names_of(tuple(COLUMNS), naming)}  # parameters on SQLite only
    assert set(query.params) - names == set()


def test_counts_are_found_by_their_index(api: Api, db: None) -> None:
    register(*(device_payload(n, device_holder=f"RS {n}") for n in range(2000)))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    with explained() as plans:
        for query in ("", "?ordering=hospital_name", "?search=rs", "?page=3&ordering=-updated_at"):
            api.get(f"{LIST}{query}")
    assert any("devices_devicecount" in statement for statement in plans)
    assert {statement: scans for statement, scans in plans.items() if scans} == {}
