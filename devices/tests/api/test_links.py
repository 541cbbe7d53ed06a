"""The headers Link and Location."""

import re
from typing import Any

import pytest

from devices.tests.support.client import Api
from devices.tests.support.factories import device_payload, register

LIST = "/api/devices"


def links_of(response: Any) -> dict[str, str]:
    return {rel: url for url, rel in re.findall(r'<([^>]*)>; rel="(\w+)"', response.headers.get("Link", ""))}


@pytest.mark.parametrize("query", ["", "&ordering=-device_name", "&search=cuff&device_type=consumer"])
def test_link_has_the_urls_of_pagination_and_of_the_first_page(api: Api, query: str) -> None:
    register(*(device_payload(number) for number in range(1, 6)))
    path: str | None
    path, rows, seen = f"{LIST}?size=2{query}", [], None
    while path:
        response = api.get(str(path))
        pagination, links = response.json()["pagination"], links_of(response)
        assert (links.get("next"), links.get("prev")) == (pagination["next"], pagination["previous"])
        seen = seen or links["first"]
        assert links["first"] == seen
        rows += response.json()["data"]
        path = links.get("next")
    assert len({row["id"] for row in rows}) == len(rows) == 5
    assert api.get(str(seen)).json() == api.get(f"{LIST}?size=2{query}").json()


def test_change_feed_links_to_the_next_page(api: Api) -> None:
    response = api.get("/api/devices/changes?size=2")
    assert links_of(response) == {"next": response.json()["pagination"]["next"]}


def test_long_filters_need_no_long_header(api: Api) -> None:
    response = api.get(f"{LIST}?search={'%F0%9F%A9%BA' * 200}&size=1")
    assert response.status_code == 200
    assert "Link" not in response


@pytest.mark.parametrize("path", [LIST, "/api/device", "/api/device/"])
@pytest.mark.parametrize("posted", [device_payload(1), [device_payload(1)]], ids=["object", "array"])
def test_one_registered_device_is_located(api: Api, path: str, posted: Any) -> None:
    headers = {"idempotency-key": "once"}
    response, again = (api.post(path, posted, **headers) for _attempt in range(2))
    device = response.json()["data"][0]
    assert response["Location"] == again["Location"] == f"http://testserver/api/device/{device['id']}"
    assert api.get(response["Location"]).json()["data"] == device


@pytest.mark.parametrize("query", ["?dry_run=true", "?mode=partial", "?on_conflict=update"])
def test_no_location_without_a_new_device_or_with_several_results(api: Api, query: str) -> None:
    assert "Location" not in api.post(LIST + query, device_payload(1))
    assert "Location" not in api.post(LIST, [device_payload(2), device_payload(3)])
    assert "Location" not in api.post(LIST, {})


def test_scripts_of_other_origins_can_read_the_headers(api: Api, settings: Any) -> None:
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org"]
    exposed = api.get(LIST, origin="https://app.example.org")["Access-Control-Expose-Headers"]
    assert {"link", "location", "deprecation", "sunset", "etag"} <= set(exposed.split(", "))
