"""Idempotency-Key: a client that received no response retries, and the request is executed once."""

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from devices.api import idempotency
from devices.db import bulk
from devices.history import recording
from devices.models import ApiKey, Device, IdempotencyRecord
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.concurrency import at_once
from devices.tests.support.factories import device_payload, register

DEVICES = "/api/devices"
KEY = {"idempotency-key": "3f0e7a52-1c55-4bb0-8d6c-2f1b6a0f7c11"}


def same(first: Any, again: Any) -> bool:
    replayed = ("Idempotency-Replayed" in first, again.headers.get("Idempotency-Replayed"))
    return (first.status_code, first.content, first.get("ETag"), replayed) == (
        again.status_code,
        again.content,
        again.get("ETag"),
        (False, "true"),
    )


@pytest.mark.django_db
def test_retry_returns_the_first_response_and_writes_once(api: Api) -> None:
    first = api.post(DEVICES, [device_payload(1)], **KEY)
    assert first.status_code == 201
    assert same(first, api.post(DEVICES, [device_payload(1)], **KEY))
    assert Device.history.count() == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_each_write_endpoint_stores_its_response(api: Api, method: str) -> None:
    [device] = register(device_payload(1))
    path, body = f"/api/device/{device.pk}", None if method == "DELETE" else device_payload(2)
    first = api(method, path, body, **KEY)
    assert first.status_code == 200
    assert same(first, api(method, path, body, **KEY))
    assert Device.history.count() == 2


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", DEVICES, {"device_name": "x"}, 400),
        ("POST", DEVICES, device_payload(1), 409),
        ("PUT", "/api/device/4711", device_payload(2), 404),
        ("PUT", "/api/device", device_payload(5), 404),
    ],
)
def test_error_is_not_stored_but_its_fingerprint_is(api: Api, method: str, path: str, body: Any, status: int) -> None:
    register(device_payload(1))
    first, again = api(method, path, body, **KEY), api(method, path, body, **KEY)
    assert (first.status_code, first.content) == (status, again.content)
    assert "Idempotency-Replayed" not in again
    [stored] = IdempotencyRecord.objects.all()
    assert (stored.status, stored.etag, bytes(stored.body)) == (status, "", b"")
    assert errors(api(method, f"{path}?dry_run=false", body, **KEY)) == [(None, "key_reused")]


def test_failed_request_is_executed_again_and_then_replayed(api: Api) -> None:
    [device] = register(device_payload(1))
    assert api.post(DEVICES, device_payload(1), **KEY).status_code == 409
    api.delete(f"/api/device/{device.pk}")
    first = api.post(DEVICES, device_payload(1), **KEY)
    assert first.status_code == 201
    assert same(first, api.post(DEVICES, device_payload(1), **KEY))
    assert Device.objects.count() == 1


def test_412_is_not_replayed_but_evaluated_again(api: Api) -> None:
    [device] = register(device_payload(1))
    path, headers = f"/api/device/{device.pk}", {**KEY, "if-match": '"old"'}
    first = api.patch(path, {"device_name": "New"}, **headers)
    again = api.patch(path, {"device_name": "New"}, **headers)
    assert (first.status_code, first["ETag"], first.content) == (412, again["ETag"], again.content)


def test_formatting_of_the_json_does_not_change_the_request(api: Api) -> None:
    first = api.post(DEVICES, device_payload(1), **KEY)
    reordered = dict(reversed(device_payload(1).items()))
    assert same(first, api.post(f"{DEVICES}/", reordered, **KEY))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", DEVICES, device_payload(2)),
        ("POST", DEVICES, [device_payload(1)]),
        ("POST", "/api/device", device_payload(1)),
        ("POST", f"{DEVICES}?mode=partial", device_payload(1)),
        ("POST", f"{DEVICES}/batch", device_payload(1)),
        ("DELETE", "/api/device/1", None),
    ],
)
def test_idempotency_key_of_another_request_returns_422(api: Api, method: str, path: str, body: Any) -> None:
    api.post(DEVICES, device_payload(1), **KEY)
    response = api(method, path, body, **KEY)
    assert (response.status_code, response.json()["status"]) == (422, "UNPROCESSABLE_CONTENT")
    assert errors(response) == [(None, "key_reused")]
    assert Device.history.count() == 1


def test_two_api_keys_can_use_the_same_idempotency_key(api: Api, api_a: Api) -> None:
    assert (
        api.post(DEVICES, device_payload(1), **KEY).status_code
        == api_a.post(DEVICES, device_payload(2), **KEY).status_code
        == 201
    )
    assert IdempotencyRecord.objects.count() == 2


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb", "é"])
def test_malformed_idempotency_key_returns_400(api: Api, key: str) -> None:
    response = api.post(DEVICES, device_payload(1), **{"idempotency-key": key})
    assert (response.status_code, errors(response)) == (400, [("idempotency-key", "invalid_idempotency_key")])
    assert not Device.objects.exists()


def test_idempotency_key_of_255_characters_is_valid(api: Api) -> None:
    assert api.post(DEVICES, device_payload(1), **{"idempotency-key": "x" * 255}).status_code == 201


def test_idempotency_key_can_be_reused_after_a_day(api: Api) -> None:
    api.post(DEVICES, device_payload(1), **KEY)
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=24))
    response = api.post(DEVICES, device_payload(2), **KEY)
    assert (response.status_code, "Idempotency-Replayed" in response) == (201, False)
    assert same(response, api.post(DEVICES, device_payload(2), **KEY))
    assert IdempotencyRecord.objects.count() == 1


