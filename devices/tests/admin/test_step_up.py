"""Whatever changes how somebody signs in needs a recent code or password, and is not done to oneself or an operator."""

import io
import re
import time
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import AnonymousUser, User
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory

from devices.accounts import sessions, two_factor, users
from devices.accounts.sessions import hash_key
from devices.audit.audit_log import Action
from devices.models import ApiKey, AuditEvent, AuthenticatorApp, Hospital, StaffUser
from devices.ratelimit import stores
from devices.tests.support.api_keys import LEGACY, shown_key
from devices.tests.support.client import issue
from devices.tests.support.routes import PAGES, rows
from devices.tests.support.sessions import is_open, key_of
from devices.tests.support.two_factor import SET_UP, next_code_of, set_up
from devices.tests.support.users import PASSWORD, link, set_password

PEOPLE, KEYS = "/admin/devices/staffuser/", "/admin/devices/apikey/"

GUARDED_VIEWS = {
    "admin/devices/apikey/add/",
    "admin/devices/staffuser/add/",
    "admin/devices/staffuser/<path:object_id>/change/",  # to write
}
GUARDED_ACTIONS = {
    ("staffuser", "send_link"),
    ("staffuser", "reset_two_factor"),
    ("apikey", "rotate"),
    ("hospital", "merge"),  # moves admins and keys to another hospital
}
EXEMPT_ACTIONS = {
    ("staffuser", "end_sessions"),  # takes access away
    ("apikey", "revoke"),  # takes access away
    ("device", "retire"),  # the others write neither people nor keys
    ("device", "transfer"),
    ("device", "change_type"),
    ("device", "export"),
    ("historicaldevice", "restore"),
}
OWN = {  # these ask themselves: for a code, a password or the token of a link
    "admin/set-password/<uidb64>/<token>/",
    "admin/two-factor/",
    "admin/two-factor/set-up/",
    "admin/password_change/",
    "admin/sessions/",
    "admin/login/",
    "admin/logout/",
}
EXEMPT_VIEWS = OWN | {  # these write neither people nor keys, and actions are listed above
    "(root)",
    "admin/",
    "admin/autocomplete/",
    "admin/search/",
    "admin/password_change/done/",
    "admin/jsi18n/",
    "admin/r/<path:content_type_id>/<path:object_id>/",
    "admin/^(?P<app_label>devices)/$",
    "admin/(?P<url>.*)$",
    "admin/devices/apikey/<path:object_id>/change/",  # to read only
    "admin/devices/device/add/",
    "admin/devices/device/<path:object_id>/change/",
    "admin/devices/device/import/template<str:ending>",
    "admin/devices/device/import/<uuid:upload_id>/",
    "admin/devices/device/import/",
    "admin/devices/hospital/add/",
    "admin/devices/hospital/<path:object_id>/change/",  # its name only
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


@pytest.fixture(autouse=True)
def _one_window() -> None:
    """Let no window of a rate end during a test."""
    began_at = time.time() // 86_400 * 86_400
    stores.limiter().clock = lambda: began_at


@pytest.fixture
def boss(operator: Client) -> User:
    return User.objects.get(username="operator")


@pytest.fixture
def person(ratna: Client) -> StaffUser:
    return StaffUser.objects.get(first_name="Ibu Ratna")


@pytest.fixture
def colleague(db: None) -> StaffUser:
    """Another operator."""
    user = User.objects.create_superuser("colleague", "colleague@vendor.example")
    return StaffUser.objects.get(pk=user.pk)


@pytest.fixture
def stale(operator: Client) -> Client:
    return made_stale(operator)


def made_stale(client: Client) -> Client:
    session = client.session
    session[sessions.CONFIRMED_AT] -= sessions.FRESH_FOR + 1
    session.save()
    return client


def asks(response: Any) -> bool:
    """Return whether the page asks to confirm the identity."""
    return response.status_code == 200 and 'name="identity-' in response.content.decode()


def person_form(*hospitals: Hospital, **fields: Any) -> dict[str, Any]:
    form = {"first_name": "Ibu Sari", "email": "sari@rs.example", "is_active": "on", **fields}
    return form | {"hospitals": [hospital.pk for hospital in hospitals]}


def state() -> Any:
    """Return all that says who may sign in, and with what."""
    users = list(User.objects.order_by("pk").values("pk", "username", "email", "password", "is_active", "is_superuser"))
    admins = list(Hospital.admins.through.objects.order_by("pk").values())
    keys = list(ApiKey.objects.order_by("pk").values("pk", "hospital", "revoked_at", "expires_at"))
    links = AuditEvent.objects.filter(action=Action.PASSWORD_LINK_CREATED).count()
    return users, admins, keys, links, list(AuthenticatorApp.objects.order_by("pk").values("pk", "key", "confirmed"))


# --- Every view and action


def test_every_view_is_guarded_or_exempt() -> None:
    routes = {route for route, *_statuses in rows(PAGES)}  # test_every_route_is_in_a_table: these are all
    assert routes == GUARDED_VIEWS | EXEMPT_VIEWS


def test_every_action_is_guarded_or_exempt(boss: User) -> None:
    request = RequestFactory().get("/admin/")
    request.user = boss
    found = {
        (page.opts.model_name, action) for page in admin.site._registry.values() for action in page.get_actions(request)
    }
    assert found == GUARDED_ACTIONS | EXEMPT_ACTIONS


@pytest.mark.parametrize("route", sorted(GUARDED_VIEWS))
def test_guarded_view_asks_first_and_writes_nothing(
    stale: Client, person: StaffUser, rs_a: Hospital, route: str
) -> None:
    path = "/" + route.replace("<path:object_id>", str(person.pk))
    form = person_form(rs_a) if "staffuser" in route else {"name": "ward app", "naming": "snake_case"}
    before = state()
    assert asks(stale.get(path)) == path.endswith("/add/")
    assert asks(stale.post(path, form))
    assert state() == before


@pytest.mark.parametrize(("model", "action"), sorted(GUARDED_ACTIONS))
def test_guarded_action_asks_first_and_writes_nothing(
    stale: Client, person: StaffUser, rs_a: Hospital, rs_b: Hospital, model: str, action: str
) -> None:
    chosen = {"staffuser": person.pk, "hospital": rs_a.pk, "apikey": issue("app", hospital=rs_a).key.pk}[model]
    form = {"action": action, "_selected_action": chosen, "confirmed": "1", "into": rs_b.pk, "overlap": "0"}
    before = state()
    assert asks(stale.post(f"/admin/devices/{model}/", form))
    assert state() == before


@pytest.mark.parametrize(("model", "action"), [("staffuser", "end_sessions"), ("apikey", "revoke")])
def test_what_takes_access_away_needs_no_confirmation(
    stale: Client, ratna: Client, person: StaffUser, model: str, action: str
) -> None:
    chosen = {"staffuser": person.pk, "apikey": issue("app").key.pk}[model]
    form = {"action": action, "_selected_action": chosen, "confirmed": "1"}
    assert stale.post(f"/admin/devices/{model}/", form).status_code == 302
    assert not ApiKey.objects.active().exists() if model == "apikey" else not is_open(ratna)


def test_page_of_a_person_is_read_without_confirmation(stale: Client, person: StaffUser) -> None:
    assert "ratna@rs.example" in stale.get(f"{PEOPLE}{person.pk}/change/").content.decode()


def test_hospital_admin_gets_403_and_is_not_asked(ratna: Client, person: StaffUser) -> None:
    made_stale(ratna)
    for path in (f"{PEOPLE}add/", f"{PEOPLE}{person.pk}/change/", f"{KEYS}add/"):
        assert ratna.post(path, {}).status_code == 403


# --- What confirms


def test_sign_in_is_fresh_for_five_minutes(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not asks(operator.get(f"{KEYS}add/"))
    at = operator.session[sessions.CONFIRMED_AT]
    for seconds, stale in ((299, False), (301, True), (-5, True)):
        monkeypatch.setattr("devices.accounts.sessions.time.time", lambda seconds=seconds: at + seconds)
        request = RequestFactory().get("/")
        request.session = {sessions.CONFIRMED_AT: at}  # type: ignore[assignment]
        assert sessions.is_fresh(request) != stale


def test_session_without_any_confirmation_is_not_fresh() -> None:
    request = RequestFactory().get("/")
    request.session, request.user = {}, AnonymousUser()  # type: ignore[assignment]
    assert not sessions.is_fresh(request)


def test_password_confirms_and_the_action_is_resumed(stale: Client, person: StaffUser) -> None:
    chosen = {"action": "send_link", "_selected_action": str(person.pk)}
    page = stale.post(PEOPLE, {**chosen, "index": "0"}).content.decode()
    assert "This field is required." not in page
    for name, value in chosen.items():
        assert f'type="hidden" name="{name}" value="{value}"' in page
    key = key_of(stale)
    path = link(stale.post(PEOPLE, {**chosen, "identity-password": PASSWORD}))
    assert "Your password is set." in set_password(Client(), path, "sore-teduh-8").content.decode()
    assert key_of(stale) != key
    event = AuditEvent.objects.get(action=Action.IDENTITY_CONFIRMED)
    assert (event.username, event.details) == ("operator", {"by": "password"})
    assert not asks(stale.get(f"{KEYS}add/"))


@pytest.mark.parametrize("answer", [{}, {"identity-password": ""}, {"identity-password": "wrong"}])
def test_without_the_right_password_it_asks_again(stale: Client, person: StaffUser, answer: dict[str, str]) -> None:
    before = state()
    for _ in range(2):
        assert asks(stale.post(PEOPLE, {"action": "send_link", "_selected_action": person.pk, **answer}))
    assert state() == before
    assert not AuditEvent.objects.filter(action=Action.IDENTITY_CONFIRMED).exists()


def test_user_with_a_two_factor_needs_its_code_and_not_the_password(
    operator: Client, boss: User, person: StaffUser
) -> None:
    set_up(operator, boss)
    made_stale(operator)
    chosen = {"action": "send_link", "_selected_action": person.pk}
    assert 'name="identity-code"' in operator.post(PEOPLE, chosen).content.decode()
    assert asks(operator.post(PEOPLE, {**chosen, "identity-password": PASSWORD}))
    assert asks(operator.post(PEOPLE, {**chosen, "identity-code": "000000"}))
    assert AuditEvent.objects.filter(action=Action.CODE_REJECTED).count() == 1
    AuthenticatorApp.objects.update(throttling_failure_count=0)
    assert link(operator.post(PEOPLE, {**chosen, "identity-code": next_code_of(boss)}))


def test_form_of_a_person_is_resumed_with_what_was_entered(stale: Client, rs_a: Hospital) -> None:
    form = person_form(rs_a)
    page = stale.post(f"{PEOPLE}add/", form).content.decode()
    assert 'name="email" value="sari@rs.example"' in page
    assert link(stale.post(f"{PEOPLE}add/", {**form, "identity-password": PASSWORD}))
    assert list(User.objects.get(username="sari@rs.example").hospitals.all()) == [rs_a]


def test_key_that_was_entered_is_on_no_page_and_not_replaced_by_a_new_one(stale: Client) -> None:
    form = {"name": "ward app", "naming": "snake_case", "hospital": "", "value": LEGACY}
    page = stale.post(f"{KEYS}add/", form).content.decode()
    assert "Nothing was saved." in page
    assert LEGACY not in page
    response = stale.post(f"{KEYS}add/", {"identity-password": PASSWORD})
    assert response.headers["Location"] == f"{KEYS}add/"
    assert not ApiKey.objects.exists()
    assert shown_key(stale.post(f"{KEYS}add/", {**form, "value": ""}))


def test_confirmed_rotation_asks_for_the_overlap_before_it_happens(stale: Client) -> None:
    chosen = {"action": "rotate", "_selected_action": issue("app").key.pk}
    page = stale.post(KEYS, {**chosen, "confirmed": "1", "overlap": "0"}).content.decode()
    assert 'name="confirmed"' not in page
    resumed = stale.post(KEYS, {**chosen, "identity-password": PASSWORD}).content.decode()
    assert "for as long as you choose" in resumed
    assert ApiKey.objects.count() == 1


# --- Oneself and other operators


@pytest.mark.parametrize("action", ["send_link", "reset_two_factor"])
def test_no_action_changes_how_oneself_signs_in(operator: Client, boss: User, action: str) -> None:
    set_up(operator, boss)
    before = state()
    chosen = {"action": action, "_selected_action": boss.pk, "confirmed": "1"}
    assert "click your name at the lower left" in operator.post(PEOPLE, chosen, follow=True).content.decode()
    assert state() == before


@pytest.mark.parametrize("action", ["send_link", "reset_two_factor"])
def test_no_action_changes_how_another_operator_signs_in(operator: Client, colleague: StaffUser, action: str) -> None:
    two_factor.start_enrollment(colleague, "x")
    before = state()
    chosen = {"action": action, "_selected_action": colleague.pk, "confirmed": "1"}
    page = operator.post(PEOPLE, chosen, follow=True).content.decode()
    assert "manage.py reset_two_factor colleague" in page
    assert state() == before


def test_reset_of_several_is_refused_if_an_operator_is_among_them(
    operator: Client, ratna: Client, person: StaffUser, colleague: StaffUser
) -> None:
    set_up(ratna, person)
    chosen = {"action": "reset_two_factor", "_selected_action": [person.pk, colleague.pk], "confirmed": "2"}
    assert "is an operator" in operator.post(PEOPLE, chosen, follow=True).content.decode()
    assert two_factor.is_enrolled(person)


@pytest.mark.parametrize("who", ["operator", "colleague"])
def test_form_changes_only_the_name_of_an_operator(
    operator: Client, colleague: StaffUser, rs_a: Hospital, who: str
) -> None:
    user = User.objects.get(username=who)
    page = operator.get(f"{PEOPLE}{user.pk}/change/").content.decode()
    assert f"manage.py change_user {who}" in page
    before = state()
    form = {"first_name": "Boss", "email": "thief@evil.example", "hospitals": [rs_a.pk]}
    assert operator.post(f"{PEOPLE}{user.pk}/change/", form).status_code == 302
    assert state() == before
    user.refresh_from_db()
    assert user.first_name == "Boss"


def test_reason_is_escaped(operator: Client, colleague: StaffUser) -> None:
    User.objects.filter(pk=colleague.pk).update(first_name="<script>x</script>")
    assert "<script>x" not in operator.get(f"{PEOPLE}{colleague.pk}/change/").content.decode()


# --- Commands for operators


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_command_makes_a_link_for_an_operator(colleague: StaffUser, caplog: pytest.LogCaptureFixture) -> None:
    path = run("make_password_link", "colleague").strip()
    assert re.fullmatch(r"/admin/set-password/\S+/", path)
    assert f"made a link for user {colleague.pk}." in caplog.text
    assert path.split("/")[-2] not in caplog.text
    assert "Your password is set." in set_password(Client(), path, "sore-teduh-8").content.decode()


def test_command_changes_email_and_activation_of_an_operator(colleague: StaffUser) -> None:
    run("change_user", "colleague", "--email", "New@vendor.example", "--deactivate")
    colleague.refresh_from_db()
    assert (colleague.username, colleague.email, colleague.is_active) == ("colleague", "new@vendor.example", False)
    run("change_user", "colleague", "--activate")
    colleague.refresh_from_db()
    assert colleague.is_active


def test_command_changes_the_user_name_of_a_hospital_admin_with_the_email(person: StaffUser) -> None:
    run("change_user", "ratna@rs.example", "--email", "ratna@other.example")
    assert StaffUser.objects.get(pk=person.pk).username == "ratna@other.example"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nobody", "--activate"], "Error: argument USERNAME: There is no user nobody."),
        (["colleague"], "Nothing to change: use --email, --activate or --deactivate."),
        (["colleague", "--email", "x"], "Error: argument --email: Enter a valid email address."),
        (["colleague", "--email", "ratna@rs.example"], "Somebody signs in with this address already."),
    ],
)
def test_command_that_cannot_change_a_user_says_why(
    person: StaffUser, colleague: StaffUser, arguments: list[str], message: str
) -> None:
    before = state()
    with pytest.raises(CommandError, match=rf"^{re.escape(message)}$"):
        run("change_user", *arguments)
    assert state() == before


