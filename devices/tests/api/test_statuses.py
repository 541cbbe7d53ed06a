"""Every status of every route is in /api/schema, and what is answered is as it is told there, its headers included."""

import json
import re
from typing import Any

import pytest
from django.db import OperationalError
from jsonschema import Draft202012Validator

from devices.api.urls import routes
from devices.db import locks
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register

KEYED = {400, 401, 429, 503}
WRITING = KEYED | {403, 409, 422}
ON_ONE = {404, 410}
WITH_BODY = {413, 415}
STATUSES = {
    ("GET", "/api/devices"): KEYED | {200, 304},
    ("POST", "/api/devices"): WRITING | WITH_BODY | {201, 207},
    ("GET", "/api/devices/changes"): KEYED | {200, 410},
    ("POST", "/api/device"): WRITING | WITH_BODY | {201, 207},
    ("PUT", "/api/device"): WRITING | WITH_BODY | ON_ONE | {200, 412},
    ("GET", "/api/device/{id_device}"): KEYED | ON_ONE | {200, 304},
    ("PUT", "/api/device/{id_device}"): WRITING | WITH_BODY | ON_ONE | {200, 412},
    ("PATCH", "/api/device/{id_device}"): WRITING | WITH_BODY | ON_ONE | {200, 412},
    ("DELETE", "/api/device/{id_device}"): WRITING | ON_ONE | {200, 412},
}
NOT_PROVOKED_HERE = {429}  # it belongs to the rate limits
CASES = sorted((*route, status) for route, statuses in STATUSES.items() for status in statuses - NOT_PROVOKED_HERE)


@pytest.fixture
def schema(api: Api) -> Any:
    return api.get("/api/schema").json()


def test_the_schema_the_router_and_the_table_name_the_same(schema: Any) -> None:
    documented = {
        (method.upper(), path): set(map(int, operation["responses"]))
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    }
    assert documented == STATUSES
    routed = {
        (method.upper(), "/api/" + re.sub(r"<int:(\w+)>", r"{\1}", route))
        for route, view in routes.items()
        for method in getattr(view, "actions", {})
        if method != "head"
    }
    assert routed == STATUSES.keys()


@pytest.mark.parametrize(("method", "path", "status"), CASES)
def test_each_status_is_answered_as_the_schema_says(
    method: str, path: str, status: int, api: Api, reader: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    _first, here, gone = register(device_payload(1), device_payload(2), device_payload(3))
    api.delete(f"/api/device/{gone.pk}")
    answer = Provoking(api, reader, monkeypatch, method, path, here.pk, gone.pk).answer(status)
    assert answer.status_code == status, answer.content
    told = api.get("/api/schema").json()
    documented = told["paths"][path][method.lower()]["responses"][str(status)]
    if "content" in documented:
        body = documented["content"]["application/json"]["schema"] | {"components": told["components"]}
        Draft202012Validator(body).validate(answer.json())
        assert answer.json()["code"] == status
    else:
        assert answer.content == b""
    for name, header in documented["headers"].items():
        assert name in answer or not header.get("required"), name
        if name in answer and header["schema"].get("type") != "integer":
            Draft202012Validator(header["schema"]).validate(answer[name])


class Provoking:
    """Asks one route so that it answers with a status: `answer`, and a method a status or kind of them."""

    def __init__(
        self, api: Api, reader: Api, monkeypatch: pytest.MonkeyPatch, method: str, path: str, here: int, gone: int
    ) -> None:
        self.api, self.reader, self.monkeypatch = api, reader, monkeypatch
        self.method, self.path = method, path
        self.here, self.gone = here, gone  # ids of a device, and of one that was taken out

    def answer(self, status: int) -> Any:
        return getattr(self, f"answer_{status}")()

    def send(self, api: Api | None = None, pk: int = 0, query: str = "", body: Any = None, **headers: str) -> Any:
        pk = pk or self.here
        if body is None and self.method in ("PUT", "POST", "PATCH"):
            body = device_payload(9, id=pk)
        url = self.path.replace("{id_device}", str(pk)) + query
        return (api or self.api)(self.method, url, body, **headers)

    def answer_200(self) -> Any:
        return self.send()

    answer_201 = answer_200

    def answer_207(self) -> Any:
        return self.send(query="?mode=partial", body=[device_payload(1), device_payload(7), {}])

    def answer_304(self) -> Any:
        return self.send(**{"if-none-match": self.send()["ETag"]})

    def answer_400(self) -> Any:
        if self.path == "/api/device/{id_device}" and self.method == "GET":
            return self.send(query="?sise=1")
        return self.send(query="?dry_run=perhaps&size=0")

    def answer_401(self) -> Any:
        return self.send(Api("wrong"))

    def answer_403(self) -> Any:
        return self.send(self.reader)

    def answer_404(self) -> Any:
        return self.send(pk=4711)

    def answer_409(self) -> Any:
        """Come while the first request with the same Idempotency-Key is still running."""
        self.monkeypatch.setattr(locks, "try_lock", lambda _name: False)
        return self.send(**{"idempotency-key": "again"})

    def answer_410(self) -> Any:
        if self.path == "/api/devices/changes":
            of_a_hospital = json.loads(Api(issue("other", hospital=hospital()).text).get(self.path).content)
            return self.api.get(of_a_hospital["pagination"]["next"].removeprefix("http://testserver"))
        return self.send(pk=self.gone)

    def answer_412(self) -> Any:
        return self.send(**{"if-match": '"another"'})

    def answer_413(self) -> Any:
        return self.send(body=b" " * (8 * 1024 * 1024 + 1))

    def answer_415(self) -> Any:
        return self.api.client.generic(
            self.method, self.path.replace("{id_device}", str(self.here)), b"x", "text/plain", headers=self.api.headers
        )

    def answer_422(self) -> Any:
        self.send(**{"idempotency-key": "again"})
        return self.send(query="?dry_run=false", **{"idempotency-key": "again"})

    def answer_503(self) -> Any:
        def fail(*_asked: Any, **_values: Any) -> None:
            raise OperationalError

        self.monkeypatch.setattr("devices.api.authentication.find_active_key", fail)
        return self.send()


def hospital() -> Any:
    [device] = register(device_payload(8, device_holder="RS Harapan"))
    return device.device_holder


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_a_name_that_is_taken_is_a_conflict_as_the_schema_says(api: Api, schema: Any, method: str) -> None:
    first, _second = register(device_payload(1), device_payload(2))
    path = "/api/devices" if method == "POST" else f"/api/device/{first.pk}"
    answer = api(method, path, device_payload(2))
    assert answer.status_code == 409
    Draft202012Validator({"$ref": "#/components/schemas/Failure", "components": schema["components"]}).validate(
        answer.json()
    )


def test_options_are_answered_with_the_methods_that_there_are(api: Api, schema: Any) -> None:
    for path, methods in schema["paths"].items():
        answer = api("OPTIONS", path.replace("{id_device}", "1") + "?page=0")
        assert answer.status_code == 405
        assert {name.lower() for name in answer["Allow"].split(", ")} - {"head"} == methods.keys()
    assert "Allow" not in api("OPTIONS", "/api/device/-1")


def test_the_schema_follows_the_setting_that_allows_makers_codes(api: Api, settings: Any) -> None:
    for settings.DEVICES_ALLOW_NON_MAC in (False, True):
        device = api.get("/api/schema").json()["components"]["schemas"]["DeviceRequest"]["properties"]
        known = re.fullmatch(device["device_mac"]["pattern"], "001-20210101-0001")
        assert bool(known) is settings.DEVICES_ALLOW_NON_MAC
