"""/api/schema lists every status of every route, and each response matches it: body, headers and example."""

import re
from typing import Any

import pytest
from django.db import OperationalError
from jsonschema import Draft202012Validator

from devices.access.actor import SYSTEM
from devices.api.urls import routes
from devices.db import locks
from devices.models import MAX_PAGE_SIZE
from devices.registry import hospitals
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.formats import FORMATS

KEYED = {400, 401, 403, 405, 429, 500, 503}
WRITING = KEYED | {409, 422}
ON_ONE = {404, 410}
WITH_BODY = {413, 415}
STATUSES = {
    ("GET", "/api"): KEYED | {200},
    ("GET", "/api/devices"): KEYED | {200, 304},
    ("POST", "/api/devices"): WRITING | WITH_BODY | {201},
    ("POST", "/api/devices/batch"): WRITING | WITH_BODY | {207},
    ("GET", "/api/devices/changes"): KEYED | {200, 410},
    ("POST", "/api/device"): WRITING | WITH_BODY | {201},
    ("PUT", "/api/device"): WRITING | WITH_BODY | ON_ONE | {200, 412},
    ("GET", "/api/device/{id_device}"): KEYED | ON_ONE | {200, 304},
    ("PUT", "/api/device/{id_device}"): WRITING | WITH_BODY | ON_ONE | {200, 412},
    ("PATCH", "/api/device/{id_device}"): WRITING | WITH_BODY | ON_ONE | {200, 412},
    ("DELETE", "/api/device/{id_device}"): WRITING | ON_ONE | {200, 412},
    ("GET", "/api/hospitals"): KEYED | {200, 304},
    ("GET", "/api/hospital/{hospital_id}"): KEYED | ON_ONE | {200, 304},
    ("GET", "/api/key"): KEYED | {200},
    ("POST", "/api/devices/lookup"): KEYED | WITH_BODY | {200},
    ("GET", "/api/device/{id_device}/changes"): KEYED | ON_ONE | {200},
}
LOOKUP = "/api/devices/lookup"
NOT_TESTED_HERE = {429}  # test_throttling.py
CASES = sorted((*route, status) for route, statuses in STATUSES.items() for status in statuses - NOT_TESTED_HERE)


@pytest.fixture
def schema(api: Api) -> Any:
    return api.get("/api/schema").json()


def test_schema_and_router_have_the_same_operations(schema: Any) -> None:
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
    assert routed | {("GET", "/api")} == STATUSES.keys()  # the index is not in `routes`