# --- Notifications


@pytest.fixture
def sent(django_capture_on_commit_callbacks: Any) -> Any:
    """Run something, and return the recipients and the first sentences of the emails that it sends."""

    def run(do: Any) -> list[tuple[str, str]]:
        mail.outbox.clear()
        with django_capture_on_commit_callbacks(execute=True):
            do()
        return [(to, message.body.split("\n")[0]) for message in mail.outbox for to in message.to]

    return run


def test_user_is_notified_of_what_others_change(
    operator: Client, person: StaffUser, rs_a: Hospital, rs_b: Hospital, sent: Any
) -> None:
    old, new = "ratna@rs.example", "ratna@other.example"

    def act(action: str) -> list[tuple[str, str]]:
        chosen = {"action": action, "_selected_action": person.pk, "confirmed": "1"}
        return list(sent(lambda: operator.post(PEOPLE, chosen)))

    assert act("send_link") == [(old, "A link to set a new password was created.")]
    assert act("reset_two_factor") == [(old, "Two-factor sign-in was turned off or reset.")]
    Client().force_login(person)
    assert act("end_sessions") == [(old, "An operator ended your sessions.")]
    assert act("end_sessions") == []
    form = person_form(rs_a, email=new)
    change = f"{PEOPLE}{person.pk}/change/"
    assert sent(lambda: operator.post(change, form)) == [
        (new, "Your email address was changed."),
        (old, "Your email address was changed."),
    ]
    form = person_form(rs_b, email=new)
    assert sent(lambda: operator.post(change, form)) == [(new, "Your hospitals were changed.")]
    del form["is_active"]
    assert sent(lambda: operator.post(change, form)) == [(new, "Your user was deactivated.")]


