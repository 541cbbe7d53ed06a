"""An omitted `device_holder` and `unknown` have different meanings for keys of one hospital, of several, and of all."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.access.actor import SYSTEM
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register

DEVICES = "/api/devices"
NO_NAME = [None, "", " ", "-", "N/A", "#REF!"]
MODES = ["", "mode=partial", "on_conflict=update", "mode=partial&on_conflict=update", "dry_run=true"]
# The body in the vendor's documentation.
DOCUMENTED = {
    "device_name": "E86 5894",
    "device_mac": "D0:61:AE:D4:58:94",
    "device_type": "CONSUMER",
    "device_holder": "unknown",
}


@pytest.fixture
def several(rs_a: Hospital, rs_b: Hospital) -> Api:
    """A client with a key of both hospitals."""
    return Api(issue("clinic group", hospitals=[rs_a, rs_b]).text)


def holders(response: Any) -> list[str]:
    rows = response.json()["data"]
    return [(row.get("device") or row)["device_holder"] for row in (rows if isinstance(rows, list) else [rows])]


# --- One hospital: `unknown` means that hospital


def test_documented_body_works_with_each_read_write_key(api: Api, api_a: Api) -> None:
    for client, holder in ((api, "unknown"), (api_a, "RS Harapan")):
        posted = client.post(DEVICES, DOCUMENTED)
        assert (posted.status_code, holders(posted)) == (201, [holder])
        path = f"/api/device/{posted.json()['data'][0]['id']}"
        for response in (client.put(path, DOCUMENTED), client.put("/api/device", DOCUMENTED)):
            assert (response.status_code, holders(response)) == (200, [holder])
        assert client.delete(path).status_code == 200


@pytest.mark.parametrize("query", MODES)
@pytest.mark.parametrize("name", ["unknown", " UNKNOWN ", *NO_NAME])
def test_device_without_a_name_gets_the_only_hospital(api_a: Api, query: str, name: Any) -> None:
    response = api_a.post(f"{DEVICES}?{query}", [device_payload(1, device_holder=name), device_payload(2)])
    status = 207 if "=p" in query or "=u" in query else 201
    assert (response.status_code, holders(response)) == (status, ["RS Harapan"] * 2)


@pytest.mark.parametrize("query", ["", "?dry_run=true", "?unknown_holder=refuse"])
def test_unknown_leaves_a_device_in_the_only_hospital(api_a: Api, devices: dict[str, Device], query: str) -> None:
    path = f"/api/device/{devices['a'].pk}{query}"
    before = devices["a"].updated_at
    for response in (
        api_a.patch(path, {"device_holder": "unknown"}),
        api_a.put(path, device_payload(1, device_holder="unknown")),
    ):
        assert (response.status_code, holders(response)) == (200, ["RS Harapan"])
    devices["a"].refresh_from_db()
    assert devices["a"].updated_at == before


def test_upsert_with_unknown_leaves_the_hospital(api_a: Api, devices: dict[str, Device]) -> None:
    posted = [device_payload(1, device_name="New", device_holder="unknown"), device_payload(7, device_holder="unknown")]
    response = api_a.post(f"{DEVICES}?on_conflict=update", posted)
    assert [row["status"] for row in response.json()["data"]] == ["updated", "created"]
    assert holders(response) == ["RS Harapan"] * 2


def test_unknown_in_an_idempotent_request(api_a: Api) -> None:
    first, again = (api_a.post(DEVICES, DOCUMENTED, **{"idempotency-key": "one"}) for _ in range(2))
    assert (first.status_code, again.content) == (201, first.content)
    other = {**DOCUMENTED, "device_holder": "RS Harapan"}
    assert api_a.post(DEVICES, other, **{"idempotency-key": "one"}).status_code == 422


def test_unknown_removes_the_hospital_for_a_key_of_all(api: Api, devices: dict[str, Device]) -> None:
    assert holders(api.patch(f"/api/device/{devices['a'].pk}", {"device_holder": "unknown"})) == ["unknown"]


def test_no_rule_costs_a_query(api: Api, api_a: Api, rs_b: Hospital) -> None:
    careful = Api(issue("careful", unknown_holder="refuse").text)

    def queries_of(client: Api, number: int, **fields: Any) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.post(DEVICES, device_payload(number, **fields)).status_code == 201
        return len(captured)

    for number, client in enumerate((api, api_a, careful), start=1):
        client.post(DEVICES, device_payload(number))  # records the use of the key
    without, named = queries_of(api, 10), queries_of(api, 11, device_holder="RS Sehat")
    assert named == without + 1
    assert queries_of(api_a, 12) == queries_of(api_a, 13, device_holder="unknown") == without
    assert queries_of(careful, 14, device_holder="unknown") == without
    assert queries_of(careful, 15, device_holder="RS Sehat") == named + 1  # only `refuse` looks the name up first


# --- Several hospitals


@pytest.mark.parametrize("query", ["", "mode=all", "on_conflict=update", "dry_run=true", "unknown_holder=refuse"])
@pytest.mark.parametrize("name", ["unknown", *NO_NAME])
def test_new_device_needs_one_of_several_hospitals(several: Api, query: str, name: Any) -> None:
    posted = [device_payload(1, device_holder="rs sehat"), device_payload(2), device_payload(3, device_holder=name)]
    response = several.post(f"{DEVICES}?{query}", posted)
    assert (response.status_code, errors(response)) == (400, [("device_holder", "holder_required")] * 2)
    assert [error["index"] for error in response.json()["errors"]] == [1, 2]
    assert response.json()["errors"][0]["message"].endswith("Send the name of one of them: RS Harapan, RS Sehat.")
    assert not Device.objects.exists()


def test_partial_mode_registers_the_devices_with_a_hospital(several: Api) -> None:
    response = several.post(f"{DEVICES}?mode=partial", [device_payload(1), device_payload(2, device_holder="RS Sehat")])
    first, second = response.json()["data"]
    assert (first["status"], first["errors"][0]["code"]) == ("invalid", "holder_required")
    assert second["device"]["device_holder"] == "RS Sehat"


def test_message_has_up_to_three_hospitals(rs_a: Hospital, rs_b: Hospital) -> None:
    more = hospitals.get_or_create(["RS Tiga", "RS Empat"], SYSTEM).values()
    api = Api(issue("group", hospitals=[rs_a, rs_b, *more]).text)
    [error] = api.post(DEVICES, device_payload(1)).json()["errors"]
    assert error["message"].count("RS ") == 3
    assert error["message"].endswith(", ….")


def test_update_without_a_hospital_leaves_it(several: Api, devices: dict[str, Device]) -> None:
    path = f"/api/device/{devices['b'].pk}"
    assert holders(several.put(path, device_payload(2, device_name="New"))) == ["RS Sehat"]
    assert holders(several.patch(path, {"device_name": "Newer", "device_holder": None})) == ["RS Sehat"]
    assert holders(several.patch(path, {"device_holder": "RS Harapan"})) == ["RS Harapan"]
    upsert = several.post(f"{DEVICES}?on_conflict=update", device_payload(2, device_type="CORPORATE"))
    assert (upsert.json()["data"][0]["status"], holders(upsert)) == ("updated", ["RS Harapan"])


@pytest.mark.parametrize("name", ["unknown", "RS Lain"])
def test_device_cannot_leave_the_hospitals_of_the_key(several: Api, devices: dict[str, Device], name: str) -> None:
    register(device_payload(9, device_holder="RS Lain"))
    path = f"/api/device/{devices['a'].pk}"
    for response in (
        several.patch(path, {"device_holder": name}),
        several.put(path, device_payload(1, device_holder=name)),
        several.post(f"{DEVICES}?on_conflict=update", device_payload(1, device_holder=name)),
    ):
        assert (response.status_code, errors(response)) == (403, [("device_holder", "forbidden")])
        assert "limited to its hospitals" in response.json()["message"]


@pytest.mark.parametrize("name", ["unknown", None, "RS Harapan"])
def test_key_without_hospitals_registers_nothing(rs_a: Hospital, name: Any) -> None:
    api = Api(issue("none", hospitals=[]).text)
    response = api.post(DEVICES, device_payload(1, device_holder=name))
    assert (response.status_code, errors(response)) == (403, [("device_holder", "forbidden")])
