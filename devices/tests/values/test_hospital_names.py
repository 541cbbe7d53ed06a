"""Names of hospitals that look the same mean one hospital, from all sources. Texts that name none are recognized."""

import io

import pytest
from django.core.management import call_command
from django.test import Client

from devices.access.actor import IMPORT, SYSTEM
from devices.imports import plan
from devices.models import ApiKey, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api
from devices.tests.support.factories import device_payload, register
from devices.tests.support.imports import rows
from devices.values.hospital_names import fold_name, is_formula_result, means_nothing

NAME = "RS Ma'arif-Cafe"
SAME = {
    "no-break space": "RS\u00a0Ma'arif-Cafe",
    "two spaces": "RS  Ma'arif-Cafe",
    "line separator": "RS\u2028Ma'arif-Cafe",
    "zero-width space": "RS Ma\u200b'arif-Cafe",
    "byte-order mark": "\ufeffRS Ma'arif-Cafe",
    "direction mark": "RS Ma'arif-Cafe\u200e",
    "soft hyphen": "RS Ma'\u00adarif-Cafe",
    "Hangul filler": "RS Ma'arif-Cafe\u3164",
    "Braille blank": "RS\u2800Ma'arif-Cafe",
    "tags": "RS Ma'arif-Cafe\U000e0041",
    "full-width letters": "\uff32\uff33\u3000\uff2d\uff41\uff07\uff41\uff52\uff49\uff46\uff0d\uff23\uff41\uff46\uff45",
    "mathematical letters": "\U0001d411\U0001d412 Ma'arif-Cafe",
    "typographic apostrophe": "RS Ma\u2019arif-Cafe",
    "modifier apostrophe": "RS Ma\u02bcarif-Cafe",
    "no-break hyphen": "RS Ma'arif\u2011Cafe",
    "en dash": "RS Ma'arif\u2013Cafe",
    "upper case": "RS MA'ARIF-CAFE",
}
DIFFERENT = [
    "RS Ma'arif Cafe",
    "RS Maarif-Cafe",
    "RS Ma'arif-Caf\u00e9",
    "RS M\u0430'arif-Cafe",
    "RS Ma'arif-Cafe 2",
    "RS\u00b2",
]


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_names_that_look_the_same_are_equal(text: str) -> None:
    assert fold_name(text) == fold_name(NAME)


@pytest.mark.parametrize("text", DIFFERENT, ids=ascii)
def test_names_that_look_different_are_different(text: str) -> None:
    assert fold_name(text) != fold_name(NAME)


def test_superscript_is_not_the_digit() -> None:
    assert fold_name("RS\u00b2") != fold_name("RS2")


@pytest.mark.django_db
@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_every_source_finds_the_hospital_that_looks_the_same(text: str, api: Api) -> None:
    [device] = register(device_payload(1, device_holder=NAME))
    hospital = device.device_holder
    path = f"/api/device/{device.pk}"
    for response in (
        api.post("/api/devices", device_payload(2, device_holder=text)),
        api.put(path, device_payload(1, device_holder=text)),
        api.patch(path, {"device_holder": text}),
    ):
        assert response.status_code in (200, 201)
    assert plan.import_devices(rows(device_payload(3, device_holder=text)), IMPORT)[plan.RowAction.NEW] == 1
    call_command("create_api_key", "app", "--hospital", text, stdout=io.StringIO(), stderr=io.StringIO())
    assert [*ApiKey.objects.get(name="app").hospitals.all()] == [*Hospital.objects.all()] == [hospital]
    for parameter in ("device_holder", "search"):
        found = api.client.get("/api/devices", {parameter: text}, headers=api.headers).json()["data"]
        assert {row["device_holder"] for row in found} == {NAME}
        assert len(found) == 3, parameter


@pytest.mark.django_db
@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_hospital_cannot_be_renamed_to_the_name_of_another_that_looks_the_same(operator: Client, text: str) -> None:
    [device] = register(device_payload(1, device_holder=NAME))
    other = hospitals.get_or_create(["RS Lain"], SYSTEM)["rs lain"]
    page = operator.post(f"/admin/devices/hospital/{other.pk}/change/", {"name": text})
    assert NAME.replace("'", "&#x27;") in page.content.decode()
    other.refresh_from_db()
    assert (other.name, device.device_holder.name) == ("RS Lain", NAME)


@pytest.mark.django_db
@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_former_name_is_found_in_every_spelling(text: str, api: Api) -> None:
    [device] = register(device_payload(1, device_holder=NAME))
    assert device.device_holder
    hospitals.rename(device.device_holder, "RS Baru", SYSTEM)
    response = api.post("/api/devices", device_payload(2, device_holder=text))
    assert response.json()["data"][0]["device_holder"] == "RS Baru"


@pytest.mark.parametrize(
    "text", ["RS Harapan", "Nil Desperandum", "7", "RS-0", "\U0001f3e5", "Trueman", "null 2", "0x"]
)
def test_name_of_a_hospital_means_something(text: str) -> None:
    assert not means_nothing(text)
    assert not is_formula_result(text)
