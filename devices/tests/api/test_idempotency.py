"""Idempotency-Key: a client that was not answered asks again, and what it asked for is done once."""

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
def test_the_first_answer_is_given_again_and_nothing_is_done_twice(api: Api) -> None:
    first = api.post(DEVICES, [device_payload(1)], **KEY)
    assert first.status_code == 201
    assert same(first, api.post(DEVICES, [device_payload(1)], **KEY))
    assert Device.history.count() == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_each_route_that_writes_remembers(api: Api, method: str) -> None:
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
def test_an_error_is_not_stored_but_binds_the_key_to_the_request(
    api: Api, method: str, path: str, body: Any, status: int
) -> None:
    register(device_payload(1))
    first, again = api(method, path, body, **KEY), api(method, path, body, **KEY)
    assert (first.status_code, first.content) == (status, again.content)
    assert "Idempotency-Replayed" not in again
    [stored] = IdempotencyRecord.objects.all()
    assert (stored.status, stored.etag, bytes(stored.body)) == (status, "", b"")
    assert errors(api(method, f"{path}?dry_run=false", body, **KEY)) == [(None, "key_reused")]


def test_a_request_that_failed_is_executed_again_and_then_replayed(api: Api) -> None:
    [device] = register(device_payload(1))
    assert api.post(DEVICES, device_payload(1), **KEY).status_code == 409
    api.delete(f"/api/device/{device.pk}")
    first = api.post(DEVICES, device_payload(1), **KEY)
    assert first.status_code == 201
    assert same(first, api.post(DEVICES, device_payload(1), **KEY))
    assert Device.objects.count() == 1


def test_a_change_that_was_outdated_is_compared_again(api: Api) -> None:
    [device] = register(device_payload(1))
    path, headers = f"/api/device/{device.pk}", {**KEY, "if-match": '"old"'}
    first = api.patch(path, {"device_name": "New"}, **headers)
    again = api.patch(path, {"device_name": "New"}, **headers)
    assert (first.status_code, first["ETag"], first.content) == (412, again["ETag"], again.content)


def test_the_same_request_may_be_spelt_otherwise(api: Api) -> None:
    first = api.post(DEVICES, device_payload(1), **KEY)
    turned = dict(reversed(device_payload(1).items()))
    assert same(first, api.post(f"{DEVICES}/", turned, **KEY))


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", DEVICES, device_payload(2)),
        ("POST", DEVICES, [device_payload(1)]),
        ("POST", "/api/device", device_payload(1)),
        ("POST", f"{DEVICES}?mode=partial", device_payload(1)),
        ("DELETE", "/api/device/1", None),
    ],
)
def test_a_key_that_came_with_another_request_is_refused(api: Api, method: str, path: str, body: Any) -> None:
    api.post(DEVICES, device_payload(1), **KEY)
    response = api(method, path, body, **KEY)
    assert (response.status_code, response.json()["status"]) == (422, "UNPROCESSABLE_CONTENT")
    assert errors(response) == [(None, "key_reused")]
    assert Device.history.count() == 1


def test_two_api_keys_may_have_the_same_idempotency_key(api: Api, api_a: Api) -> None:
    assert (
        api.post(DEVICES, device_payload(1), **KEY).status_code
        == api_a.post(DEVICES, device_payload(2), **KEY).status_code
        == 201
    )
    assert IdempotencyRecord.objects.count() == 2


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb", "é"])
def test_a_key_that_is_none_is_refused(api: Api, key: str) -> None:
    response = api.post(DEVICES, device_payload(1), **{"idempotency-key": key})
    assert (response.status_code, errors(response)) == (400, [("idempotency-key", "invalid")])
    assert not Device.objects.exists()


def test_a_key_of_255_characters_is_one(api: Api) -> None:
    assert api.post(DEVICES, device_payload(1), **{"idempotency-key": "x" * 255}).status_code == 201


