"""Conditional requests: ETag, If-Match and If-None-Match."""

import re
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


def test_responses_with_one_device_have_its_etag(api: Api) -> None:
    posted = api.post(LIST, device_payload(1))
    path = f"/api/device/{posted.json()['data'][0]['id']}"
    assert re.fullmatch(r'"\d+-[0-9a-f]{24}-[0-9a-f]{8}"', posted["ETag"])
    assert api.get(path)["ETag"] == posted["ETag"]
    put = api.put(path, device_payload(2))
    patched = api.patch(path, {"device_name": "New"})
    assert len({posted["ETag"], put["ETag"], patched["ETag"]}) == 3
    assert api.get(path)["ETag"] == patched["ETag"] == api.patch(path, {"device_name": "New"})["ETag"]
    assert "ETag" not in api.post(LIST, [device_payload(3), device_payload(4)])


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_write_with_an_old_etag_returns_412_and_the_current_device(api: Api, path: str, method: str) -> None:
    old = api.get(path)["ETag"]
    api.patch(path, {"device_type": "CORPORATE"})
    now = api.get(path)
    response = api(method, path, device_payload(9), **{"if-match": old})
    assert (response.status_code, response.json()["status"]) == (412, "PRECONDITION_FAILED")
    assert errors(response) == [("if-match", "outdated")]
    assert (response.json()["data"], response["ETag"]) == (now.json()["data"], now["ETag"])
    assert api.get(path).content == now.content
    assert api(method, path, device_payload(9), **{"if-match": now["ETag"]}).status_code == 200


@pytest.mark.parametrize("form", ["{}", '"x", {}', "*", "{},", 'W/"x",{}'])
def test_if_match_accepts_each_form_of_http(api: Api, path: str, form: str) -> None:
    sent = form.format(api.get(path)["ETag"])
    assert api.put(path, device_payload(2), **{"if-match": sent}).status_code == 200


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_weak_etag_never_matches_if_match(api: Api, path: str, method: str) -> None:
    tag = api.get(path)["ETag"]
    assert api(method, path, device_payload(2), **{"if-match": f"W/{tag}"}).status_code == 412
    assert api(method, path, device_payload(2), **{"if-match": f"W/{tag}, {tag}"}).status_code == 200


@pytest.mark.parametrize("form", ['W/"{}"', '"{}"', 'W/"{}-gzip"'])
def test_if_match_accepts_the_etags_of_former_releases(api: Api, path: str, form: str) -> None:
    def former() -> str:
        return form.format(api.get(path)["ETag"].strip('"').rpartition("-")[0])

    stored = former()
    assert api.patch(path, {"device_name": "1"}, **{"if-match": stored}).status_code == 200
    assert api.patch(path, {"device_name": "2"}, **{"if-match": stored}).status_code == 412
    assert api.delete(path, **{"if-match": former()}).status_code == 200


def test_each_representation_has_its_own_etag_and_if_match_accepts_all(api: Api, path: str) -> None:
    camel = Api(issue("camelCase", naming="camelCase").text)
    representations = [
        client.get(path, **{"accept-language": code}) for client in (api, camel) for code in ("en", "id")
    ]
    tags = {response["ETag"] for response in representations}
    assert len(tags) == len({response.content for response in representations}) == 4
    for number, tag in enumerate(tags):
        assert api.patch(path, {"device_name": "E1"}, **{"if-match": tag}).status_code == (412 if number else 200)
        if not number:
            changed = api.get(path)["ETag"]
    assert api.get(path, **{"if-none-match": changed, "accept-language": "id"}).status_code == 200
    assert api.get(path, **{"if-none-match": changed}).status_code == 304


def test_list_has_another_etag_in_another_language(api: Api, path: str) -> None:
    tag = api.get(LIST)["ETag"]
    assert tag[0] == '"'
    assert api.get(LIST, **{"if-none-match": tag, "accept-language": "id"}).status_code == 200
    assert api.get(LIST, **{"if-none-match": f"W/{tag}"}).status_code == 304


@pytest.mark.parametrize("ending", ["-gzip", "--gzip", ";gzip", "-br", ";br", "-zstd", "-deflate", "-GZIP", "-brotli"])
def test_etag_that_a_proxy_changed_for_compression_matches(api: Api, path: str, ending: str) -> None:
    def sent_by_proxy(response: Any) -> str:
        return f'{response["ETag"][:-1]}{ending}"'

    for url in (path, LIST):
        tag = sent_by_proxy(api.get(url))
        for header in (tag, f"W/{tag}", f'"x", {tag}'):
            assert api.get(url, **{"if-none-match": header}).status_code == 304
    old = sent_by_proxy(api.get(path))
    assert api.patch(path, {"device_name": "1"}, **{"if-match": old}).status_code == 200
    assert api.patch(path, {"device_name": "2"}, **{"if-match": old}).status_code == 412
    assert api.get(path, **{"if-none-match": old}).status_code == 200
    new = sent_by_proxy(api.get(path))
    assert api.delete(path, **{"if-match": f"{old}, {new}"}).status_code == 200