def test_user_is_notified_of_what_they_change_themselves(ratna: Client, person: StaffUser, sent: Any) -> None:
    told = sent(lambda: set_up(ratna, person))
    assert told == [
        ("ratna@rs.example", "Two-factor sign-in was set up."),
        ("ratna@rs.example", "New recovery codes were created."),
    ]
    told = sent(lambda: ratna.post(SET_UP, {"renew": "1", "code": next_code_of(person)}))
    assert told == [("ratna@rs.example", "New recovery codes were created.")]
    path = users.create_password_link(person)
    told = sent(lambda: set_password(Client(), path, "sore-teduh-8"))
    assert told == [("ratna@rs.example", "Your password was changed.")]


def test_operator_is_notified_of_keys_they_issue_import_and_rotate(operator: Client, boss: User, sent: Any) -> None:
    User.objects.filter(pk=boss.pk).update(email="boss@vendor.example")
    form = {"name": "ward app", "naming": "snake_case", "value": ""}
    assert sent(lambda: operator.post(f"{KEYS}add/", form)) == [
        ("boss@vendor.example", "You issued the API key “ward app”.")
    ]
    key = ApiKey.objects.get()
    assert "Anda menerbitkan kunci API “ward app”." in mail.outbox[0].body
    assert key.prefix not in mail.outbox[0].body
    imported = sent(lambda: operator.post(f"{KEYS}add/", form | {"name": "{old}", "value": LEGACY}))
    assert imported == [("boss@vendor.example", "You imported the API key “{old}”.")]
    assert LEGACY not in mail.outbox[0].body
    chosen = {"action": "rotate", "_selected_action": key.pk, "confirmed": "1", "overlap": "0"}
    assert sent(lambda: operator.post(KEYS, chosen)) == [("boss@vendor.example", "You rotated the API key “ward app”.")]
    assert sent(lambda: operator.post(KEYS, chosen)) == []  # the old key is expired, nothing is rotated


