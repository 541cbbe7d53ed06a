"""The scope of a hospital admin on each page of the admin."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.test import Client

from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import users
from devices.admin.base import OperatorOnlyMixin, ScopedMixin
from devices.models import Device, Hospital
from devices.registry import hospitals
from devices.tests.support.factories import MAC
from devices.tests.support.pages import without_varying_parts

LIST = "/admin/devices/device/"
CHANGES = "/admin/devices/historicaldevice/"


def form(device: Device, **fields: Any) -> dict[str, Any]:
    values = {name: getattr(device, name) for name in ("device_name", "device_mac", "device_type")}
    return {**values, "device_holder": device.device_holder_id or "", **fields}


@pytest.mark.parametrize("query", ["", "q=cuff", "q=sehat", "q=Cuff+2", "device_holder__isnull=True", "o=1", "all="])
def test_lists_and_counts_are_limited_to_the_scope(ratna: Client, devices: dict[str, Device], query: str) -> None:
    response = ratna.get(f"{LIST}?{query}")
    assert set(response.context["cl"].result_list) <= {devices["a"]}
    assert response.context["cl"].result_count <= 1
    assert not {"RS Sehat", "Cuff 2", "Cuff 3"} & set(response.content.decode().replace(">", "<").split("<"))


def test_hospital_filter_does_not_show_names_outside_the_scope(ratna: Client, devices: dict[str, Device]) -> None:
    other = devices["b"].device_holder_id
    for path in (LIST, CHANGES):
        response = ratna.get(f"{path}?device_holder__id__exact={other}")
        assert not response.context["cl"].result_list
        assert "RS Sehat" not in response.content.decode()


@pytest.mark.parametrize("other", ["b", "free"])
@pytest.mark.parametrize("page", ["change", "delete", "history"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_device_outside_the_scope_is_not_found(
    ratna: Client, devices: dict[str, Device], other: str, page: str, method: str
) -> None:
    path = f"{LIST}{devices[other].pk}/{page}/"
    response = getattr(ratna, method)(path, form(devices[other]) | {"post": "yes"})
    assert response.status_code == 404
    assert Device.objects.count() == 3
    missing_path = path.replace(f"/{devices[other].pk}/", "/999999/")
    missing = getattr(ratna, method)(missing_path)
    expected = without_varying_parts(missing.content.replace(missing_path.encode(), b""))
    assert without_varying_parts(response.content.replace(path.encode(), b"")) == expected


@pytest.mark.parametrize("action", ["retire", "export", "transfer", "change_type"])
def test_actions_ignore_devices_outside_the_scope(ratna: Client, devices: dict[str, Device], action: str) -> None:
    chosen = {"action": action, "_selected_action": [device.pk for device in devices.values()], "confirmed": "3"}
    response = ratna.post(LIST, chosen | {"device_type": "CORPORATE"}, follow=True)
    assert "Cuff 2" not in response.content.decode()
    assert Device.objects.filter(pk=devices["b"].pk, device_type="CONSUMER").exists()


def test_form_rejects_a_hospital_outside_the_scope(ratna: Client, devices: dict[str, Device]) -> None:
    foreign = devices["b"].device_holder_id
    for path, holder in ((f"{LIST}{devices['a'].pk}/change/", foreign), (f"{LIST}add/", foreign), (f"{LIST}add/", "")):
        response = ratna.post(path, form(devices["a"], device_holder=holder, device_name="New", device_mac=MAC))
        assert list(response.context["adminform"].form.errors) == ["device_holder"], path
    assert not Device.objects.filter(device_name="New").exists()


def test_conflict_does_not_disclose_a_device_outside_the_scope(ratna: Client, devices: dict[str, Device]) -> None:
    own = ratna.post(f"{LIST}add/", form(devices["a"])).content.decode()
    assert f'<a href="{LIST}{devices["a"].pk}/change/"' in own
    holder = devices["a"].device_holder_id
    foreign = ratna.post(f"{LIST}add/", form(devices["b"], device_holder=holder)).content.decode()
    assert "A device with this MAC address is already registered. It is not in your hospitals." in foreign
    assert "RS Sehat" not in foreign
    assert f"{LIST}{devices['b'].pk}/change/" not in foreign


def test_choices_are_limited_to_the_scope(ratna: Client, devices: dict[str, Device]) -> None:
    query = "app_label=devices&model_name=device&field_name=device_holder"
    found = ratna.get(f"/admin/autocomplete/?{query}&term=RS").json()["results"]
    assert [choice["text"] for choice in found] == ["RS Harapan"]
    page = ratna.get("/admin/devices/hospital/").content.decode()
    assert ("RS Harapan" in page, "RS Sehat" in page) == (True, False)
    assert ratna.get(f"/admin/devices/hospital/{devices['b'].device_holder_id}/change/").status_code == 404


def test_history_begins_when_the_device_enters_the_scope(
    ratna: Client, devices: dict[str, Device], rs_a: Hospital
) -> None:
    device = Device.objects.filter(pk=devices["b"].pk)
    registry.update(device, {"device_name": "Secret of Sehat"}, SYSTEM)
    registry.update(device, {"device_name": "Cuff of Harapan", "device_holder": rs_a.name}, SYSTEM)
    page = ratna.get(CHANGES).content.decode()
    assert "Cuff of Harapan" in page
    assert "came from elsewhere" in page
    assert not [secret for secret in ("Secret of Sehat", "RS Sehat", "Cuff 2", "Cuff 3") if secret in page]


def test_history_ends_when_the_device_leaves_the_scope(
    ratna: Client, devices: dict[str, Device], rs_b: Hospital
) -> None:
    new = {"device_name": "Secret of Sehat", "device_mac": MAC, "device_holder": rs_b.name}
    registry.update(Device.objects.filter(pk=devices["a"].pk), new, SYSTEM)  # type: ignore[arg-type]
    registry.retire(Device.objects.filter(pk=devices["a"].pk), SYSTEM)
    response = ratna.get(CHANGES)
    page = response.content.decode()
    assert [row.history_type for row in response.context["cl"].result_list] == ["~", "+"]
    assert "went to another hospital" in page
    assert page.count("Cuff 1") >= 2
    assert not ratna.get(f"{CHANGES}?q=Secret").context["cl"].result_list
    secrets = ["Secret of Sehat", MAC, "RS Sehat"]
    for row in Device.history.all():
        for view in ("change", "history", "delete"):
            response = ratna.get(f"{CHANGES}{row.pk}/{view}/")
            assert response.status_code in (403, 404)
            page += response.content.decode()
    page += ratna.post(
        CHANGES, {"action": "restore", "_selected_action": [row.pk for row in Device.history.all()]}, follow=True
    ).content.decode()
    assert not [secret for secret in secrets if secret in page]


def test_history_of_a_hospital_includes_merged_hospitals(
    ratna: Client, operator: Client, devices: dict[str, Device], rs_a: Hospital, rs_b: Hospital
) -> None:
    registry.retire(Device.objects.filter(pk=devices["b"].pk), SYSTEM)
    hospitals.merge([rs_b], rs_a, SYSTEM)
    found = ratna.get(CHANGES).context["cl"].result_list
    assert [(row.history_type, row.device_name) for row in found] == [("-", "Cuff 2"), ("+", "Cuff 2"), ("+", "Cuff 1")]
    chosen = operator.get(f"{CHANGES}?device_holder__id__exact={rs_a.pk}").context["cl"].result_list
    assert list(chosen) == list(found)


def test_retired_device_can_be_restored_only_by_its_hospital(ratna: Client, devices: dict[str, Device]) -> None:
    registry.retire(Device.objects.all(), SYSTEM)
    last = [Device.history.filter(id=device.pk).latest("history_id").pk for device in devices.values()]
    ratna.post(CHANGES, {"action": "restore", "_selected_action": last, "confirmed": "1"})
    assert list(Device.objects.all()) == [devices["a"]]


def test_admin_of_two_hospitals_can_transfer_between_them(
    ratna: Client, devices: dict[str, Device], rs_b: Hospital
) -> None:
    rs_b.admins.add(User.objects.get(first_name="Ibu Ratna"))
    assert set(ratna.get(LIST).context["cl"].result_list) == {devices["a"], devices["b"]}
    ratna.post(f"{LIST}{devices['a'].pk}/change/", form(devices["a"], device_holder=rs_b.pk))
    assert Device.objects.get(pk=devices["a"].pk).device_holder == rs_b


def test_staff_without_a_hospital_see_nothing_even_with_permissions(client: Client, devices: dict[str, Device]) -> None:
    user = User.objects.create_user("nurse", is_staff=True)
    client.force_login(user)
    assert client.get(LIST).status_code == 403
    user.user_permissions.set(Permission.objects.all())
    assert not client.get(LIST).context["cl"].result_list
    assert not client.get(CHANGES).context["cl"].result_list


def test_hospital_admin_who_is_not_staff_has_no_permissions(rs_a: Hospital) -> None:
    user = users.invite("Ibu Ratna", "ratna@rs.example", [rs_a])
    user.is_staff = False
    assert not user.has_perm("devices.view_device")


def test_each_page_is_operator_only_or_scoped() -> None:
    for model, page in admin.site._registry.items():
        assert isinstance(page, OperatorOnlyMixin | ScopedMixin), model


@pytest.mark.parametrize(
    "condition",
    [
        "device_name__startswith=Secret",
        "device_mac__startswith=D0:61",
        "device_type=CORPORATE",
        "device_holder=2",
        "device_holder__gt=1",
        "history_previous_holder__in=1,2",
        "device_name__regex=(((",
        "id__in=99999999999999999999999",
    ],
)
def test_url_can_use_only_the_offered_filters(
    ratna: Client, operator: Client, devices: dict[str, Device], condition: str
) -> None:
    for client in (ratna, operator):
        for path in (LIST, CHANGES, "/admin/devices/hospital/"):
            assert client.get(f"{path}?{condition}").status_code == 400


def test_filter_does_not_disclose_the_new_hospital_of_a_device(
    ratna: Client, devices: dict[str, Device], rs_b: Hospital
) -> None:
    registry.transfer(Device.objects.filter(pk=devices["a"].pk), rs_b, SYSTEM)
    for pk in (rs_b.pk, 999_999):
        assert not ratna.get(f"{CHANGES}?device_holder__id__exact={pk}").context["cl"].result_list


@pytest.mark.parametrize(
    ("model", "field"), [("hospital", "devices"), ("hospital", "admins"), ("staffuser", "hospitals")]
)
def test_autocomplete_rejects_other_relations(ratna: Client, operator: Client, model: str, field: str) -> None:
    query = f"app_label=devices&model_name={model}&field_name={field}&term="
    for client in (ratna, operator):
        assert client.get(f"/admin/autocomplete/?{query}").status_code == 403
