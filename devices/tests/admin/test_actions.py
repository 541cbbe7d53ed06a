"""Actions on many devices: a confirmation page with the number, then one transaction with the history."""

import html
import io
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices.access.actor import SYSTEM
from devices.audit.audit_log import Action
from devices.imports import plan
from devices.imports.files import spreadsheet
from devices.models import AuditEvent, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.factories import device_payload, register

LIST = "/admin/devices/device/"


def act(client: Client, action: str, *devices: Device, query: str = "", **fields: Any) -> Any:
    chosen = {"action": action, "_selected_action": [device.pk for device in devices]}
    return client.post(f"{LIST}{query}", chosen | fields, follow=True)


def select_all(**fields: Any) -> dict[str, Any]:
    return {"select_across": "1", **fields}


@pytest.mark.parametrize(
    ("action", "fields", "text"),
    [
        ("transfer", {}, "2 devices will be transferred to the hospital that you choose here."),
        ("change_type", {"device_type": "CORPORATE"}, "The type of 2 devices will be changed to your choice."),
        ("retire", {}, "2 devices will be retired."),
    ],
)
def test_action_requires_confirmation(operator: Client, action: str, fields: dict[str, str], text: str) -> None:
    devices = register(*map(device_payload, range(3)))
    page = act(operator, action, *devices[:2], **fields).content.decode()
    assert text in page
    assert ("Cuff 0" in page, "Cuff 1" in page, "Cuff 2" in page) == (True, True, False)
    assert Device.history.count() == Device.objects.count() == 3


def test_transfer_changes_the_hospital_of_selected_devices(operator: Client, rs_a: Hospital) -> None:
    devices = register(device_payload(1), device_payload(2, device_holder=rs_a.name), device_payload(3))
    page = act(operator, "transfer", *devices[:2], confirmed="2", device_holder=rs_a.pk).content.decode()
    assert "1 device was transferred. 1 was already there." in page
    assert set(rs_a.devices.all()) == set(devices[:2])
    [change] = Device.history.filter(history_type="~")
    assert (change.id, change.history_user.username, change.history_channel) == (devices[0].pk, "operator", "admin")


def test_transfer_to_no_hospital_must_be_explicit(operator: Client, devices: dict[str, Device]) -> None:
    page = act(operator, "transfer", devices["a"], confirmed="1").content.decode()
    assert "Choose the new hospital of the devices." in page
    assert devices["a"].device_holder
    act(operator, "transfer", devices["a"], confirmed="1", no_hospital="on")
    assert Device.objects.get(pk=devices["a"].pk).device_holder is None