def test_email_is_in_both_languages_and_has_no_link(person: StaffUser, sent: Any) -> None:
    sent(lambda: users.create_password_link(person))
    [message] = mail.outbox
    assert message.subject == "Device registry: security notice / Registri perangkat: pemberitahuan keamanan"
    assert "ratna@rs.example" in message.body
    assert "Tautan untuk membuat kata sandi baru telah dibuat." in message.body
    assert "set-password" not in message.body


def test_user_without_an_email_address_is_not_notified(boss: User, sent: Any) -> None:
    assert sent(lambda: two_factor.reset(boss)) == []


@pytest.mark.django_db(transaction=True)
def test_mail_server_that_fails_is_logged_and_fails_nothing(
    operator: Client, person: StaffUser, settings: Any, caplog: pytest.LogCaptureFixture, unused_port: str
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", int(unused_port)
    response = operator.post(PEOPLE, {"action": "send_link", "_selected_action": person.pk})
    assert link(response)
    assert "refused" in caplog.text


def test_without_email_url_no_email_is_sent() -> None:
    from cexup import settings

    assert settings.EMAIL_BACKEND == "django.core.mail.backends.dummy.EmailBackend"
    assert settings.EMAIL_TIMEOUT == 5


def test_wrong_passwords_on_a_guarded_page_are_limited(stale: Client) -> None:
    for _ in range(5):
        assert stale.post(f"{PEOPLE}add/", {"identity-password": "wrong"}).status_code == 200
    response = stale.post(f"{PEOPLE}add/", {"identity-password": PASSWORD})
    assert (response.status_code, "Retry-After" in response) == (429, True)
    assert AuditEvent.objects.filter(action=Action.PASSWORD_REJECTED).count() == 5


def test_attempts_on_a_guarded_page_are_limited_by_network(stale: Client, settings: Any) -> None:
    settings.SIGN_IN_RATE = "2/h"
    statuses = [stale.post(f"{PEOPLE}add/", {"identity-password": "wrong"}).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize("sent", [{"others": ""}, {"session": "x"}])
def test_user_confirms_before_ending_their_sessions(stale: Client, boss: User, sent: dict[str, str]) -> None:
    other = Client()
    other.force_login(boss)
    chosen = {**sent, **({"session": hash_key(key_of(other))} if "session" in sent else {})}
    assert asks(stale.post("/admin/sessions/", chosen))
    assert is_open(other)
    assert stale.post("/admin/sessions/", {**chosen, "identity-password": PASSWORD}).status_code == 302
    assert not is_open(other)
    assert is_open(stale)
