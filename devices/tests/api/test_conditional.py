"""ETag, If-Match, If-None-Match: nobody overwrites what they have not seen, nobody is sent what they have."""

import threading
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection, transaction

from devices import registry
from devices.access.actor import SYSTEM
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.concurrency import at_once
from devices.tests.support.factories import device_payload, register

LIST = "/api/devices"


@pytest.fixture
def path(db: None) -> str:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    return f"/api/device/{device.pk}"


def test_what_is_registered_read_and_changed_comes_with_its_tag(api: Api) -> None:
    posted = api.post(LIST, device_payload(1))
    path = f"/api/device/{posted.json()['data'][0]['id']}"
    assert posted["ETag"].startswith('W/"')
    assert api.get(path)["ETag"] == posted["ETag"]
    put = api.put(path, device_payload(2))
    patched = api.patch(path, {"device_name": "New"})
    assert len({posted["ETag"], put["ETag"], patched["ETag"]}) == 3
    assert api.get(path)["ETag"] == patched["ETag"] == api.patch(path, {"device_name": "New"})["ETag"]
    assert "ETag" not in api.post(LIST, [device_payload(3), device_payload(4)])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_change_to_what_the_client_has_not_seen_is_refused(api: Api, path: str, method: str) -> None:
    seen = api.get(path)["ETag"]
    api.patch(path, {"device_type": "CORPORATE"})
    now = api.get(path)
    response = api(method, path, device_payload(9), **{"if-match": seen})
    assert (response.status_code, response.json()["status"]) == (412, "PRECONDITION_FAILED")
    assert errors(response) == [("if-match", "outdated")]
    assert (response.json()["data"], response["ETag"]) == (now.json()["data"], now["ETag"])
    assert api.get(path).content == now.content
    assert api(method, path, device_payload(9), **{"if-match": now["ETag"]}).status_code == 200


@pytest.mark.parametrize("form", ["{}", '"x", {}', "*", "{},", "strong"])
def test_the_tag_may_stand_in_any_form_that_http_knows(api: Api, path: str, form: str) -> None:
    tag = api.get(path)["ETag"]
    sent = tag.removeprefix("W/") if form == "strong" else form.format(tag)
    assert api.put(path, device_payload(2), **{"if-match": sent}).status_code == 200


def test_a_star_in_quotes_is_a_tag_like_any_other(api: Api, path: str) -> None:
    assert api.put(path, device_payload(2), **{"if-match": '"*"'}).status_code == 412
    assert api.get(path, **{"if-none-match": '"*"'}).status_code == 200


