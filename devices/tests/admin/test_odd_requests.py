"""Requests that no page sends: they get a message, never a server error."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import two_factor, users
from devices.models import AuditEvent, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.admin.users import PASSWORD
from devices.tests.support.factories import device_payload, register
from devices.values.errors import ValidationFailed

LIST, CHANGES = "/admin/devices/device/", "/admin/devices/historicaldevice/"
PAGES = [LIST, CHANGES, *(f"/admin/devices/{name}/" for name in ("hospital", "staffuser", "apikey", "auditevent"))]
HUGE = "9" * 23


@pytest.mark.parametrize(
    "query",
    [
        "created_at_to=9999-12-31",
        "updated_at_from=0001-01-01",
        "history_date_to=x",
        "device_holder__id__exact=abc",
        f"device_holder__id__exact={HUGE}",
        f"hospital__id__exact={HUGE}",
        f"hospital={HUGE}",
        "device_type__exact=%00",
        "q=%00",
        "p=-1",
        f"p={HUGE}",
        "o=99.-99.x",
        "o=4",
        f"id={HUGE}",
        "id=abc",
        "action__exact=x&channel__exact=x",
        "history_channel__exact=x",
        f"user={HUGE}",
        "user=x",
        "e=1&_facets=1&all=",
    ],
)
def test_invalid_query_is_not_a_server_error(operator: Client, query: str) -> None:
    for page in PAGES:
        assert operator.get(f"{page}?{query}").status_code in (200, 302, 400), page


@pytest.mark.parametrize("chosen", ["abc", "\0", HUGE, "-1"])
@pytest.mark.parametrize("action", ["transfer", "change_type", "export", "retire", "restore", "merge", "revoke"])
def test_invalid_selection_is_not_a_server_error(operator: Client, action: str, chosen: str) -> None:
    for page in PAGES:
        response = operator.post(page, {"action": action, "_selected_action": chosen, "confirmed": "x"})
        assert response.status_code in (200, 302, 400, 403), page


@pytest.mark.parametrize("holder", ["abc", HUGE, "-1", "0"])
def test_invalid_hospital_is_reported_at_its_field(operator: Client, holder: str) -> None:
    response = operator.post(f"{LIST}add/", {**device_payload(1), "device_holder": holder})
    assert list(response.context["adminform"].form.errors) == ["device_holder"]
    key = {"name": "app", "unknown_holder": "register", "hospitals": [holder]}
    response = operator.post("/admin/devices/apikey/add/", key)
    assert list(response.context["adminform"].form.errors) == ["hospitals"]
    user = {"first_name": "Ibu Sari", "email": "sari@rs.example", "hospitals": [holder]}
    response = operator.post("/admin/devices/staffuser/add/", user)
    assert list(response.context["adminform"].form.errors) == ["hospitals"]


@pytest.mark.parametrize(
    ("path", "code"),
    [(f"{LIST}999/change/", 404), ("/admin/devices/apikey/", 403), (f"{LIST}?x=1", 400)],
)
def test_error_page_uses_the_language_and_links_to_the_overview(ratna: Client, path: str, code: int) -> None:
    response = ratna.get(path, headers={"accept-language": "id"})
    page = response.content.decode()
    assert (response.status_code, "Kembali ke ringkasan" in page, 'href="/admin/"' in page) == (code, True, True)


def test_missing_csrf_token_is_explained(rs_a: Hospital) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(users.invite("Ibu Ratna", "ratna@rs.example", [rs_a]))
    response = client.post(f"{LIST}add/", device_payload(1))
    assert (response.status_code, "reload the page and try again" in response.content.decode()) == (403, True)


def test_form_with_an_outdated_version_is_rejected(operator: Client) -> None:
    [device] = register(device_payload(1))
    page = operator.get(f"{LIST}{device.pk}/change/")
    version = page.context["adminform"].form["version"].value()
    Device.objects.update(updated_at=device.updated_at - timedelta(seconds=1))
    registry.update(Device.objects.all(), {"device_name": "Renamed"}, SYSTEM)
    form = {**device_payload(1, device_type="CORPORATE"), "version": version}
    response = operator.post(f"{LIST}{device.pk}/change/", form, follow=True)
    assert "Another user has changed this record." in response.content.decode()
    assert Device.objects.get().device_name == "Renamed"
    assert Device.objects.get().device_type == "CONSUMER"


def test_form_of_a_removed_device_is_rejected(
    operator: Client, rs_a: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any) -> None:
        raise Device.DoesNotExist

    [device] = register(device_payload(1))
    monkeypatch.setattr(registry, "update", fail)
    response = operator.post(f"{LIST}{device.pk}/change/", device_payload(1, device_type="CORPORATE"), follow=True)
    assert "This record no longer exists." in response.content.decode()


def test_merged_hospital_can_be_neither_renamed_nor_a_merge_target(rs_a: Hospital, rs_b: Hospital) -> None:
    hospitals.merge([rs_b], rs_a, SYSTEM)
    for act in (lambda: hospitals.rename(rs_b, "RS Baru", SYSTEM), lambda: hospitals.merge([rs_a], rs_b, SYSTEM)):
        with pytest.raises(ValidationFailed):
            act()
    assert list(Hospital.objects.all()) == [rs_a]


def test_second_invitation_of_an_email_address_is_rejected(rs_a: Hospital) -> None:
    users.invite("Ibu Ratna", "ratna@rs.example", [rs_a])
    with pytest.raises(ValidationFailed):
        users.invite("Ratna", "RATNA@rs.example", [rs_a])
    assert User.objects.count() == 1


def test_hospital_search_counts_each_admin_once(operator: Client, ratna: Client, rs_a: Hospital) -> None:
    for name in ("RSUD Harapan", "RS Harapan Baru"):
        hospitals.rename(rs_a, name, SYSTEM)
    [row] = operator.get("/admin/devices/hospital/?q=RS").context["cl"].result_list
    assert row.number_of_admins == 1


def test_operator_cannot_deactivate_their_own_account(operator: Client) -> None:
    boss = User.objects.get(username="operator")
    form = {"first_name": "Boss", "email": "boss@cexup.example"}
    response = operator.post(f"/admin/devices/staffuser/{boss.pk}/change/", form)
    assert response.status_code == 302
    boss.refresh_from_db()
    assert boss.is_active


def test_invalid_two_factor_code_is_recorded_in_the_audit_log(ratna: Client) -> None:
    ratna.post("/admin/two-factor/set-up/", {"code": "000000", "password": PASSWORD})
    assert AuditEvent.objects.get(action="code_rejected").username == "ratna@rs.example"


def test_page_with_a_secret_is_not_cached(ratna: Client) -> None:
    assert "no-store" in ratna.get("/admin/two-factor/set-up/")["Cache-Control"]


@pytest.mark.django_db(transaction=True)
def test_concurrent_two_factor_enrollments_share_one_secret() -> None:
    user, start = User.objects.create_superuser("operator"), threading.Barrier(4)
    secrets = []

    def open_page() -> None:
        start.wait()
        secrets.append(two_factor.start_enrollment(user, "of one session").key)
        connection.close()

    threads = [threading.Thread(target=open_page) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(secrets) == 4
    assert len(set(secrets)) == 1
