"""The search for devices: all words in any order, MAC addresses in any notation, current and former hospital names."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices.access.actor import SYSTEM
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.factories import device_payload, register
from devices.values.normalization import normalize
from devices.values.scope import UNRESTRICTED, Scope

pytestmark = pytest.mark.django_db
NAME, ADDRESS = "Tensimeter Omron IGD 001", "B0:49:5F:4D:CA:18"


@pytest.fixture(autouse=True)
def fleet() -> None:
    register(
        device_payload(1, device_name=NAME, device_mac=ADDRESS, device_holder="RS Harapan"),
        device_payload(2, device_name="Termometer Omron ICU 002", device_holder="RS Melati"),
        device_payload(3, device_name="Oksimeter", device_holder="RS Melati"),
    )


def found(text: str, scope: Scope = UNRESTRICTED) -> list[str]:
    devices = Device.objects.in_scope(scope).search(normalize(text), scope)
    return list(devices.order_by("pk").values_list("device_name", flat=True))


@pytest.mark.parametrize(
    "text",
    [
        "tensimeter igd",
        "IGD Omron",
        "001 igd OMRON tensimeter",
        "tensimeter   igd",
        "omron harapan",
        "harapan tensimeter rs",
        "omron b0:49:5f",
        "CA18 tensimeter",
        "t e n s i m 001",
        "t e n s i m tensimeter omron igd",
    ],
)
def test_words_in_any_order_find_a_device(text: str) -> None:
    assert found(text) == [NAME]


@pytest.mark.parametrize("text", ["omron nowhere", "tensimeter melati", "icu 001", "omron b0:49:60", "%", "tens_meter"])
def test_every_word_must_be_found(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    "text",
    [
        *("b0495f4dca18", "B049.5F4D.CA18", "B0-49-5F-4D-CA-18", "B0 49 5F 4D CA 18", "b049 5f4d ca18"),
        *("b0:49:5f:4d", "4DCA18", "CA18", "DCA18", "dca1", "4D CA 18", "0495f", "5F-4D", "9:5F:4"),
    ],
)
def test_mac_is_found_by_any_part_of_any_notation(text: str) -> None:
    assert found(text) == [NAME]


def test_number_in_a_name_is_not_searched_in_mac_addresses_too() -> None:
    assert found("omron 2") == ["Termometer Omron ICU 002"]


def test_former_name_of_a_hospital_finds_its_devices() -> None:
    hospitals.rename(Hospital.objects.get(name="RS Melati"), "RS Mawar", SYSTEM)
    assert found("melati") == found("rs mawar") == ["Termometer Omron ICU 002", "Oksimeter"]
    assert found("melati oksi") == ["Oksimeter"]


def test_names_of_hospitals_outside_the_scope_are_not_searched() -> None:
    harapan, melati = Hospital.objects.order_by("name")
    hospitals.rename(melati, "RS Mawar", SYSTEM)
    scope = Scope((harapan,))
    assert (found("melati", scope), found("mawar", scope), found("harapan", scope)) == ([], [], [NAME])


def test_search_for_no_hospital_finds_devices_without_one() -> None:
    register(device_payload(4, device_name="Omron spare"))
    assert found("unknown") == found("omron unknown") == ["Omron spare"]


@pytest.mark.parametrize("text", ["omron", "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 5])
def test_search_takes_two_queries_for_any_number_of_words(text: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        found(text)
    assert len(queries) == 2
    assert queries[-1]["sql"].upper().count("DEVICE_NAME") <= 10  # eight words, the column and the order