def test_hospital_admin_can_transfer_only_to_own_hospitals(
    ratna: Client, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    [melati] = hospitals.get_or_create(["RS Melati"], SYSTEM).values()
    melati.admins.add(User.objects.get(first_name="Ibu Ratna"))
    page = act(ratna, "transfer", devices["a"]).content.decode()
    assert ("RS Melati" in page, "RS Sehat" in page, "no_hospital" in page) == (True, False, False)
    for fields in ({"device_holder": rs_b.pk}, {"no_hospital": "on"}):
        act(ratna, "transfer", devices["a"], confirmed="1", **fields)
    assert Device.objects.get(pk=devices["a"].pk).device_holder == rs_a


def test_transfer_is_not_offered_to_the_admin_of_one_hospital(
    ratna: Client, operator: Client, devices: dict[str, Device], rs_a: Hospital
) -> None:
    offered = [client.get(LIST).content.decode().count('value="transfer"') for client in (ratna, operator)]
    assert offered == [0, 1]
    page = act(ratna, "transfer", devices["a"], confirmed="1", device_holder=rs_a.pk)
    assert "No action selected." in page.content.decode()


@pytest.mark.parametrize(
    ("action", "heading", "is_red"),
    [
        ("transfer", "Transfer 2 devices", False),
        ("change_type", "Change the type of 2 devices", False),
        ("export", "Export 2 devices", False),
        ("retire", "Retire 2 devices", True),
    ],
)
def test_confirmation_page_names_the_act_and_each_device(
    operator: Client, devices: dict[str, Device], action: str, heading: str, is_red: bool
) -> None:
    page = act(operator, action, devices["a"], devices["free"]).content.decode()
    [shown] = re.findall(r"<h2[^>]*>([^<]+)</h2>", page.split('id="content"')[1])
    assert shown == heading
    assert [device.device_mac in page for device in devices.values()] == [True, False, True]
    assert "RS Harapan" in page
    [form] = re.findall(r"<h2.*?</form>", page.split('id="content"')[1], re.DOTALL)
    assert ("bg-red-600" in form, "bg-primary-600" in form) == (is_red, not is_red)


def test_new_type_must_be_chosen(operator: Client, devices: dict[str, Device]) -> None:
    page = act(operator, "change_type", devices["a"]).content.decode()
    assert re.search(r'<input type="radio"[^>]*\schecked[\s>]', page) is None
    act(operator, "change_type", devices["a"], confirmed="1")
    assert Device.history.filter(history_type="~").count() == 0


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_export_button_downloads_what_the_list_shows(operator: Client, devices: dict[str, Device], ending: str) -> None:
    query = f"?q=cuff&device_holder__id__exact={devices['a'].device_holder_id}"
    page = operator.get(LIST + query).content.decode()
    [url] = re.findall(f'formaction="([^"]*export{ending}[^"]*)"', page)
    response = operator.post(html.unescape(url))
    with spreadsheet.open_sheet(io.BytesIO(b"".join(response))) as sheet:
        assert [row.cells["device_name"] for row in sheet.rows] == ["Cuff 1"]
    [event] = AuditEvent.objects.filter(action=Action.EXPORTED)
    assert event.details == {"devices": 1, "format": ending}


def test_export_button_is_limited_to_the_scope(ratna: Client, devices: dict[str, Device]) -> None:
    assert b"".join(ratna.post(f"{LIST}export.csv")).decode().count("Cuff") == 1
    assert ratna.post(f"{LIST}export.csv?device_name__startswith=C").status_code == 400
    assert ratna.post(f"{LIST}export.txt").status_code == 404
    assert ratna.get(f"{LIST}export.csv").status_code == 405


def test_change_type_updates_selected_devices(operator: Client) -> None:
    devices = register(device_payload(1), device_payload(2, device_type="CORPORATE"))
    page = act(operator, "change_type", *devices, confirmed="2", device_type="CORPORATE").content.decode()
    assert "1 device was changed. 1 was already “Corporate”." in page
    assert set(Device.objects.values_list("device_type", flat=True)) == {"CORPORATE"}
    assert Device.history.filter(history_type="~").count() == 1


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_export_of_a_selection_can_be_imported(operator: Client, devices: dict[str, Device], ending: str) -> None:
    chosen = (devices["a"], devices["b"])
    assert "2 devices will be exported to a file" in act(operator, "export", *chosen).content.decode()
    response = act(operator, "export", *chosen, confirmed="2", ending=ending)
    assert response["Content-Disposition"].endswith(f'{ending}"')
    file = io.BytesIO(b"".join(response))
    with spreadsheet.open_sheet(file) as sheet:
        planned = plan.make_plan(sheet.rows, SYSTEM)
    assert [(row.action, row.item["device_name"]) for row in planned] == [
        (plan.RowAction.UNCHANGED, "Cuff 1"),
        (plan.RowAction.UNCHANGED, "Cuff 2"),
    ]


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
@pytest.mark.parametrize(
    ("language", "headers"),
    [
        ("en", ["id", "device_name", "device_mac", "device_type", "device_holder"]),
        ("id", ["ID", "Nama perangkat", "Alamat MAC", "Jenis", "Rumah sakit"]),
    ],
)
def test_export_has_column_headers_that_the_import_reads(
    operator: Client, devices: dict[str, Device], ending: str, language: str, headers: list[str]
) -> None:
    response = operator.post(f"{LIST}export{ending}", headers={"accept-language": language})
    content = b"".join(response)
    if ending == ".csv":
        assert content.decode("utf-8-sig").splitlines()[0] == ",".join(headers)
    with spreadsheet.open_sheet(io.BytesIO(content)) as sheet:
        planned = plan.make_plan(sheet.rows, SYSTEM)
    assert {row.action for row in planned} == {plan.RowAction.UNCHANGED}


def test_export_of_a_hospital_admin_is_limited_to_the_scope(ratna: Client, devices: dict[str, Device]) -> None:
    response = act(ratna, "export", *devices.values(), confirmed="1", ending=".csv")
    assert b"".join(response).decode().count("Cuff") == 1


def test_retire_removes_selected_devices_and_keeps_their_history(operator: Client) -> None:
    devices = register(*map(device_payload, range(3)))
    assert "2 devices were retired." in act(operator, "retire", *devices[:2], confirmed="2").content.decode()
    assert list(Device.objects.all()) == devices[2:]
    assert Device.history.filter(history_type="-").count() == 2


def test_selecting_all_includes_exactly_the_search_results(operator: Client) -> None:
    register(*map(device_payload, range(30)), device_payload(31, device_name="Thermometer"))
    first = Device.objects.filter(device_name="Cuff 0").get()
    page = act(operator, "retire", first, query="?q=cuff", **select_all()).content.decode()
    assert "30 devices will be retired." in page
    assert "and 10 more" in page
    act(operator, "retire", first, query="?q=cuff", **select_all(confirmed="30"))
    assert Device.objects.get().device_name == "Thermometer"


def test_action_is_not_run_if_the_number_of_objects_has_changed(operator: Client) -> None:
    [first] = register(device_payload(1))
    page = act(operator, "retire", first, **select_all()).content.decode()
    assert "1 device will be retired." in page
    register(device_payload(2))
    page = act(operator, "retire", first, **select_all(confirmed="1")).content.decode()
    assert "The number of selected objects has changed." in page
    assert Device.objects.count() == 2


def test_action_query_count_does_not_depend_on_the_number_of_devices(operator: Client) -> None:
    devices, counts = register(*map(device_payload, range(200))), set()
    for chosen in (devices[:5], devices[50:100]):
        with CaptureQueriesContext(connection) as queries:
            act(operator, "retire", *chosen, confirmed=str(len(chosen)))
        counts.add(len(queries))
    assert len(counts) == 1
