"""API keys in the admin: issue, import, rotate and revoke."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from devices.accounts.sessions import SessionStore
from devices.models import ApiKey, Hospital, Session
from devices.tests.support.admin.api_keys import LEGACY_KEY, form, shown_key
from devices.tests.support.client import Api, issue

KEYS = "/admin/devices/apikey/"


def act(client: Client, action: str, *keys: ApiKey, confirmed: bool = True) -> Any:
    chosen = {"action": action, "_selected_action": [key.pk for key in keys], "overlap": "24"}
    return client.post(KEYS, chosen | ({"confirmed": str(len(keys))} if confirmed else {}), follow=True)


def test_a_key_is_issued_and_shown_once(operator: Client, rs_a: Hospital) -> None:
    text = shown_key(operator.post(f"{KEYS}add/", form(hospital=rs_a.pk, read_only="on", naming="camelCase")))
    key = ApiKey.objects.get()
    assert (key.hospital, key.read_only, key.naming, key.prefix) == (rs_a, True, "camelCase", text[4:12])
    assert Api(text).get("/api/devices").status_code == 200
    assert ApiKey.history.get().history_user.username == "operator"
    for page in (KEYS, f"{KEYS}{key.pk}/change/", "/admin/", f"{KEYS}{key.pk}/history/"):
        content = operator.get(page, follow=True).content.decode()
        assert text not in content
        assert key.digest not in content
    log_entries = [str(entry.__dict__) for entry in LogEntry.objects.all()]
    assert not [
        row
        for row in [*log_entries, *(str(SessionStore().decode(s.session_data)) for s in Session.objects.all())]
        if text[13:] in row
    ]


def test_legacy_key_is_imported_and_never_shown(operator: Client) -> None:
    response = operator.post(f"{KEYS}add/", form(value=LEGACY_KEY), follow=True)
    assert LEGACY_KEY not in response.content.decode()
    assert Api(LEGACY_KEY).get("/api/devices").status_code == 200
    again = operator.post(f"{KEYS}add/", form(value=LEGACY_KEY))
    assert "This API key is already registered." in again.content.decode()
    assert LEGACY_KEY not in again.content.decode()
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"value": "short"}, "value"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00"}, "expires_at"),
    ],
)
def test_errors_are_shown_next_to_their_fields(operator: Client, fields: dict[str, str], field: str) -> None:
    response = operator.post(f"{KEYS}add/", form(**fields))
    assert list(response.context["adminform"].form.errors) == [field]
    assert not ApiKey.objects.exists()


def test_keys_are_revoked_after_a_confirmation_page(operator: Client) -> None:
    first, second = issue("first"), issue("second")
    page = act(operator, "revoke", first.key, confirmed=False).content.decode()
    assert "will be revoked immediately" in page
    assert "first" in page
    assert Api(first.text).get("/api/devices").status_code == 200
    act(operator, "revoke", first.key)
    assert Api(first.text).get("/api/devices").status_code == 401
    assert Api(second.text).get("/api/devices").status_code == 200


def test_rotated_key_is_shown_once_and_the_old_key_expires(operator: Client) -> None:
    old = issue("app", read_only=True)
    assert "for the period that you select" in act(operator, "rotate", old.key, confirmed=False).content.decode()
    assert ApiKey.objects.count() == 1
    text = shown_key(act(operator, "rotate", old.key))
    assert Api(text).get("/api/devices").status_code == Api(old.text).get("/api/devices").status_code == 200
    old.key.refresh_from_db()
    assert old.key.expires_at is not None
    assert timedelta(hours=23) < old.key.expires_at - timezone.now() <= timedelta(hours=24)


def test_rotation_without_overlap_ends_the_old_key_immediately(operator: Client) -> None:
    old = issue("app")
    chosen = {"action": "rotate", "_selected_action": old.key.pk, "confirmed": "1", "overlap": "0"}
    assert Api(shown_key(operator.post(KEYS, chosen))).get("/api/devices").status_code == 200
    assert Api(old.text).get("/api/devices").status_code == 401


@pytest.mark.parametrize(
    ("state", "names"),
    [
        ("active", {"new", "busy", "idle", "ends soon"}),
        ("expiring", {"ends soon"}),
        ("never_used", {"new", "idle", "ends soon"}),
        ("idle", {"idle"}),
        ("inactive", {"revoked", "expired"}),
        ("x", {"new", "busy", "idle", "ends soon", "revoked", "expired"}),
    ],
)
def test_keys_are_filtered_by_status(operator: Client, state: str, names: set[str]) -> None:
    at = timezone.now()
    settings: dict[str, dict[str, Any]] = {
        "new": {},
        "busy": {"last_used_at": at, "created_at": at - timedelta(days=100)},
        "idle": {"created_at": at - timedelta(days=100)},
        "ends soon": {"expires_at": at + timedelta(days=29)},
        "revoked": {"revoked_at": at},
        "expired": {"expires_at": at},
    }
    for name, values in settings.items():
        ApiKey.objects.filter(pk=issue(name).key.pk).update(**values)
    assert {key.name for key in operator.get(f"{KEYS}?state={state}").context["cl"].result_list} == names


def test_only_one_active_key_can_be_rotated(operator: Client) -> None:
    first, second = issue("first"), issue("second")
    assert "Select exactly one key" in act(operator, "rotate", first.key, second.key).content.decode()
    act(operator, "revoke", first.key)
    assert "revoked or expired" in act(operator, "rotate", first.key).content.decode()
    assert ApiKey.objects.count() == 2


def test_staff_without_operator_role_cannot_change_keys(db: None, client: Client) -> None:
    issued = issue("app")
    nurse = get_user_model().objects.create_user("nurse", is_staff=True)
    nurse.user_permissions.set(Permission.objects.filter(codename__endswith="_apikey"))
    client.force_login(nurse)
    assert client.post(f"{KEYS}add/", form()).status_code == 403
    act(client, "revoke", issued.key)
    act(client, "rotate", issued.key)
    assert ApiKey.objects.count() == 1
    assert Api(issued.text).get("/api/devices").status_code == 200
