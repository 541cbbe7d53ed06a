"""The default page size of a key, in each list."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from devices.models import ApiKey, Hospital
from devices.models.api_keys import MAX_PAGE_SIZE
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register

PATHS = ("/api/devices", "/api/devices/changes")
ABOVE_LIMIT = 1003  # of `size`

pytestmark = pytest.mark.django_db


def client_with(page_size: int | None, **settings: Any) -> Api:
    return Api(issue("web", page_size=page_size, **settings).text)


def follow(client: Api, path: str, pages: int) -> list[dict[str, Any]]:
    """Return the bodies of this number of pages."""
    bodies: list[dict[str, Any]] = []
    for _ in range(pages):
        bodies.append(client.get(path).json())
        path = bodies[-1]["pagination"]["next"]
    return bodies


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("page_size", "expected"), [(None, 20), (1, 1), (25, 25), (1000, 30), (MAX_PAGE_SIZE, 30)])
def test_list_without_size_has_the_page_size_of_the_key(path: str, page_size: int | None, expected: int) -> None:
    register(*map(device_payload, range(1, 31)))
    body = client_with(page_size).get(path).json()
    assert (len(body["data"]), body["pagination"]["size"]) == (expected, page_size or 20)
    if path == PATHS[0]:
        assert body["pagination"]["total_pages"] == -(-30 // (page_size or 20))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("page_size", [7, 1000, MAX_PAGE_SIZE])
def test_size_in_the_url_precedes_that_of_the_key(path: str, page_size: int) -> None:
    register(*map(device_payload, range(1, 6)))
    client = client_with(page_size)
    for body in follow(client, f"{path}?size=2", 2):
        assert (len(body["data"]), body["pagination"]["size"]) == (2, 2)
    for size in ("0", "1001", str(page_size + 1000), "x"):
        assert errors(client.get(f"{path}?size={size}")) == [("size", "out_of_range")]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("page_size", [3, ABOVE_LIMIT])
def test_following_next_returns_pages_of_the_size_of_the_key(path: str, page_size: int) -> None:
    number = 2 * page_size + 2
    register(*map(device_payload, range(1, number + 1)))
    bodies = follow(client_with(page_size), path, 3)
    assert [len(body["data"]) for body in bodies] == [page_size, page_size, 2]
    assert {body["pagination"]["size"] for body in bodies} == {page_size}
    rows = [row.get("device", row) for body in bodies for row in body["data"]]
    assert len({row["id"] for row in rows}) == number
    sent = parse_qs(urlsplit(bodies[0]["pagination"]["next"]).query)
    assert sent.get("size") == (None if page_size == ABOVE_LIMIT else [str(page_size)])


@pytest.mark.parametrize("query", ["page=2", "ordering=-device_name", "device_type=consumer", "search=cuff"])
def test_links_of_large_pages_lead_back(query: str) -> None:
    register(*map(device_payload, range(1, ABOVE_LIMIT + 2)))
    client = client_with(ABOVE_LIMIT)
    first = client.get(f"/api/devices?{query}").json()
    assert len(first["data"]) == (1 if query == "page=2" else ABOVE_LIMIT)
    there, back = ("previous", "next") if query == "page=2" else ("next", "previous")
    second = client.get(first["pagination"][there]).json()
    assert len(first["data"]) + len(second["data"]) == ABOVE_LIMIT + 1
    assert client.get(second["pagination"][back]).json()["data"] == first["data"]


@pytest.mark.parametrize("page_size", [2, MAX_PAGE_SIZE])
def test_page_of_a_hospital_has_only_its_devices(page_size: int, rs_a: Hospital, rs_b: Hospital) -> None:
    register(*(device_payload(n, device_holder=(rs_a, rs_b)[n % 2].name) for n in range(1, 7)))
    for path in PATHS:
        [body] = follow(client_with(page_size, hospitals=[rs_a]), path, 1)
        rows = [row.get("device", row) for row in body["data"]]
        assert [row["device_holder"] for row in rows] == [rs_a.name] * min(page_size, 3)


def test_detail_ignores_the_page_size() -> None:
    [device] = register(device_payload(1))
    assert client_with(1).get(f"/api/device/{device.pk}?size=5000").status_code == 200


def test_change_of_the_page_size_applies_to_the_next_request() -> None:
    register(*map(device_payload, range(1, 6)))
    issued = issue("web", page_size=2)
    client = Api(issued.text)
    assert len(client.get("/api/devices").json()["data"]) == 2
    ApiKey.objects.filter(pk=issued.key.pk).update(page_size=4)
    assert len(client.get("/api/devices").json()["data"]) == 4
