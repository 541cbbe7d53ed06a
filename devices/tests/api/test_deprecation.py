"""Notices of deprecation: Deprecation, Sunset and Link."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from django.http import HttpResponse

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.api import deprecation
from devices.tests.support.admin.api_keys import LEGACY_KEY
from devices.tests.support.client import Api
from devices.tests.support.factories import device_payload

GUIDE = '</api/guide/{}>; rel="deprecation"; type="text/html"'
KEYS = GUIDE.format("authentication#legacy-keys")
POST = GUIDE.format("reference#post-apidevice")


@pytest.fixture
def legacy(db: None) -> Api:
    api_keys.import_key(LEGACY_KEY, "old app", SYSTEM, all_hospitals=True)
    return Api(LEGACY_KEY)


def test_each_response_to_a_legacy_key_has_the_notice(legacy: Api, api: Api) -> None:
    for method, path, status in (
        ("GET", "/api/devices", 200),
        ("GET", "/api/nowhere", 404),
        ("PUT", "/api/device", 400),
    ):
        response = legacy(method, path, {} if method == "PUT" else None)
        assert response.status_code == status
        assert response["Deprecation"] == "@1795824000"
        assert KEYS in response["Link"]
        assert "Sunset" not in response
        assert "Deprecation" not in api(method, path, {} if method == "PUT" else None).headers


def test_notice_is_added_to_the_links_of_pages(legacy: Api) -> None:
    assert legacy.get("/api/devices")["Link"].startswith(
        '<http://testserver/api/devices?page=1&size=20>; rel="first", '
    )


@pytest.mark.parametrize(("body", "status"), [(device_payload(1), 201), ({}, 400)])
def test_post_to_one_device_has_the_notice_and_put_has_none(api: Api, body: Any, status: int) -> None:
    response = api.post("/api/device", body)
    assert (response.status_code, response["Deprecation"], response["Link"]) == (status, "@1795824000", POST)
    for other in (api.post("/api/devices", body), api.put("/api/device", body)):
        assert "Deprecation" not in other
    assert "Deprecation" not in Api(None).post("/api/device", body)


def test_schema_marks_the_endpoint_as_deprecated(outsider: Api) -> None:
    paths = outsider.get("/api/schema").json()["paths"]
    marked = [path for path, methods in paths.items() for each in methods.values() if each.get("deprecated")]
    assert marked == ["/api/device"]
    assert paths["/api/device"]["post"]["deprecated"]


def test_several_notices_have_the_earliest_dates_and_all_links(legacy: Api) -> None:
    assert legacy.post("/api/device", device_payload(1))["Link"] == f"{KEYS}, {POST}"
    early = deprecation.Notice(datetime(2026, 1, 1, tzinfo=UTC), "a#b", sunset=datetime(2028, 1, 1, tzinfo=UTC))
    late = deprecation.Notice(datetime(2027, 1, 1, tzinfo=UTC), "c", sunset=datetime(2029, 1, 1, tzinfo=UTC))
    response = HttpResponse()
    deprecation.set_headers(response, [late, early, deprecation.POST_DEVICE])
    assert response["Deprecation"] == "@1767225600"
    assert response["Sunset"] == "Sat, 01 Jan 2028 00:00:00 GMT"
    assert response["Link"].count('rel="deprecation"') == 3


def test_decorator_decides_by_the_result() -> None:
    @deprecation.deprecated(deprecation.POST_DEVICE, when=lambda result: result == "old")
    def act(_view: Any, _request: Any, result: str) -> str:
        return result

    for result, notices in (("new", []), ("old", [deprecation.POST_DEVICE])):
        request: Any = SimpleNamespace(deprecations=[])
        assert act(None, request, result) == result
        assert request.deprecations == notices