def test_rejected_requests_store_nothing(reader: Api, outsider: Api, api: Api) -> None:
    for client in (reader, outsider):
        assert client.post(DEVICES, device_payload(1), **KEY).status_code in (401, 403)
    api.post(f"{DEVICES}?mode=x", device_payload(1), **KEY)
    api.post(DEVICES, b"{", **KEY)
    api.get(DEVICES, **KEY)
    assert not IdempotencyRecord.objects.exists()


def test_key_that_became_read_only_gets_no_replay(api: Api) -> None:
    api.post(DEVICES, device_payload(1), **KEY)
    ApiKey.objects.update(read_only=True)
    assert api.post(DEVICES, device_payload(1), **KEY).status_code == 403


def test_dry_run_is_not_stored(api: Api) -> None:
    assert api.post(f"{DEVICES}?dry_run=true", device_payload(1), **KEY).status_code == 201
    assert not IdempotencyRecord.objects.exists()
    assert api.post(DEVICES, device_payload(1), **KEY).status_code == 201


def test_database_error_leaves_no_write_and_no_record(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "_store", fail)
        response = api.post(DEVICES, device_payload(1), **KEY)
        assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert not Device.objects.exists()
    assert api.post(DEVICES, device_payload(1), **KEY).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_twenty_concurrent_requests_write_once() -> None:
    key = issue("app").text
    responses = at_once(20, lambda n: Api(key).post(DEVICES, device_payload(1), **KEY))
    assert set(Counter(response.status_code for response in responses)) <= {201, 409}
    first, *more = [response for response in responses if response.status_code == 201]
    assert {response.content for response in more} <= {first.content}
    assert [("Idempotency-Replayed" in response) for response in (first, *more)].count(False) == 1
    for response in responses:
        if response.status_code == 409:
            assert (errors(response), response["Retry-After"]) == ([(None, "still_running")], "1")
    assert Device.history.count() == 1


@pytest.mark.django_db(transaction=True)
def test_request_during_the_first_one_returns_409(monkeypatch: pytest.MonkeyPatch) -> None:
    key = issue("app").text
    running, is_rejected = threading.Event(), threading.Event()
    insert = bulk.insert

    def insert_slowly(*args: Any, **kwargs: Any) -> list[int]:
        running.set()
        if connection.vendor == "postgresql":  # on SQLite the second waits for the first, and gets its response
            assert is_rejected.wait(20)
        return insert(*args, **kwargs)

    monkeypatch.setattr(bulk, "insert", insert_slowly)

    def act(number: int) -> Any:
        if number == 0:
            return Api(key).post(DEVICES, device_payload(1), **KEY)
        assert running.wait(20)
        response = Api(key).post(DEVICES, device_payload(1), **KEY)
        is_rejected.set()
        return response

    first, second = at_once(2, act)
    assert (first.status_code, second.status_code) == (201, 409 if connection.vendor == "postgresql" else 201)
    assert same(first, Api(key).post(DEVICES, device_payload(1), **KEY))


@pytest.mark.django_db(transaction=True)
def test_lost_transaction_writes_nothing_and_the_retry_succeeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A killed process loses its transaction at any point before the commit, and not after it."""

    class Killed(BaseException):
        pass

    def killed(*_args: Any, **_kwargs: Any) -> None:
        raise Killed

    store = idempotency._store

    def killed_after_storing(*args: Any) -> None:
        store(*args)
        raise Killed

    key = issue("app").text
    points = [(bulk, "insert", killed), (recording, "record", killed), (idempotency, "_store", killed)]
    for module, name, at in [*points, (idempotency, "_store", killed_after_storing)]:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, at)
            with pytest.raises(Killed):
                Api(key).post(DEVICES, device_payload(1), **KEY)
        assert not Device.objects.exists()
        assert not IdempotencyRecord.objects.exists()
    assert Api(key).post(DEVICES, device_payload(1), **KEY).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_deadlock_is_retried_with_an_idempotency_key(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deadlock(Exception):
        sqlstate = "40P01"

    failures, insert = [1, 2], bulk.insert

    def fail_twice(*args: Any, **kwargs: Any) -> list[int]:
        if failures:
            failures.pop()
            raise OperationalError("deadlock") from Deadlock()
        return insert(*args, **kwargs)

    monkeypatch.setattr(bulk, "insert", fail_twice)
    key = issue("app").text
    assert Api(key).post(DEVICES, device_payload(1), **KEY).status_code == 201
    assert IdempotencyRecord.objects.count() == 1


def test_empty_if_match_is_a_different_request(api: Api) -> None:
    [device] = register(device_payload(1))
    path, key = f"/api/device/{device.pk}", {"idempotency-key": "once"}
    assert api.patch(path, {"device_name": "x"}, **key).status_code == 200
    assert api.patch(path, {"device_name": "x"}, **key, **{"if-match": ""}).status_code == 422


def test_body_that_is_nested_too_deeply_returns_400(api: Api) -> None:
    extra = b'{"a":' * 300 + b"1" + b"}" * 300
    body = b'{"device_name":"Cuff 1","device_mac":"000000000001","device_type":"CONSUMER","extra":' + extra + b"}"
    assert errors(api.post(DEVICES, body, **KEY)) == [(None, "nested_too_deeply")]
    assert api.post(DEVICES, body).status_code == 201
