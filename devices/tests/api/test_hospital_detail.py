"""GET /api/hospital/{hospital_id}: the hospital, its successor after a merge, and the scope of the key."""

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from devices.access.actor import SYSTEM
from devices.models import ApiKey, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register


@pytest.fixture
def merged(rs_a: Hospital, rs_b: Hospital) -> str:
    """The path of RS Harapan, which was merged into RS Sehat."""
    path = f"/api/hospital/{rs_a.pk}"
    hospitals.merge([rs_a], rs_b, SYSTEM)
    return path


@pytest.mark.parametrize("ending", ["", "/", "?page=x&size=-1", "/?page=1&size=1&page=2"])
def test_hospital_is_the_row_of_the_list(api: Api, rs_a: Hospital, ending: str) -> None:
    register(device_payload(1, device_holder=rs_a.name))
    response = api.get(f"/api/hospital/{rs_a.pk}{ending}")
    assert (response.status_code, response.json()["message"]) == (200, "Hospital returned.")
    assert [response.json()["data"]] == api.get("/api/hospitals").json()["data"]


def test_unknown_parameter_returns_400(api: Api, rs_a: Hospital) -> None:
    assert errors(api.get(f"/api/hospital/{rs_a.pk}?sise=1")) == [("sise", "unknown_parameter")]


@pytest.mark.parametrize("pk", ["0", "4711", str(2**63 - 1), str(2**63), "9" * 30])
def test_missing_hospital_returns_404(api: Api, rs_a: Hospital, pk: str) -> None:
    response = api.get(f"/api/hospital/{pk}")
    assert (response.status_code, errors(response)) == (404, [(None, "not_found")])
    assert response.json()["message"].startswith("Hospital not found.")


@pytest.mark.parametrize("pk", ["x", "-1", "1.5", ""])
def test_id_that_is_not_a_number_returns_404_of_the_endpoint(api: Api, pk: str) -> None:
    assert errors(api.get(f"/api/hospital/{pk}")) == [(None, "endpoint_not_found")]


def test_etag_returns_304_until_the_hospital_changes(api: Api, rs_a: Hospital) -> None:
    path = f"/api/hospital/{rs_a.pk}"
    tag = api.get(path)["ETag"]
    assert api.get(path, **{"if-none-match": tag}).status_code == 304
    hospitals.update(rs_a, {"phone": "112"}, SYSTEM)
    assert api.get(path, **{"if-none-match": tag}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_hospitals_cannot_be_written(api: Api, rs_a: Hospital, method: str) -> None:
    for path in ("/api/hospitals", f"/api/hospital/{rs_a.pk}"):
        response = api(method, path, {})
        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")


# --- Merged hospitals


@pytest.mark.parametrize("naming", ApiKey.Naming.values)
def test_merged_hospital_returns_410_with_its_successor(merged: str, rs_b: Hospital, naming: str) -> None:
    response = Api(issue("app", naming=naming).text).get(merged)
    message = f"This hospital was merged into RS Sehat (hospital_id {rs_b.pk}). Use that hospital instead."
    snake = {"hospital_id": rs_b.pk, "hospital_name": "RS Sehat"}
    camel = {"hospitalId": rs_b.pk, "hospitalName": "RS Sehat"}
    assert response.json() == {
        "status": "GONE",
        "code": 410,
        "message": message,
        "data": [],
        "errors": [{"field": None, "code": "merged", "message": message}],
        "successor": {"snake_case": snake, "camelCase": camel, "both": {**snake, **camel}}[naming],
    }
    assert "ETag" not in response


def test_successor_is_the_last_one_under_its_current_name(api: Api, merged: str, rs_b: Hospital) -> None:
    [other] = hospitals.get_or_create(["RS Citra"], SYSTEM).values()
    hospitals.merge([rs_b], other, SYSTEM)
    hospitals.rename(other, "RS Harapan", SYSTEM)
    expected = {"hospital_id": other.pk, "hospital_name": "RS Harapan"}
    assert api.get(merged).json()["successor"] == expected
    assert api.get(f"/api/hospital/{rs_b.pk}").json()["successor"] == expected


def test_merged_hospital_is_hidden_from_keys_without_access_to_its_successor(
    merged: str, rs_a: Hospital, rs_b: Hospital
) -> None:
    [other] = hospitals.get_or_create(["RS Citra"], SYSTEM).values()
    keys: dict[str, Any] = {
        "all": {},
        "successor": {"hospitals": [rs_b]},
        "several with it": {"hospitals": [rs_b, other]},
        "read-only": {"read_only": True},
        "other": {"hospitals": [other]},
    }
    statuses = {name: Api(issue(name, **settings).text).get(merged).status_code for name, settings in keys.items()}
    assert statuses == {"all": 410, "successor": 410, "several with it": 410, "read-only": 410, "other": 404}


def test_key_of_a_merged_hospital_sees_the_successor(rs_a: Hospital, rs_b: Hospital, api_a: Api) -> None:
    hospitals.merge([rs_a], rs_b, SYSTEM)
    assert api_a.get(f"/api/hospital/{rs_a.pk}").json()["successor"]["hospital_id"] == rs_b.pk
    assert [row["hospital_id"] for row in api_a.get("/api/hospitals").json()["data"]] == [rs_b.pk]


# --- The scope of the key


def test_hospital_outside_the_scope_looks_like_a_missing_one(rs_a: Hospital, rs_b: Hospital) -> None:
    several = issue("several", hospitals=[rs_b, *hospitals.get_or_create(["RS Citra"], SYSTEM).values()])
    none = issue("none", hospitals=[rs_b])
    none.key.hospitals.clear()
    for text in (issue("one", hospitals=[rs_b]).text, several.text, none.text):
        foreign, missing = (Api(text).get(f"/api/hospital/{pk}") for pk in (rs_a.pk, 4711))
        assert (foreign.status_code, foreign.content) == (404, missing.content)
    assert Api(several.text).get(f"/api/hospital/{rs_b.pk}").status_code == 200
    assert Api(none.text).get(f"/api/hospital/{rs_b.pk}").status_code == 404


def test_hospital_is_found_by_one_query(
    api: Api, rs_a: Hospital, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    api.get(f"/api/hospital/{rs_a.pk}")
    with django_assert_num_queries(2):  # the other one finds the key
        api.get(f"/api/hospital/{rs_a.pk}")
