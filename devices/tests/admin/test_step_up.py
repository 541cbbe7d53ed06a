"""Changes of a sign-in and new API keys require a recent confirmation with a code or the password."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client, RequestFactory

from devices.accounts import sessions
from devices.accounts.sessions import hash_key
from devices.audit.audit_log import Action
from devices.models import ApiKey, AuditEvent, AuthenticatorApp, Hospital, StaffUser
from devices.tests.support.admin.api_keys import LEGACY_KEY, shown_key
from devices.tests.support.admin.routes import PAGES, rows
from devices.tests.support.admin.sessions import is_open, key_of
from devices.tests.support.admin.step_up import make_stale, operator_user, sign_in_state, stale, user, user_form
from devices.tests.support.admin.two_factor import next_code_of, set_up
from devices.tests.support.admin.users import PASSWORD, USERS, set_password, shown_link
from devices.tests.support.client import issue

KEYS = "/admin/devices/apikey/"
__all__ = ["operator_user", "stale", "user"]  # fixtures

GUARDED_VIEWS = {
    "admin/devices/apikey/add/",
    "admin/devices/apikey/<path:object_id>/rotate/",
    "admin/devices/staffuser/add/",
    "admin/devices/staffuser/<path:object_id>/change/",  # POST
    "admin/devices/staffuser/<path:object_id>/new-link/",
    "admin/devices/staffuser/<path:object_id>/reset-two-factor/",
}
GUARDED_ACTIONS = {
    ("staffuser", "send_link"),
    ("staffuser", "reset_two_factor"),
    ("apikey", "rotate"),
    ("hospital", "merge"),  # moves admins and keys to another hospital
}
EXEMPT_ACTIONS = {
    ("staffuser", "end_sessions"),  # removes access
    ("apikey", "revoke"),  # removes access
    ("device", "retire"),  # the following change neither users nor keys
    ("device", "transfer"),
    ("device", "change_type"),
    ("device", "export"),
    ("historicaldevice", "restore"),
}
OWN = {  # these pages require a code, a password or the token of a link themselves
    "admin/set-password/<uidb64>/<token>/",
    "admin/two-factor/",
    "admin/two-factor/set-up/",
    "admin/password_change/",
    "admin/sessions/",
    "admin/login/",
    "admin/logout/",
}
EXEMPT_VIEWS = OWN | {  # these change neither users nor keys; actions are listed above
    "(root)",
    "admin/",
    "admin/help/",
    "admin/autocomplete/",
    "admin/search/",
    "admin/devices/device/export<str:file_format>",
    "admin/devices/device/retired/",
    "admin/devices/device/retired/restore/",
    "admin/password_change/done/",
    "admin/jsi18n/",
    "admin/r/<path:content_type_id>/<path:object_id>/",
    "admin/^(?P<app_label>devices)/$",
    "admin/(?P<url>.*)$",
    "admin/devices/apikey/<path:object_id>/change/",  # GET
    "admin/devices/apikey/<path:object_id>/revoke/",  # removes access
    "admin/devices/staffuser/<path:object_id>/link/",  # shows a link that was just created
    "admin/devices/device/add/",
    "admin/devices/device/<path:object_id>/change/",
    "admin/devices/device/import/template<str:ending>",
    "admin/devices/device/import/<uuid:upload_id>/",
    "admin/devices/device/import/<uuid:upload_id>/errors.xlsx",
    "admin/devices/device/import/",
    "admin/devices/hospital/add/",
    "admin/devices/hospital/<path:object_id>/change/",  # changes only its name
    *(f"admin/devices/{model}/add/" for model in ("auditevent", "historicaldevice")),
    *(f"admin/devices/{model}/<path:object_id>/change/" for model in ("auditevent", "historicaldevice")),
    *(
        f"admin/devices/{model}/{view}"
        for model in (*("apikey", "device", "historicaldevice", "hospital", "staffuser", "auditevent"),)
        for view in ("", "<path:object_id>/history/", "<path:object_id>/delete/", "<path:object_id>/")
    ),
    *(
        f"admin/devices/{model}/<path:object_id>/audit-trail/"
        for model in ("apikey", "device", "historicaldevice", "hospital", "staffuser")
    ),
}


def asks_to_confirm(response: Any) -> bool:
    """Return whether the page has the form that confirms the identity."""
    return response.status_code == 200 and 'name="identity-' in response.content.decode()


# --- Every view and action


def test_every_view_is_guarded_or_exempt() -> None:
    routes = {route for route, *_statuses in rows(PAGES)}  # complete: test_every_route_is_in_a_table
    assert routes == GUARDED_VIEWS | EXEMPT_VIEWS


def test_every_action_is_guarded_or_exempt(operator_user: User) -> None:
    request = RequestFactory().get("/admin/")
    request.user = operator_user
    found = {
        (page.opts.model_name, action) for page in admin.site._registry.values() for action in page.get_actions(request)
    }
    assert found == GUARDED_ACTIONS | EXEMPT_ACTIONS


@pytest.mark.parametrize("route", sorted(GUARDED_VIEWS))
def test_guarded_view_requires_confirmation_and_writes_nothing(
    stale: Client, user: StaffUser, rs_a: Hospital, route: str
) -> None:
    pk = issue("app").key.pk if "apikey" in route else user.pk
    path = "/" + route.replace("<path:object_id>", str(pk))
    form = user_form(rs_a) if "staffuser" in route else {"name": "ward app", "naming": "snake_case"}
    before = sign_in_state()
    assert asks_to_confirm(stale.get(path)) == (not path.endswith("/change/"))
    assert asks_to_confirm(stale.post(path, form))
    assert sign_in_state() == before


@pytest.mark.parametrize(("model", "action"), sorted(GUARDED_ACTIONS))
def test_guarded_action_requires_confirmation_and_writes_nothing(
    stale: Client, user: StaffUser, rs_a: Hospital, rs_b: Hospital, model: str, action: str
) -> None:
    chosen = {"staffuser": user.pk, "hospital": rs_a.pk, "apikey": issue("app", hospitals=[rs_a]).key.pk}[model]
    form = {"action": action, "_selected_action": chosen, "confirmed": "1", "into": rs_b.pk, "overlap": "0"}
    before = sign_in_state()
    assert asks_to_confirm(stale.post(f"/admin/devices/{model}/", form))
    assert sign_in_state() == before


@pytest.mark.parametrize(("model", "action"), [("staffuser", "end_sessions"), ("apikey", "revoke")])
def test_actions_that_remove_access_need_no_confirmation(
    stale: Client, ratna: Client, user: StaffUser, model: str, action: str
) -> None:
    chosen = {"staffuser": user.pk, "apikey": issue("app").key.pk}[model]
    form = {"action": action, "_selected_action": chosen, "confirmed": "1"}
    assert stale.post(f"/admin/devices/{model}/", form).status_code == 302
    assert not ApiKey.objects.active().exists() if model == "apikey" else not is_open(ratna)


def test_reading_the_page_of_a_user_needs_no_confirmation(stale: Client, user: StaffUser) -> None:
    assert "ratna@rs.example" in stale.get(f"{USERS}{user.pk}/change/").content.decode()


def test_hospital_admin_gets_403_without_a_confirmation_form(ratna: Client, user: StaffUser) -> None:
    make_stale(ratna)
    for path in (f"{USERS}add/", f"{USERS}{user.pk}/change/", f"{KEYS}add/"):
        assert ratna.post(path, {}).status_code == 403


# --- Confirmation


def test_sign_in_is_fresh_for_five_minutes(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not asks_to_confirm(operator.get(f"{KEYS}add/"))
    at = operator.session[sessions.CONFIRMED_AT]
    for seconds, is_stale in ((299, False), (301, True), (-5, True)):
        monkeypatch.setattr("devices.accounts.sessions.time.time", lambda seconds=seconds: at + seconds)
        request = RequestFactory().get("/")
        request.session = {sessions.CONFIRMED_AT: at}  # type: ignore[assignment]
        assert sessions.is_fresh(request) != is_stale


def test_session_without_any_confirmation_is_not_fresh() -> None:
    request = RequestFactory().get("/")
    request.session, request.user = {}, AnonymousUser()  # type: ignore[assignment]
    assert not sessions.is_fresh(request)


def test_password_confirms_and_the_action_is_resumed(stale: Client, user: StaffUser) -> None:
    chosen = {"action": "send_link", "_selected_action": str(user.pk)}
    page = stale.post(USERS, {**chosen, "index": "0"}).content.decode()
    assert "This field is required." not in page
    for name, value in chosen.items():
        assert f'type="hidden" name="{name}" value="{value}"' in page
    key = key_of(stale)
    path = shown_link(stale.post(USERS, {**chosen, "identity-password": PASSWORD}))
    assert "Your password is set." in set_password(Client(), path, "sore-teduh-8").content.decode()
    assert key_of(stale) != key
    event = AuditEvent.objects.get(action=Action.IDENTITY_CONFIRMED)
    assert (event.username, event.details) == ("operator", {"by": "password"})
    assert not asks_to_confirm(stale.get(f"{KEYS}add/"))


@pytest.mark.parametrize("sent", [{}, {"identity-password": ""}, {"identity-password": "wrong"}])
def test_missing_or_wrong_password_does_not_confirm(stale: Client, user: StaffUser, sent: dict[str, str]) -> None:
    before = sign_in_state()
    for _ in range(2):
        assert asks_to_confirm(stale.post(USERS, {"action": "send_link", "_selected_action": user.pk, **sent}))
    assert sign_in_state() == before
    assert not AuditEvent.objects.filter(action=Action.IDENTITY_CONFIRMED).exists()


def test_user_with_two_factor_confirms_with_a_code(operator: Client, operator_user: User, user: StaffUser) -> None:
    set_up(operator, operator_user)
    make_stale(operator)
    chosen = {"action": "send_link", "_selected_action": user.pk}
    assert 'name="identity-code"' in operator.post(USERS, chosen).content.decode()
    assert asks_to_confirm(operator.post(USERS, {**chosen, "identity-password": PASSWORD}))
    assert asks_to_confirm(operator.post(USERS, {**chosen, "identity-code": "000000"}))
    assert AuditEvent.objects.filter(action=Action.CODE_REJECTED).count() == 1
    AuthenticatorApp.objects.update(throttling_failure_count=0)
    assert shown_link(operator.post(USERS, {**chosen, "identity-code": next_code_of(operator_user)}))


def test_form_of_a_user_is_resumed_with_the_entered_values(stale: Client, rs_a: Hospital) -> None:
    form = user_form(rs_a)
    page = stale.post(f"{USERS}add/", form).content.decode()
    assert 'name="email" value="sari@rs.example"' in page
    assert shown_link(stale.post(f"{USERS}add/", {**form, "identity-password": PASSWORD}))
    assert list(User.objects.get(username="sari@rs.example").hospitals.all()) == [rs_a]


def test_entered_legacy_key_is_not_shown_and_no_new_key_is_issued(stale: Client) -> None:
    form = {"name": "ward app", "unknown_holder": "register", "all_hospitals": "on", "value": LEGACY_KEY}
    page = stale.post(f"{KEYS}add/", form).content.decode()
    assert "Nothing was saved." in page
    assert LEGACY_KEY not in page
    response = stale.post(f"{KEYS}add/", {"identity-password": PASSWORD})
    assert response.headers["Location"] == f"{KEYS}add/"
    assert not ApiKey.objects.exists()
    assert shown_key(stale.post(f"{KEYS}add/", {**form, "value": ""}))


def test_confirmed_rotation_shows_the_overlap_form_first(stale: Client) -> None:
    chosen = {"action": "rotate", "_selected_action": issue("app").key.pk}
    page = stale.post(KEYS, {**chosen, "confirmed": "1", "overlap": "0"}).content.decode()
    assert 'name="confirmed"' not in page
    resumed = stale.post(KEYS, {**chosen, "identity-password": PASSWORD}).content.decode()
    assert "for the period that you select" in resumed
    assert ApiKey.objects.count() == 1


def test_wrong_passwords_on_a_guarded_page_are_limited(stale: Client) -> None:
    for _ in range(5):
        assert stale.post(f"{USERS}add/", {"identity-password": "wrong"}).status_code == 200
    response = stale.post(f"{USERS}add/", {"identity-password": PASSWORD})
    assert (response.status_code, "Retry-After" in response) == (429, True)
    assert AuditEvent.objects.filter(action=Action.PASSWORD_REJECTED).count() == 5


def test_attempts_on_a_guarded_page_are_limited_by_network(stale: Client, settings: Any) -> None:
    settings.SIGN_IN_RATE = "2/h"
    statuses = [stale.post(f"{USERS}add/", {"identity-password": "wrong"}).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize("sent", [{"others": ""}, {"session": "x"}])
def test_user_confirms_before_ending_their_sessions(stale: Client, operator_user: User, sent: dict[str, str]) -> None:
    other = Client()
    other.force_login(operator_user)
    chosen = {**sent, **({"session": hash_key(key_of(other))} if "session" in sent else {})}
    assert asks_to_confirm(stale.post("/admin/sessions/", chosen))
    assert is_open(other)
    assert stale.post("/admin/sessions/", {**chosen, "identity-password": PASSWORD}).status_code == 302
    assert not is_open(other)
    assert is_open(stale)
