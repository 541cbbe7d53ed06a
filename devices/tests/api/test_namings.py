"""The names of fields: snake_case, camelCase or both in responses, and either in requests."""

from typing import Any

import pytest

from devices.api.field_names import BOTH, CAMEL_CASE, FIELDS, SNAKE_CASE, camel_case, spell
from devices.models import Hospital
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register

CAMEL_FIELDS = ["id", "deviceName", "deviceMac", "deviceType", "deviceHolder", "createdAt", "updatedAt"]
NAMES = {SNAKE_CASE: list(FIELDS), CAMEL_CASE: CAMEL_FIELDS, BOTH: [*FIELDS, *CAMEL_FIELDS[1:]]}
SENT = {"deviceName": "Cuff 1", "deviceMac": "000000000001", "deviceType": "consumer", "deviceHolder": "RS Harapan"}

pytestmark = pytest.mark.django_db


@pytest.fixture(params=NAMES)
def naming(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(naming: str) -> Api:
    """A client whose key has the naming."""
    return Api(issue("web", naming=naming).text)


def test_each_response_with_devices_has_the_names_of_the_naming(client: Api, naming: str) -> None:
    created = client.post("/api/devices", [SENT])
    [device] = created.json()["data"]
    path = f"/api/device/{device['id']}"
    assert list(created.json())[:4] == ["status", "code", "message", "data"]
    assert list(device) == NAMES[naming]
    snake = {"id": device["id"], "device_name": "Cuff 1", "device_mac": "00:00:00:00:00:01"} | {
        "device_type": "CONSUMER",
        "device_holder": "RS Harapan",
        **{
            field: device[camel_case(field) if naming == CAMEL_CASE else field]
            for field in ("created_at", "updated_at")
        },
    }
    assert device == spell(snake, naming)

    listed = client.get("/api/devices").json()
    feed = client.get("/api/devices/changes").json()
    assert "total_pages" in listed["pagination"]
    shown = {
        "list": listed["data"][0],
        "search": client.get("/api/devices?search=cuff").json()["data"][0],
        "detail": client.get(path).json()["data"],
        "PUT": client.put(path, SENT).json()["data"],
        "PUT without an id": client.put("/api/device", SENT).json()["data"],
        "PATCH": client.patch(path, {"device_type": "CONSUMER"}).json()["data"],
        "upsert": client.post("/api/devices?on_conflict=update", SENT).json()["data"][0]["device"],
        "412": client.delete(path, if_match='"7-x"').json()["data"],
        "feed": feed["data"][0]["device"],
    }
    assert {what: list(row.items()) for what, row in shown.items()} == {what: list(device.items()) for what in shown}
    new = client.post("/api/devices?mode=partial", device_payload(2)).json()["data"][0]["device"]
    preview = client.post("/api/device?dry_run=true", device_payload(3)).json()["data"][0]
    assert [list(new), list(preview)] == [NAMES[naming], NAMES[naming]]


def test_if_match_accepts_the_etag_of_each_naming(client: Api, api: Api, naming: str) -> None:
    created = client.post("/api/device", SENT)
    path = f"/api/device/{created.json()['data'][0]['id']}"
    tag, tag_of_snake_case = client.get(path)["ETag"], api.get(path)["ETag"]
    assert (tag == tag_of_snake_case) == (naming == "snake_case")  # the bytes differ, and a strong ETag says so
    assert created["ETag"] == tag
    assert client.get(path, if_none_match=tag).status_code == 304
    assert client.put(path, SENT, if_match=tag_of_snake_case)["ETag"] == tag
    assert client.patch(path, {"device_name": "x"}, if_match='"7-x"')["ETag"] == tag


@pytest.mark.parametrize("sent", [SENT, {**device_payload(1), "device_holder": "RS Harapan"}], ids=["camel", "snake"])
def test_each_key_can_send_either_spelling(client: Api, api: Api, sent: dict[str, Any]) -> None:
    [device] = client.post("/api/devices", [sent]).json()["data"]
    stored = api.get(f"/api/device/{device['id']}").json()["data"]
    assert (stored["device_mac"], stored["device_holder"]) == ("00:00:00:00:00:01", "RS Harapan")
    named = "deviceHolder" if "deviceName" in sent else "device_holder"
    client.patch(f"/api/device/{device['id']}", {named: "RS Sehat"})
    client.put("/api/device", {**sent, named: "RS Budi"})
    assert api.get("/api/devices?device_holder=RS%20Budi").json()["pagination"]["total"] == 1
    [result] = client.post("/api/devices?on_conflict=update", {**sent, named: "RS Bunda"}).json()["data"]
    assert result["status"] == "updated"
    assert api.get("/api/devices?device_holder=RS%20Bunda").json()["pagination"]["total"] == 1


def test_snake_case_wins_if_both_names_are_sent(client: Api, api: Api) -> None:
    [device] = client.post("/api/devices", device_payload(1)).json()["data"]
    row = spell(api.get(f"/api/device/{device['id']}").json()["data"], BOTH)
    client.put("/api/device", {**row, "deviceName": "Old"})
    assert api.get("/api/devices").json()["data"][0]["device_name"] == "Cuff 1"
    client.put("/api/device", {**row, "device_name": "Edited"})
    assert api.get("/api/devices").json()["data"][0]["device_name"] == "Edited"


def test_fields_in_errors_have_the_names_of_the_key(client: Api, naming: str) -> None:
    fields = CAMEL_FIELDS if naming == CAMEL_CASE else FIELDS
    expected = [(fields[1], "blank"), (fields[2], "required"), (fields[3], "required")]
    assert errors(client.post("/api/devices", {"deviceName": " "})) == expected
    assert errors(client.post("/api/devices", {"device_name": " "})) == expected
    [result] = client.post("/api/devices?mode=partial", {"deviceName": " "}).json()["data"]
    assert [error["field"] for error in result["errors"]] == list(fields[1:4])


def test_query_parameters_have_the_same_names_for_each_key(client: Api) -> None:
    assert errors(client.get("/api/devices?device_type=PHONE")) == [("device_type", "invalid_choice")]
    assert errors(client.get("/api/devices?deviceType=CONSUMER")) == [("deviceType", "unknown_parameter")]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_other_spellings_are_unknown_fields(client: Api, method: str) -> None:
    [device] = register(device_payload(1))
    body = {"DeviceName": "x", "devicename": "x", "device-name": "x", "createdAt": 7}
    found = errors(client(method, f"/api/device/{device.pk}", body))
    assert [code for _field, code in found] == (["no_known_field"] if method == "PATCH" else ["required"] * 3)


def test_other_resources_get_their_names_from_the_same_function() -> None:
    row = {"hospital_id": 7, "name": "RS Harapan", "updated_at": 1}
    assert spell(row, SNAKE_CASE) == row
    assert spell(row, CAMEL_CASE) == {"hospitalId": 7, "name": "RS Harapan", "updatedAt": 1}
    assert spell(row, BOTH) == row | {"hospitalId": 7, "updatedAt": 1}


def test_scope_of_a_hospital_applies_in_each_naming(naming: str, rs_a: Hospital, rs_b: Hospital) -> None:
    client = Api(issue("web", hospitals=[rs_a], naming=naming).text)
    sent = {**SENT, "deviceHolder": rs_b.name}
    assert client.post("/api/device", sent).status_code == 403
    assert client.post("/api/device", SENT).status_code == 201