@pytest.mark.parametrize(("method", "path", "status"), CASES)
def test_response_of_each_status_matches_the_schema(
    method: str, path: str, status: int, api: Api, reader: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    _first, here, gone = (row.pk for row in register(device_payload(1), device_payload(2), device_payload(3)))
    api.delete(f"/api/device/{gone}")
    if "hospital_id" in path:
        here, gone = hospital_and_merged_one()
    response = Requests(api, reader, monkeypatch, method, path, here, gone).send_for(status)
    assert response.status_code == status, response.content
    schema = api.get("/api/schema").json()
    documented = schema["paths"][path][method.lower()]["responses"][str(status)]
    if "content" in documented:
        body = documented["content"]["application/json"]
        Draft202012Validator(body["schema"] | {"components": closed(schema["components"])}).validate(response.json())
        assert response.json()["code"] == status
        # 400 and 405 have too many messages for an example of each, and a merged hospital has its name in it.
        if status not in (400, 405) and "successor" not in response.json():
            assert response.json()["message"] in [example["value"]["message"] for example in body["examples"].values()]
    else:
        assert response.content == b""
    for name, header in documented["headers"].items():
        assert name in response or not header.get("required"), name
        if name in response and header["schema"].get("type") != "integer":
            Draft202012Validator(header["schema"]).validate(response[name])


def closed(components: Any) -> Any:
    """Return the components without further fields in their objects: generated clients drop those."""
    schemas = {
        name: component | ({"unevaluatedProperties": False} if "properties" in component else {})
        for name, component in components["schemas"].items()
    }
    return components | {"schemas": schemas}


def test_page_size_of_a_key_is_in_the_range_of_the_schema(schema: Any) -> None:
    """The default size of a page can be larger than that of a request."""
    [device] = register(device_payload(1))
    client = Api(issue("web", page_size=MAX_PAGE_SIZE).text)
    pages = {path for path in schema["paths"] if path.endswith(("s", "changes"))}
    assert len(pages) == 4
    for path in pages:
        [body] = schema["paths"][path]["get"]["responses"]["200"]["content"].values()
        response = client.get(path.replace("{id_device}", str(device.pk))).json()
        assert response["pagination"]["size"] == MAX_PAGE_SIZE
        Draft202012Validator(body["schema"] | {"components": closed(schema["components"])}).validate(response)


def test_each_operation_documents_the_error_of_a_key_of_other_networks(schema: Any) -> None:
    for method, path in STATUSES:
        [body] = schema["paths"][path][method.lower()]["responses"]["403"]["content"].values()
        codes = {error["code"] for example in body["examples"].values() for error in example["value"]["errors"]}
        assert "address_not_allowed" in codes, (method, path)


class Requests:
    """Requests to one route. `send_for` sends the request that returns a status, with the method of that status."""

    def __init__(
        self, api: Api, reader: Api, monkeypatch: pytest.MonkeyPatch, method: str, path: str, here: int, gone: int
    ) -> None:
        self.api, self.reader, self.monkeypatch = api, reader, monkeypatch
        self.method, self.path = method, path
        self.here, self.gone = here, gone  # ids of a registered and of a retired device, or of hospitals

    def send_for(self, status: int) -> Any:
        return getattr(self, f"send_for_{status}")()

    def send(
        self,
        api: Api | None = None,
        pk: int = 0,
        query: str = "",
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        pk = pk or self.here
        if body is None and self.method in ("PUT", "POST", "PATCH"):
            macs = [device_payload(n)["device_mac"] for n in (1, 9)]
            body = {"device_mac": [*macs, "x"]} if self.path == LOOKUP else device_payload(9, id=pk)
        url = self.path.replace("{id_device}", str(pk)).replace("{hospital_id}", str(pk)) + query
        return (api or self.api)(self.method, url, body, **(headers or {}))

    def send_for_200(self) -> Any:
        return self.send()

    send_for_201 = send_for_200

    def send_for_207(self) -> Any:
        return self.send(body=[device_payload(1), device_payload(7), {}])

    def send_for_304(self) -> Any:
        return self.send(headers={"if-none-match": self.send()["ETag"]})

    def send_for_400(self) -> Any:
        if (self.path.endswith("}") or self.path == "/api/key") and self.method == "GET":
            return self.send(query="?sise=1")
        return self.send(query="?dry_run=perhaps&size=0")

    def send_for_401(self) -> Any:
        return self.send(Api("wrong"))

    def send_for_403(self) -> Any:
        if self.method == "GET" or self.path == LOOKUP:  # a read-only key can use it
            return self.send(Api(issue("elsewhere", allowed_networks="192.0.2.0/24").text))
        return self.send(self.reader)

    def send_for_404(self) -> Any:
        return self.send(pk=4711)

    def send_for_405(self) -> Any:
        self.method = "OPTIONS"
        return self.send()

    def send_for_409(self) -> Any:
        """Send a request while the first one with the same Idempotency-Key is still running."""
        self.monkeypatch.setattr(locks, "try_lock", lambda _name: False)
        return self.send(headers={"idempotency-key": "again"})

    def send_for_410(self) -> Any:
        if self.path.endswith("/changes"):
            page = Api(issue("other", hospitals=[register_hospital()]).text).get("/api/devices/changes").json()
            return self.send(query=f"?since={page['data'][0]['cursor']}")
        return self.send(pk=self.gone)

    def send_for_412(self) -> Any:
        return self.send(headers={"if-match": '"another"'})

    def send_for_413(self) -> Any:
        return self.send(body=b" " * (8 * 1024 * 1024 + 1))

    def send_for_415(self) -> Any:
        return self.api.client.generic(
            self.method, self.path.replace("{id_device}", str(self.here)), b"x", "text/plain", headers=self.api.headers
        )

    def send_for_422(self) -> Any:
        self.send(headers={"idempotency-key": "again"})
        return self.send(query="?dry_run=false", headers={"idempotency-key": "again"})

    def send_for_500(self) -> Any:
        return self.send_after(RuntimeError)

    def send_for_503(self) -> Any:
        return self.send_after(OperationalError)

    def send_after(self, error: type[Exception]) -> Any:
        def fail(*_args: Any, **_kwargs: Any) -> None:
            raise error

        self.monkeypatch.setattr("devices.api.authentication.find_active_key", fail)
        return self.send()


def hospital_and_merged_one() -> tuple[int, int]:
    """Return the ids of a hospital, and of one that was merged into it."""
    [here], [gone] = (hospitals.get_or_create([name], SYSTEM).values() for name in ("RS Sentosa", "RS Lama"))
    hospitals.merge([gone], here, SYSTEM)
    return here.pk, gone.pk


def register_hospital() -> Any:
    [device] = register(device_payload(8, device_holder="RS Harapan"))
    return device.device_holder


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_registered_name_returns_409_as_in_the_schema(api: Api, schema: Any, method: str) -> None:
    first, _second = register(device_payload(1), device_payload(2))
    path = "/api/devices" if method == "POST" else f"/api/device/{first.pk}"
    response = api(method, path, device_payload(2))
    assert response.status_code == 409
    body = {"$ref": "#/components/schemas/ApiErrorResponse", "components": schema["components"]}
    Draft202012Validator(body).validate(response.json())


def test_options_returns_405_with_the_allowed_methods(api: Api, schema: Any) -> None:
    for path, methods in schema["paths"].items():
        response = api("OPTIONS", path.replace("{id_device}", "1").replace("{hospital_id}", "1") + "?page=0")
        assert response.status_code == 405
        assert {name.lower() for name in response["Allow"].split(", ")} - {"head"} == methods.keys()
    assert "Allow" not in api("OPTIONS", "/api/device/-1")


def test_mac_format_follows_the_setting_for_manufacturer_ids(api: Api, settings: Any) -> None:
    for settings.DEVICES_ALLOW_NON_MAC in (False, True):
        device = api.get("/api/schema").json()["components"]["schemas"]["DeviceRequest"]["properties"]
        pattern = FORMATS[device["device_mac"]["format"]]
        assert bool(re.fullmatch(pattern, "001-20210101-0001")) is settings.DEVICES_ALLOW_NON_MAC