def test_after_a_day_the_key_is_new(api: Api) -> None:
    api.post(DEVICES, device_payload(1), **KEY)
    IdempotencyRecord.objects.update(created_at=timezone.now() - timedelta(hours=24))
    response = api.post(DEVICES, device_payload(2), **KEY)
    assert (response.status_code, "Idempotency-Replayed" in response) == (201, False)
    assert same(response, api.post(DEVICES, device_payload(2), **KEY))
    assert IdempotencyRecord.objects.count() == 1


def test_what_may_not_be_done_is_not_remembered(reader: Api, outsider: Api, api: Api) -> None:
    for client in (reader, outsider):
        assert client.post(DEVICES, device_payload(1), **KEY).status_code in (401, 403)
    api.post(f"{DEVICES}?mode=x", device_payload(1), **KEY)
    api.post(DEVICES, b"{", **KEY)
    api.get(DEVICES, **KEY)
    assert not IdempotencyRecord.objects.exists()


def test_a_key_that_may_only_read_by_now_is_not_replayed_to(api: Api) -> None:
    api.post(DEVICES, device_payload(1), **KEY)
    ApiKey.objects.update(read_only=True)
    assert api.post(DEVICES, device_payload(1), **KEY).status_code == 403


def test_a_rehearsal_is_not_remembered(api: Api) -> None:
    assert api.post(f"{DEVICES}?dry_run=true", device_payload(1), **KEY).status_code == 201
    assert not IdempotencyRecord.objects.exists()
    assert api.post(DEVICES, device_payload(1), **KEY).status_code == 201


def test_what_the_database_fails_at_leaves_neither_effect_nor_record(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise OperationalError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(idempotency, "_store", fail)
        response = api.post(DEVICES, device_payload(1), **KEY)
        assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert not Device.objects.exists()
    assert api.post(DEVICES, device_payload(1), **KEY).status_code == 201


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_have_one_effect() -> None:
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
def test_while_the_first_is_running_the_second_is_told_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    key = issue("app").text
    running, asked = threading.Event(), threading.Event()
    take = bulk.insert

    def slowly(*args: Any, **kwargs: Any) -> list[int]:
        running.set()
        if connection.vendor == "postgresql":  # on SQLite the second waits for the first, and gets its answer
            assert asked.wait(20)
        return take(*args, **kwargs)

    monkeypatch.setattr(bulk, "insert", slowly)

    def act(number: int) -> Any:
        if number == 0:
            return Api(key).post(DEVICES, device_payload(1), **KEY)
        assert running.wait(20)
        response = Api(key).post(DEVICES, device_payload(1), **KEY)
        asked.set()
        return response

    first, second = at_once(2, act)
    assert (first.status_code, second.status_code) == (201, 409 if connection.vendor == "postgresql" else 201)
    assert same(first, Api(key).post(DEVICES, device_payload(1), **KEY))


@pytest.mark.django_db(transaction=True)
def test_a_request_whose_transaction_is_lost_leaves_nothing_and_is_done_by_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that is killed loses its transaction: at any point before the commit, and at none after it."""

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
def test_lists_that_deadlock_are_tried_again_with_a_key_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_an_empty_if_match_is_another_request_than_one_without(api: Api) -> None:
    [device] = register(device_payload(1))
    path, key = f"/api/device/{device.pk}", {"idempotency-key": "once"}
    assert api.patch(path, {"device_name": "x"}, **key).status_code == 200
    assert api.patch(path, {"device_name": "x"}, **key, **{"if-match": ""}).status_code == 422


def test_a_body_that_is_nested_too_deeply_is_refused_and_fails_nothing(api: Api) -> None:
    extra = b'{"a":' * 300 + b"1" + b"}" * 300
    body = b'{"device_name":"Cuff 1","device_mac":"000000000001","device_type":"CONSUMER","extra":' + extra + b"}"
    assert errors(api.post(DEVICES, body, **KEY)) == [(None, "parse_error")]
    assert api.post(DEVICES, body).status_code == 201
