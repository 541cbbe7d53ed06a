"""Compressed responses of the API: their size, headers and ETags."""

import gzip
from typing import Any

import pytest

from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register

LIST = "/api/devices?size=100"
GZIP = {"accept-encoding": "gzip, deflate"}


@pytest.fixture
def many(api: Api) -> Api:
    register(*(device_payload(number) for number in range(1, 101)))
    return api


def test_large_response_is_compressed_on_request(many: Api) -> None:
    plain, compressed = many.get(LIST), many.get(LIST, **GZIP)
    assert "Content-Encoding" not in plain
    assert (compressed["Content-Encoding"], compressed["Content-Length"]) == ("gzip", str(len(compressed.content)))
    assert gzip.decompress(compressed.content) == plain.content
    assert len(compressed.content) * 8 < len(plain.content)
    assert len({many.get(LIST, **GZIP).content for _attempt in range(4)}) == 1  # so that its ETag is strong
    assert many.get("/api/devices?size=2", **GZIP).headers.get("Content-Encoding") is None


@pytest.mark.parametrize(
    ("accepted", "is_compressed"),
    [
        ("gzip", True),
        ("br, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("identity", False),
        ("x-gzip-9", False),
        ("", False),
    ],
)
def test_compression_follows_the_weight_in_accept_encoding(many: Api, accepted: str, is_compressed: bool) -> None:
    response = many.get(LIST, **{"accept-encoding": accepted})
    assert ("Content-Encoding" in response) == is_compressed
    assert "Accept-Encoding" in response["Vary"]


def test_vary_does_not_depend_on_the_size(many: Api) -> None:
    for path in ("/api/devices?size=1", "/api/devices?size=0", "/api/nowhere", LIST):
        assert {"x-api-key", "Accept-Encoding"} <= set(many.get(path)["Vary"].split(", "))


def test_compressed_response_has_its_own_strong_etag(many: Api) -> None:
    plain, compressed = many.get(LIST), many.get(LIST, **GZIP)
    assert compressed["ETag"] == plain["ETag"][:-1] + '-gzip"'
    for tag in (plain["ETag"], compressed["ETag"]):
        for headers in ({}, GZIP):
            response = many.get(LIST, **{"if-none-match": tag, **headers})
            assert (response.status_code, response.content) == (304, b"")
            assert response["ETag"] == tag


def test_errors_writes_and_repeated_responses_are_compressed(api: Api) -> None:
    devices = [device_payload(number) for number in range(1, 60)]
    headers = {**GZIP, "idempotency-key": "1"}
    first, again = (api.post("/api/devices", devices, **headers) for _attempt in range(2))
    assert first["Content-Encoding"] == again["Content-Encoding"] == "gzip"
    assert (again["Idempotency-Replayed"], again.content) == ("true", first.content)
    refused = api.post("/api/devices", devices, **GZIP)
    assert (refused.status_code, refused["Content-Encoding"]) == (409, "gzip")


def test_large_device_can_be_changed_with_the_etag_of_its_compressed_response(db: None, monkeypatch: Any) -> None:
    monkeypatch.setattr("cexup.compression.MIN_API_BYTES", 100)
    api = Api(issue("app").text, **GZIP)
    [device] = register(device_payload(1, device_name="x" * 200))
    path = f"/api/device/{device.pk}"
    read = api.get(path)
    assert read["ETag"].endswith('-gzip"')
    written = api.patch(path, {"device_type": "CORPORATE"}, **{"if-match": read["ETag"]})
    assert written.status_code == 200
    assert written["ETag"] == api.get(path)["ETag"]
    assert api.patch(path, {"device_type": "CONSUMER"}, **{"if-match": read["ETag"]}).status_code == 412
