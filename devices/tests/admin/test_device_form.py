"""The form of a device: help while registering, and the facts and last changes of a registered device."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices import registry
from devices.access.actor import SYSTEM
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.factories import MAC, device_payload, register

LIST = "/admin/devices/device/"
ADD = f"{LIST}add/"


def form(**fields: Any) -> dict[str, Any]:
    return {**device_payload(1, device_mac=MAC), "device_holder": "", **fields}


def field(page: str, name: str) -> str:
    """Return the tag of the field."""
    [tag, *_others] = re.findall(rf'<(?:input|select)[^>]*name="{name}"[^>]*>', page)
    return tag


def test_page_to_register_has_a_heading_and_a_title(operator: Client) -> None:
    page = operator.get(ADD).content.decode()
    assert re.findall(r"<h2[^>]*>([^<]+)</h2>", page.split('id="content"')[1]) == ["Register a device"]
    assert re.findall(r"<title>\s*(.*?)\s*</title>", page)[0].startswith("Register a device")


def test_type_must_be_chosen(operator: Client) -> None:
    page = operator.get(ADD).content.decode()
    assert len(re.findall('type="radio"', page)) == 2
    assert re.search(r'<input type="radio"[^>]*\schecked[\s>]', page) is None
    data = form()
    del data["device_type"]
    assert list(operator.post(ADD, data).context["adminform"].form.errors) == ["device_type"]


def test_keyboard_of_a_phone_does_not_correct_a_mac(operator: Client) -> None:
    tag = field(operator.get(ADD).content.decode(), "device_mac")
    for attribute in ('autocapitalize="characters"', 'autocorrect="off"', 'spellcheck="false"', 'inputmode="text"'):
        assert attribute in tag


def test_form_has_no_link_that_empties_it(operator: Client) -> None:
    assert "add-related" not in operator.get(ADD).content.decode()


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [({"device_mac": "12345"}, "device_mac"), ({"device_name": " ", "device_mac": "12345"}, "device_name")],
)
def test_cursor_is_in_the_first_wrong_field(operator: Client, fields: dict[str, str], wrong: str) -> None:
    page = operator.post(ADD, form(**fields)).content.decode()
    assert [name for name in ("device_name", "device_mac") if "autofocus" in field(page, name)] == [wrong]
    assert "admin/js/change_form.js" not in page  # it would put the cursor in the first field


@pytest.mark.parametrize("text", ["b0-49-5f-4d-ca-18", "B0495F4DCA18"])
def test_mac_of_the_address_is_filled_in(operator: Client, text: str) -> None:
    assert 'value="B0:49:5F:4D:CA:18"' in field(operator.get(f"{ADD}?device_mac={text}").content.decode(), "device_mac")


@pytest.mark.parametrize(
    "query", ["device_mac=%22%3E", "device_type=OTHER", "device_holder=x", "device_holder=99999999"]
)
def test_invalid_value_of_the_address_is_ignored(operator: Client, ratna: Client, rs_b: Hospital, query: str) -> None:
    for client in (operator, ratna):
        page = client.get(f"{ADD}?{query}")
        assert page.status_code == 200
        assert not page.context["adminform"].form.initial.keys() - {"device_holder"}
    assert "RS Sehat" not in ratna.get(f"{ADD}?device_holder={rs_b.pk}").content.decode()


def test_save_and_add_another_keeps_type_and_hospital_and_counts(operator: Client, rs_a: Hospital) -> None:
    data = {"device_type": "CORPORATE", "device_holder": rs_a.pk, "_addanother": "1"}
    first = operator.post(f"{ADD}?device_mac={MAC}", form(**data))
    page = operator.get(first["Location"])
    initial = page.context["adminform"].form.initial
    assert (initial["device_type"], initial["device_holder"]) == ("CORPORATE", str(rs_a.pk))
    assert "device_mac" not in initial
    second = operator.post(first["Location"], form(**data | device_payload(2, device_type="CORPORATE")))
    assert "“Cuff 2” was registered. These are 2 devices in a row." in operator.get(second["Location"]).content.decode()


def test_name_of_another_hospitals_device_is_explained(
    ratna: Client, devices: dict[str, Device], rs_a: Hospital
) -> None:
    page = ratna.post(ADD, form(device_name="Cuff 2", device_holder=rs_a.pk)).content.decode()
    assert "A device with this name is already registered. It is not in your hospitals" in page
    assert "“Tensimeter 1 – RS Harapan”" in page
    assert ("RS Sehat" in page, f"{LIST}{devices['b'].pk}/" in page) == (False, False)


def test_page_of_a_device_shows_its_facts_and_last_changes(operator: Client, rs_a: Hospital) -> None:
    operator.post(ADD, form(device_mac="B0:49:5F:4D:CA:18"))
    device = Device.objects.get()
    for number in range(6):
        registry.update(Device.objects.filter(pk=device.pk), {"device_name": f"Cuff {number}a"}, SYSTEM)
    page = operator.get(f"{LIST}{device.pk}/change/").content.decode()
    [facts] = re.findall(r'<dl class="facts.*?</dl>', page, re.DOTALL)
    assert "B0:49:5F:4D:CA:18" in facts
    assert 'data-copies="device-mac"' in facts
    assert "OMRON" in facts
    assert "operator" in facts
    [changes] = re.findall(r'<ul class="last-changes">.*?</ul>', page, re.DOTALL)
    assert changes.count("<li>") == 5
    assert "Cuff 4a → Cuff 5a" in changes
    assert f'href="{LIST}{device.pk}/history/"' in page


def test_page_of_a_device_hides_what_happened_in_another_hospital(
    ratna: Client, operator: Client, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    User.objects.filter(username="operator").update(username="hidden-name")
    device = Device.objects.filter(pk=devices["b"].pk)
    operator.post(f"{LIST}{devices['b'].pk}/change/", form(device_name="Former", device_mac=MAC, device_holder=rs_b.pk))
    operator.post(f"{LIST}{devices['b'].pk}/change/", form(device_name="Cuff 9", device_mac=MAC, device_holder=rs_a.pk))
    assert device.get().device_holder == rs_a
    page = ratna.get(f"{LIST}{device.get().pk}/change/").content.decode()
    assert [word for word in ("RS Sehat", "Former", "hidden-name") if word in page] == []
    assert "came from elsewhere" in page


def test_number_of_queries_of_the_page_does_not_depend_on_the_history(operator: Client, rs_a: Hospital) -> None:
    [melati] = hospitals.get_or_create(["RS Melati"], SYSTEM).values()
    counts = set()
    [device] = register(device_payload(1))
    for _round in range(3):
        for hospital in (rs_a, melati):
            registry.transfer(Device.objects.filter(pk=device.pk), hospital, SYSTEM)
        with CaptureQueriesContext(connection) as queries:
            operator.get(f"{LIST}{device.pk}/change/")
        counts.add(len(queries))
    assert len(counts) == 1
