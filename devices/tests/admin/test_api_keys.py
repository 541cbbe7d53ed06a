"""API keys in the admin: issue, import, rotate and revoke."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client
from django.utils import timezone, translation
from django.utils.translation import gettext

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.accounts.sessions import SessionStore
from devices.locale.messages import translations
from devices.models import ApiKey, Hospital, Session
from devices.registry import hospitals
from devices.tests.support.admin.api_keys import LEGACY_KEY, form, shown_key
from devices.tests.support.admin.step_up import stale
from devices.tests.support.client import Api, issue

KEYS = "/admin/devices/apikey/"
__all__ = ["stale"]  # a fixture


def act(client: Client, action: str, *keys: ApiKey, confirmed: bool = True) -> Any:
    chosen = {"action": action, "_selected_action": [key.pk for key in keys], "overlap": "24"}
    return client.post(KEYS, chosen | ({"confirmed": str(len(keys))} if confirmed else {}), follow=True)


def test_a_key_is_issued_and_shown_once(operator: Client, rs_a: Hospital) -> None:
    text = shown_key(operator.post(f"{KEYS}add/", form(hospitals=[rs_a.pk], read_only="on", naming="camelCase")))
    key = ApiKey.objects.get()
    assert ([*key.hospitals.all()], key.read_only, key.naming, key.prefix) == ([rs_a], True, "camelCase", text[4:12])
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


# --- The list and the page of a key


def cells(page: str, column: str) -> list[str]:
    """Return the texts of a column of the list, from the newest key."""
    found = re.findall(rf'<t[dh] class="field-{column}[^>]*>(.*?)</t[dh]>', page, re.DOTALL)
    return [" ".join(re.sub("<[^>]+>", " ", cell).split()) for cell in found]


def change(name: str, **values: Any) -> None:
    ApiKey.objects.filter(name=name).update(**values)


def test_list_says_in_words_what_each_key_can_do_and_whether_it_works(operator: Client, rs_a: Hospital) -> None:
    at = timezone.now()
    for name in ("revoked", "expired", "ends soon", "active"):
        issue(name, **({"hospitals": [rs_a], "read_only": True, "rate": "10/s"} if name == "ends soon" else {}))
    change("revoked", revoked_at=at, expires_at=at)
    change("expired", expires_at=at)
    change("ends soon", expires_at=at + timedelta(hours=23, minutes=30), last_used_at=at - timedelta(minutes=4))
    page = operator.get(KEYS).content.decode()
    assert cells(page, "state") == ["active", "expires in 23 hours", "expired", "revoked"]
    assert cells(page, "scope") == ["All hospitals", "RS Harapan", "All hospitals", "All hospitals"]
    assert cells(page, "access") == ["Read and write", "Read-only, 10/s", "Read and write", "Read and write"]
    assert cells(page, "last_used") == ["never", "4 minutes ago", "never", "never"]
    assert [text[:4] for text in cells(page, "token")] == ["cxp_"] * 4
    assert "icon-no" not in page


def test_command_lists_keys_with_the_words_of_the_admin(
    operator: Client, rs_a: Hospital, capsys: pytest.CaptureFixture[str]
) -> None:
    issue("ward app", hospitals=[rs_a], read_only=True, expires_at=timezone.now() + timedelta(days=3, hours=1))
    change("ward app", last_used_at=timezone.now(), last_used_ip_address="192.0.2.7")
    issue("other")
    call_command("list_api_keys")
    [_headings, ward, other] = capsys.readouterr().out.splitlines()
    page = operator.get(KEYS).content.decode()
    for column in ("state", "scope", "access", "token"):
        assert cells(page, column)[1] in ward
        assert cells(page, column)[0] in other
    assert "from 192.0.2.7" in ward
    assert "never" in other


@pytest.mark.parametrize(
    ("tab", "names"), [("", {"works", "revoked"}), ("active", {"works"}), ("inactive", {"revoked"})]
)
def test_tabs_separate_the_active_keys_from_the_ended_ones(operator: Client, tab: str, names: set[str]) -> None:
    issue("works")
    api_keys.revoke(issue("revoked").key, SYSTEM)
    response = operator.get(KEYS + (f"?state={tab}" if tab else ""))
    assert {key.name for key in response.context["cl"].result_list} == names
    [chosen] = re.findall(r'<a href="([^"]*)" aria-current="page"', response.content.decode())
    assert chosen == KEYS + (f"?state={tab}" if tab else "")


def test_page_of_a_key_shows_its_last_use_and_no_python_value(operator: Client, settings: Any) -> None:
    settings.API_RATE = "6000/min"
    key = issue("app").key
    change("app", last_used_at=timezone.now(), last_used_ip_address="192.0.2.7")
    page = operator.get(f"{KEYS}{key.pk}/change/").content.decode()
    assert "from 192.0.2.7" in page
    assert "6000/min (the default of this registry)" in page
    for text in ("State.", "icon-no", "Revoked at"):
        assert text not in page


def test_history_of_a_key_has_its_changes_by_any_channel(operator: Client, rs_a: Hospital, rs_b: Hospital) -> None:
    key = issue("app", hospitals=[rs_a]).key
    hospitals.merge([rs_a], rs_b, SYSTEM)
    act(operator, "rotate", key)
    call_command("revoke_api_key", str(key.pk))
    page = operator.get(f"{KEYS}{key.pk}/history/").content.decode()
    found = [" ".join(re.sub("<[^>]+>", " ", text).split()) for text in re.findall("<li.*?</li>", page, re.DOTALL)]
    expected = ["A command revoked", "operator rotated", "A command moved", "A command issued"]
    assert [text.partition(" the key")[0] for text in found if " the key" in text] == expected
    assert "moved the key to RS Sehat" in " ".join(found)
    indonesian = operator.get(f"{KEYS}{key.pk}/history/", headers={"accept-language": "id"}).content.decode()
    assert "mencabut kunci" in indonesian
    assert operator.get(f"{KEYS}{key.pk + 100}/history/").status_code == 404


def test_hospitals_can_be_chosen_without_scripts(operator: Client, rs_a: Hospital) -> None:
    assert f'<option value="{rs_a.pk}">RS Harapan</option>' in operator.get(f"{KEYS}add/").content.decode()


# --- Which key is revoked or rotated


@pytest.mark.parametrize("action", ["revoke", "rotate"])
def test_confirmation_distinguishes_two_keys_of_one_name(operator: Client, rs_a: Hospital, action: str) -> None:
    first, second = issue("ward app", hospitals=[rs_a]), issue("ward app")
    change("ward app", last_used_at=timezone.now() - timedelta(minutes=4), last_used_ip_address="192.0.2.7")
    for page in (act(operator, action, first.key, confirmed=False), operator.get(f"{KEYS}{first.key.pk}/{action}/")):
        text = " ".join(page.content.decode().split())
        assert f"cxp_{first.key.prefix}…" in text
        assert second.key.prefix not in text
        assert "RS Harapan · Read and write · active ·" in text
        assert re.search("last used <time[^>]*>4.minutes ago</time> from 192.0.2.7", text)


def test_all_keys_that_will_be_revoked_are_listed(operator: Client) -> None:
    keys = [issue(f"app {number}").key for number in range(25)]
    page = act(operator, "revoke", *keys, confirmed=False).content.decode()
    assert [key.prefix for key in keys if key.prefix not in page] == []
    assert "25 keys will be revoked immediately. This cannot be undone." in page
    assert "bg-red-600" in page


@pytest.mark.parametrize("action", ["revoke", "rotate"])
def test_key_is_ended_from_its_own_page(operator: Client, action: str) -> None:
    key, other = issue("app").key, issue("other").key
    page = f"{KEYS}{key.pk}/change/"
    assert f"{KEYS}{key.pk}/{action}/" in operator.get(page).content.decode()
    asked = operator.get(f"{KEYS}{key.pk}/{action}/").content.decode()
    assert f'href="{page}"' in asked
    assert ApiKey.objects.active().count() == 2
    form = {"action": action, "confirmed": "1", "overlap": "0"}
    response = operator.post(f"{KEYS}{key.pk}/{action}/", form)
    if action == "revoke":
        assert (response.status_code, response.headers["Location"]) == (302, page)
    else:
        assert Api(shown_key(response)).get("/api/devices").status_code == 200
        assert f"cxp_{key.prefix}…" in response.content.decode()
    assert not ApiKey.objects.active().filter(pk=key.pk).exists()
    assert ApiKey.objects.active().filter(pk=other.pk).exists()


@pytest.mark.parametrize("action", ["revoke", "rotate"])
def test_ended_missing_and_malformed_keys_have_no_buttons(operator: Client, action: str) -> None:
    ended = issue("app").key
    api_keys.revoke(ended, SYSTEM)
    assert f"/{action}/" not in operator.get(f"{KEYS}{ended.pk}/change/").content.decode()
    for number in (ended.pk, ended.pk + 1, "x", "9" * 30, "-1"):
        response = operator.post(f"{KEYS}{number}/{action}/", {"action": action, "confirmed": "1", "overlap": "0"})
        assert response.status_code == 403, number


def test_rotation_from_the_page_of_a_key_needs_a_confirmed_identity(stale: Client) -> None:
    key = issue("app").key
    for response in (stale.get(f"{KEYS}{key.pk}/rotate/"), stale.post(f"{KEYS}{key.pk}/rotate/", {"confirmed": "1"})):
        assert 'name="identity-' in response.content.decode()
    assert ApiKey.objects.count() == 1


def test_hospital_admin_cannot_end_a_key_of_their_hospital(ratna: Client, rs_a: Hospital) -> None:
    key = issue("app", hospitals=[rs_a]).key
    for action in ("revoke", "rotate"):
        assert ratna.get(f"{KEYS}{key.pk}/{action}/").status_code == 403
        assert ratna.post(f"{KEYS}{key.pk}/{action}/", {"confirmed": "1", "overlap": "0"}).status_code == 403
    assert ApiKey.objects.active().count() == 1


# --- A new key


@pytest.mark.parametrize("both", [False, True])
def test_no_key_is_unrestricted_because_a_field_was_forgotten(operator: Client, rs_a: Hospital, both: bool) -> None:
    chosen = {"hospitals": [rs_a.pk], "all_hospitals": "on"} if both else {"all_hospitals": ""}
    response = operator.post(f"{KEYS}add/", form(**chosen))
    assert response.context["adminform"].form.errors["hospitals"] == [
        "Choose hospitals, or select either “All hospitals” or “Sandbox”."
    ]
    assert not ApiKey.objects.exists()


def test_form_of_a_new_key_has_one_button_and_explains_the_naming(operator: Client) -> None:
    page = operator.get(f"{KEYS}add/").content.decode()
    assert "Create key" in page
    assert "deviceName" in page
    for button in ("_continue", "_addanother"):
        assert button not in page


@pytest.mark.parametrize("button", ["_continue", "_addanother", "_save"])
def test_page_after_a_new_key_has_a_command_and_a_link_to_continue(operator: Client, button: str) -> None:
    response = operator.post(f"{KEYS}add/", form() | {button: "1"}, headers={"host": "testserver"})
    text, key = shown_key(response), ApiKey.objects.get()
    page = html.unescape(response.content.decode())
    assert f"curl -H 'x-api-key: {text}' http://testserver/api/devices" in page
    assert f'href="{KEYS}{key.pk}/change/"' in page
    assert f"cxp_{key.prefix}…" in page
    assert text not in "".join(re.findall('(?:href|src|action|value|data-[a-z]+)="[^"]*"', page))


# --- Indonesian


def test_indonesian_has_different_words_for_a_legacy_key_and_the_old_key_of_a_rotation() -> None:
    texts = [text for message in translations() for text in to_tuple(message.string)]
    assert [text for text in texts if "kunci lama" in text.lower() or "kunci legacy" in text.lower()] == []
    with translation.override("id"):
        assert (gettext("Legacy key"), gettext("The old key ends")) == ("Kunci warisan", "Kunci sebelumnya berakhir")


def to_tuple(text: Any) -> tuple[str, ...]:
    return text if isinstance(text, tuple) else (text,)


@pytest.mark.parametrize("text", ["cxp_{}", "cxp_{}…", "{}", " cxp_{} "])
def test_search_finds_a_key_as_the_list_shows_it(operator: Client, text: str) -> None:
    prefix = issue("ward app").key.prefix
    issue("other app")
    page = operator.get("/admin/devices/apikey/", {"q": text.format(prefix)}).content.decode()
    assert "ward app" in page
    assert "other app" not in page


def test_form_limits_a_key_to_hospitals_networks_and_a_page_size(
    operator: Client, rs_a: Hospital, rs_b: Hospital
) -> None:
    limits = {"page_size": "500", "unknown_holder": "refuse", "allowed_networks": "10.0.0.0/8\r\n2001:DB8::/32"}
    operator.post(f"{KEYS}add/", form(hospitals=[rs_a.pk, rs_b.pk], **limits))
    key = ApiKey.objects.get()
    assert (key.all_hospitals, set(key.scope_hospitals)) == (False, {rs_a, rs_b})
    assert (key.page_size, key.unknown_holder, key.allowed_networks) == (500, "refuse", "10.0.0.0/8 2001:db8::/32")
    page = operator.get(f"{KEYS}{key.pk}/change/").content.decode()
    for text in ("RS Harapan, RS Sehat", "500", "refuse the request", "10.0.0.0/8, 2001:db8::/32"):
        assert text in page


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("allowed_networks", "10.0.0.0/8 intranet", "intranet is not a network."),
        ("page_size", "10001", "Ensure this value is less than or equal to 10000."),
        ("page_size", "0", "Ensure this value is greater than or equal to 1."),
        ("unknown_holder", "ignore", "Select a valid choice."),
        ("naming", "kebab-case", "Select a valid choice."),
    ],
)
def test_invalid_limit_of_a_key_is_reported_at_its_field(operator: Client, field: str, text: str, message: str) -> None:
    errors = operator.post(f"{KEYS}add/", form(**{field: text})).context["adminform"].form.errors
    assert list(errors) == [field]
    assert errors[field][0].startswith(message)


def test_sandbox_cannot_be_chosen_as_a_hospital(operator: Client, rs_a: Hospital) -> None:
    [sandbox] = issue("tries", sandbox=True).key.scope_hospitals
    response = operator.post(f"{KEYS}add/", form(hospitals=[rs_a.pk, sandbox.pk]))
    assert list(response.context["adminform"].form.errors) == ["hospitals"]
    assert list(response.context["adminform"].form.fields["hospitals"].queryset) == [rs_a]


def test_sandbox_key_is_issued_and_has_no_other_scope(operator: Client, rs_a: Hospital) -> None:
    response = operator.post(f"{KEYS}add/", form(sandbox="on", hospitals=[rs_a.pk]))
    assert list(response.context["adminform"].form.errors) == ["hospitals"]
    response = operator.post(f"{KEYS}add/", form(sandbox="on", value=LEGACY_KEY))
    assert list(response.context["adminform"].form.errors) == ["value"]
    page = operator.post(f"{KEYS}add/", form(sandbox="on")).content.decode()
    assert re.search(r"cxt_\w{8}_\w{46}", page)
    key = ApiKey.objects.get()
    assert (key.sandbox, key.all_hospitals, [hospital.sandbox for hospital in key.scope_hospitals]) == (
        True,
        False,
        [True],
    )


@pytest.mark.parametrize(("fields", "naming"), [({}, "snake_case"), ({"value": LEGACY_KEY}, "both")])
def test_naming_is_chosen_by_the_kind_of_key_if_the_form_has_none(
    operator: Client, fields: dict[str, str], naming: str
) -> None:
    operator.post(f"{KEYS}add/", form(**fields))
    assert ApiKey.objects.get().naming == naming