@pytest.mark.parametrize("ending", ["-", "-x", "gzip", "-gzip-gzip", "-gzi", " -gzip"])
def test_etag_with_another_ending_does_not_match(api: Api, path: str, ending: str) -> None:
    tag = f'{api.get(path)["ETag"][:-1]}{ending}"'
    assert api.get(path, **{"if-none-match": tag}).status_code == 200
    assert api.patch(path, {"device_name": "1"}, **{"if-match": tag}).status_code in (400, 412)


def test_star_in_quotes_is_an_ordinary_etag(api: Api, path: str) -> None:
    assert api.put(path, device_payload(2), **{"if-match": '"*"'}).status_code == 412
    assert api.get(path, **{"if-none-match": '"*"'}).status_code == 200


@pytest.mark.parametrize("sent", ["", "7", 'W/"7', "W/7", '"a" "b"', "*, x", "é"])
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_malformed_if_match_returns_400(api: Api, path: str, method: str, sent: str) -> None:
    response = api(method, path, device_payload(9), **{"if-match": sent})
    assert (response.status_code, errors(response)) == (400, [("if-match", "etag")])
    assert Device.history.count() == 1


def test_post_with_if_match_returns_400(api: Api) -> None:
    response = api.post(LIST, device_payload(1), **{"if-match": "*"})
    assert (response.status_code, errors(response)) == (400, [("if-match", "if_match_not_supported")])
    assert not Device.objects.exists()


def test_if_match_for_a_missing_device_returns_404_or_410(api: Api, path: str) -> None:
    assert api.put("/api/device/4711", device_payload(1), **{"if-match": '"x"'}).status_code == 404
    api.delete(path)
    assert api.put(path, device_payload(1), **{"if-match": '"x"'}).status_code == 410


def test_renaming_the_hospital_changes_the_etag(api: Api, path: str) -> None:
    old = api.get(path)["ETag"]
    hospitals.rename(Hospital.objects.get(), "RS Harapan Kita", SYSTEM)
    assert api.patch(path, {"device_name": "x"}, **{"if-match": old}).status_code == 412


@pytest.mark.django_db(transaction=True)
def test_one_of_several_concurrent_conditional_writes_succeeds() -> None:
    key = issue("app").text
    [device] = register(device_payload(1))
    path = f"/api/device/{device.pk}"
    old = Api(key).get(path)["ETag"]
    responses = at_once(8, lambda n: Api(key).patch(path, {"device_name": f"Name {n}"}, **{"if-match": old}))
    assert sorted(response.status_code for response in responses) == [200] + [412] * 7
    [name] = [response.json()["data"]["device_name"] for response in responses if response.status_code == 200]
    assert {response.json()["data"]["device_name"] for response in responses} == {name}


@pytest.mark.django_db(transaction=True)
def test_write_after_waiting_for_a_transfer_returns_the_new_hospital(rs_a: Hospital) -> None:
    key = issue("app").text
    [device] = register(device_payload(1))
    transferred = threading.Event()

    def act(number: int) -> Any:
        if number == 0:
            with transaction.atomic():
                registry.transfer(Device.objects.all(), rs_a, SYSTEM)
                transferred.set()
                wait_until_a_lock_is_awaited()
            return None
        assert transferred.wait(20)
        return Api(key).patch(f"/api/device/{device.pk}", {"device_name": "New"})

    response = at_once(2, act)[1]
    assert response.json()["data"]["device_holder"] == "RS Harapan"
    assert Api(key).get(f"/api/device/{device.pk}")["ETag"] == response["ETag"]


def wait_until_a_lock_is_awaited() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            waiting = 0
            while not waiting:
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                [waiting] = cursor.fetchone()


# --- 304


def test_unchanged_device_returns_304(api: Api, path: str) -> None:
    old = api.get(path)
    response = api.get(path, **{"if-none-match": f'"other", {old["ETag"]}'})
    assert (response.status_code, response.content, response["ETag"]) == (304, b"", old["ETag"])
    assert "x-api-key" in response["Vary"]
    assert api.get(path, **{"if-none-match": "nonsense"}).status_code == 200
    api.patch(path, {"device_name": "New"})
    assert api.get(path, **{"if-none-match": old["ETag"]}).status_code == 200


@pytest.mark.parametrize("query", ["", "?size=1", "?after=0", "?device_holder=rs%20harapan", "?search=cuff"])
def test_unchanged_list_returns_304(api: Api, path: str, query: str) -> None:
    old = api.get(LIST + query)
    response = api.get(LIST + query, **{"if-none-match": old["ETag"]})
    assert (response.status_code, response.content, response["ETag"]) == (304, b"", old["ETag"])


def test_each_change_of_a_listed_device_changes_the_etag_of_the_list(api: Api, rs_a: Hospital, rs_b: Hospital) -> None:
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


def test_etag_of_a_hospital_list_does_not_depend_on_other_hospitals(api_a: Api, devices: dict[str, Device]) -> None:
    old = api_a.get(LIST)["ETag"]
    registry.update(Device.objects.filter(pk=devices["b"].pk), {"device_name": "New"}, SYSTEM)
    assert api_a.get(LIST, **{"if-none-match": old}).status_code == 304
    registry.transfer(Device.objects.filter(pk=devices["a"].pk), devices["b"].device_holder, SYSTEM)
    assert api_a.get(LIST, **{"if-none-match": old}).json()["data"] == []