@pytest.mark.parametrize("sent", ["", "7", 'W/"7', "W/7", '"a" "b"', "*, x", "é"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_an_if_match_that_is_no_tag_is_refused(api: Api, path: str, method: str, sent: str) -> None:
    response = api(method, path, device_payload(9), **{"if-match": sent})
    assert (response.status_code, errors(response)) == (400, [("if-match", "etag")])
    assert Device.history.count() == 1


def test_if_match_has_no_place_where_a_device_is_new(api: Api) -> None:
    response = api.post(LIST, device_payload(1), **{"if-match": "*"})
    assert (response.status_code, errors(response)) == (400, [("if-match", "etag")])
    assert not Device.objects.exists()


def test_a_device_that_is_not_there_is_not_outdated_but_not_there(api: Api, path: str) -> None:
    assert api.put("/api/device/4711", device_payload(1), **{"if-match": '"x"'}).status_code == 404
    api.delete(path)
    assert api.put(path, device_payload(1), **{"if-match": '"x"'}).status_code == 410


def test_the_holders_new_name_is_a_new_version(api: Api, path: str) -> None:
    seen = api.get(path)["ETag"]
    hospitals.rename(Hospital.objects.get(), "RS Harapan Kita", SYSTEM)
    assert api.patch(path, {"device_name": "x"}, **{"if-match": seen}).status_code == 412


@pytest.mark.django_db(transaction=True)
def test_of_many_who_change_what_they_have_seen_one_does() -> None:
    key = issue("app").text
    [device] = register(device_payload(1))
    path = f"/api/device/{device.pk}"
    seen = Api(key).get(path)["ETag"]
    responses = at_once(8, lambda n: Api(key).patch(path, {"device_name": f"Name {n}"}, **{"if-match": seen}))
    assert sorted(response.status_code for response in responses) == [200] + [412] * 7
    [name] = [response.json()["data"]["device_name"] for response in responses if response.status_code == 200]
    assert {response.json()["data"]["device_name"] for response in responses} == {name}


@pytest.mark.django_db(transaction=True)
def test_a_change_that_waited_for_a_transfer_tells_the_new_holder(rs_a: Hospital) -> None:
    key = issue("app").text
    [device] = register(device_payload(1))
    transferred = threading.Event()

    def act(number: int) -> Any:
        if number == 0:
            with transaction.atomic():
                registry.transfer(Device.objects.all(), rs_a, SYSTEM)
                transferred.set()
                wait_until_somebody_waits()
            return None
        assert transferred.wait(20)
        return Api(key).patch(f"/api/device/{device.pk}", {"device_name": "New"})

    response = at_once(2, act)[1]
    assert response.json()["data"]["device_holder"] == "RS Harapan"
    assert Api(key).get(f"/api/device/{device.pk}")["ETag"] == response["ETag"]


def wait_until_somebody_waits() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            waiting = 0
            while not waiting:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                [waiting] = cursor.fetchone()


# --- 304


def test_a_device_that_the_client_has_is_not_sent_again(api: Api, path: str) -> None:
    seen = api.get(path)
    response = api.get(path, **{"if-none-match": f'"other", {seen["ETag"]}'})
    assert (response.status_code, response.content, response["ETag"]) == (304, b"", seen["ETag"])
    assert "x-api-key" in response["Vary"]
    assert api.get(path, **{"if-none-match": "nonsense"}).status_code == 200
    api.patch(path, {"device_name": "New"})
    assert api.get(path, **{"if-none-match": seen["ETag"]}).status_code == 200


@pytest.mark.parametrize("query", ["", "?size=1", "?after=0", "?device_holder=rs%20harapan", "?search=cuff"])
def test_a_list_that_the_client_has_is_not_sent_again(api: Api, path: str, query: str) -> None:
    seen = api.get(LIST + query)
    response = api.get(LIST + query, **{"if-none-match": seen["ETag"]})
    assert (response.status_code, response.content, response["ETag"]) == (304, b"", seen["ETag"])


def test_whatever_changes_what_a_list_tells_changes_its_tag(api: Api, rs_a: Hospital, rs_b: Hospital) -> None:
    tags = [api.get(LIST)["ETag"]]
    [device] = register(device_payload(1, device_holder=rs_a.name))
    for change in (
        lambda: registry.transfer(Device.objects.all(), rs_b, SYSTEM),
        lambda: registry.update(Device.objects.all(), {"device_name": "New"}, SYSTEM),
        lambda: hospitals.rename(rs_b, "RS Sehat Selalu", SYSTEM),
        lambda: registry.retire(Device.objects.all(), SYSTEM),
        lambda: registry.restore([device.pk], SYSTEM),
    ):
        tags.append(api.get(LIST)["ETag"])
        change()
    tags.append(api.get(LIST)["ETag"])
    assert all(before != after for before, after in pairwise(tags))


def test_a_hospitals_list_has_the_tag_of_its_own_changes(api_a: Api, devices: dict[str, Device]) -> None:
    seen = api_a.get(LIST)["ETag"]
    registry.update(Device.objects.filter(pk=devices["b"].pk), {"device_name": "New"}, SYSTEM)
    assert api_a.get(LIST, **{"if-none-match": seen}).status_code == 304
    registry.transfer(Device.objects.filter(pk=devices["a"].pk), devices["b"].device_holder, SYSTEM)
    assert api_a.get(LIST, **{"if-none-match": seen}).json()["data"] == []
