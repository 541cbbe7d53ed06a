"""Record each kind of event with its user and IP address, and never a secret."""

import io
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import DatabaseError, connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from devices.access.actor import SYSTEM
from devices.accounts import api_keys, two_factor, users
from devices.audit import audit_log, denials
from devices.audit.audit_log import Action
from devices.crypto import keys
from devices.models import AuditEvent, AuthenticatorApp, Device, Hospital, StaffUser
from devices.tests.support.admin.two_factor import CHECK, SET_UP, code_of, set_up, sign_in_again
from devices.tests.support.admin.users import USERS, add_user, set_password, shown_link
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db

PASSWORD, WRONG = "correct horse battery", "Tr0ub4dor&3"
LIST = "/admin/devices/device/"


def recorded(*actions: Action) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action__in=actions).order_by("pk"))


@pytest.fixture
def user() -> User:
    return User.objects.create_superuser("keeper", "keeper@vendor.example", PASSWORD)


def sign_in(client: Client, password: str, username: str = "keeper") -> int:
    form = {"username": username, "password": password, "next": "/admin/"}
    return client.post("/admin/login/", form, REMOTE_ADDR="192.0.2.7", headers={"x-request-id": "r1"}).status_code


# --- Signing in and out


def test_sign_ins_and_sign_outs_are_recorded_with_user_and_address(user: User, client: Client) -> None:
    sign_in(client, PASSWORD)
    client.post("/admin/logout/", REMOTE_ADDR="192.0.2.8")
    sign_in_event, sign_out_event = recorded(Action.SIGNED_IN, Action.SIGNED_OUT)
    assert (sign_in_event.user, sign_in_event.username, sign_in_event.channel) == (user, "keeper", "admin")
    assert (sign_in_event.ip_address, sign_in_event.request_id) == ("192.0.2.7", "r1")
    assert (sign_out_event.user, sign_out_event.ip_address) == (user, "192.0.2.8")


def test_failed_and_locked_sign_ins_are_recorded_without_the_password(user: User, client: Client) -> None:
    for _ in range(6):
        sign_in(client, WRONG)
    events = recorded(Action.SIGN_IN_FAILED, Action.SIGN_IN_LOCKED, Action.DENIED)
    assert [event.action for event in events] == [Action.SIGN_IN_FAILED] * 4 + [
        Action.SIGN_IN_LOCKED
    ]  # further ones are counted
    for event in events:
        assert (event.user_id, event.object_type, event.object_id, event.ip_address) == (
            None,
            "user",
            user.pk,
            "192.0.2.7",
        )


def test_unknown_user_name_is_not_recorded(user: User, client: Client) -> None:
    sign_in(client, "keeper", username=WRONG)
    [event] = recorded(Action.SIGN_IN_FAILED)
    assert (event.object_id, event.ip_address) == (None, "192.0.2.7")
    assert WRONG not in all_records()


# --- Two-factor authentication


def test_two_factor_events_are_recorded(ratna: Client, operator: Client, rs_a: Hospital) -> None:
    ratna_user = User.objects.get(first_name="Ibu Ratna")
    codes = set_up(ratna, ratna_user)
    browser = sign_in_again(ratna_user)
    browser.post(CHECK, {"code": codes[0]})
    sign_in_again(ratna_user).post(CHECK, {"code": codes[0]})
    operator.post(USERS, {"action": "reset_two_factor", "_selected_action": ratna_user.pk, "confirmed": 1})
    call_command("reset_two_factor", ratna_user.username, stderr=io.StringIO())
    events = recorded(
        *(Action.TWO_FACTOR_ENABLED, Action.RECOVERY_CODES_CREATED, Action.CODE_REJECTED),
        *(Action.CODE_ACCEPTED, Action.TWO_FACTOR_RESET),
    )
    assert [(event.action, event.username, event.channel) for event in events] == [
        (Action.TWO_FACTOR_ENABLED, ratna_user.username, "admin"),
        (Action.CODE_ACCEPTED, ratna_user.username, "admin"),
        (Action.RECOVERY_CODES_CREATED, ratna_user.username, "admin"),
        (Action.CODE_ACCEPTED, ratna_user.username, "admin"),
        (Action.CODE_REJECTED, ratna_user.username, "admin"),
        (Action.TWO_FACTOR_RESET, "operator", "admin"),
        (Action.TWO_FACTOR_RESET, "", "command"),
    ]
    assert [event.details["device"] for event in events if event.action == Action.CODE_ACCEPTED] == ["app", "recovery"]
    assert {(event.object_type, event.object_id) for event in events} == {("user", ratna_user.pk)}


# --- Users


def test_added_and_changed_user_is_recorded(operator: Client, rs_a: Hospital, rs_b: Hospital) -> None:
    path = shown_link(add_user(operator, rs_a))
    ratna = StaffUser.objects.get(first_name="Ibu Ratna")
    set_password(Client(), path, "pagi-cerah-7")
    form = {"first_name": "Ibu Ratna", "email": "ratna@other.example", "hospitals": [rs_b.pk]}
    assert operator.post(f"{USERS}{ratna.pk}/change/", form).status_code == 302
    events = AuditEvent.objects.filter(object_type="user", object_id=ratna.pk).order_by("pk")
    assert [(event.action, event.username, event.hospital_id) for event in events] == [
        (Action.USER_ADDED, "operator", None),
        (Action.HOSPITAL_ADMIN_ADDED, "operator", rs_a.pk),
        (Action.PASSWORD_LINK_CREATED, "operator", None),
        (Action.PASSWORD_SET, "", None),
        (Action.USER_CHANGED, "operator", None),
        (Action.HOSPITAL_ADMIN_REMOVED, "operator", rs_a.pk),
        (Action.HOSPITAL_ADMIN_ADDED, "operator", rs_b.pk),
    ]
    changed = events[4].details
    assert changed == {"changed": ["is_active", "username", "email"], "is_active": [True, False]}


def test_user_added_or_changed_by_a_command_is_recorded(rs_a: Hospital) -> None:
    user = User.objects.create_superuser("root", "root@vendor.example", PASSWORD)
    user.set_password(WRONG)
    user.save()
    user.is_superuser = False
    user.save(update_fields=["is_superuser"])
    rs_a.admins.add(user)
    rs_a.admins.clear()
    events = AuditEvent.objects.order_by("pk")
    assert [(event.action, event.channel) for event in events] == [
        (Action.USER_ADDED, "command"),
        (Action.PASSWORD_SET, "command"),
        (Action.USER_CHANGED, "command"),
        (Action.HOSPITAL_ADMIN_ADDED, "command"),
        (Action.HOSPITAL_ADMIN_REMOVED, "command"),
    ]
    assert events[2].details == {"changed": ["is_superuser"], "is_superuser": [True, False]}


def test_admins_moved_by_a_merge_are_recorded(operator: Client, ratna: Client, rs_a: Hospital, rs_b: Hospital) -> None:
    admin_of_a = User.objects.get(first_name="Ibu Ratna")
    admin_of_both = users.invite("Pak Budi", "budi@rs.example", [rs_a, rs_b])
    before = AuditEvent.objects.latest("pk").pk
    merge = {"action": "merge", "_selected_action": rs_a.pk, "confirmed": "1", "into": rs_b.pk}
    assert operator.post("/admin/devices/hospital/", merge).status_code == 302
    events = AuditEvent.objects.filter(pk__gt=before)
    assert sorted((event.action, event.object_type, event.object_id, event.hospital_id) for event in events) == [
        (Action.HOSPITAL_ADMIN_ADDED, "user", admin_of_a.pk, rs_b.pk),
        (Action.HOSPITAL_ADMIN_REMOVED, "user", admin_of_a.pk, rs_a.pk),
        (Action.HOSPITAL_ADMIN_REMOVED, "user", admin_of_both.pk, rs_a.pk),
    ]
    assert {(event.username, event.channel, event.ip_address) for event in events} == {
        ("operator", "admin", "127.0.0.1")
    }
    removal = events.filter(action=Action.HOSPITAL_ADMIN_REMOVED).latest("pk")  # of a hospital that was merged
    for page in ("", f"{removal.pk}/change/"):
        assert operator.get(f"/admin/devices/auditevent/{page}").status_code == 200


def test_renewed_hash_is_not_recorded_as_a_new_password(user: User, client: Client) -> None:
    cheap = PBKDF2PasswordHasher().encode(PASSWORD, "salt", 1)
    User.objects.update(password=cheap)
    assert sign_in(client, PASSWORD) == 302
    assert User.objects.get().password != cheap
    assert recorded(Action.PASSWORD_SET) == []


# --- Denied requests


def test_denied_request_is_recorded_with_route_and_key(
    outsider: Api, reader: Api, api_a: Api, rs_b: Hospital, ratna: Client
) -> None:
    outsider.get("/api/devices?search=secret")
    reader.post("/api/devices", device_payload(1))
    api_a.post("/api/devices", device_payload(2, device_holder="RS Sehat"))
    ratna.get("/admin/devices/apikey/")
    events = recorded(Action.DENIED)
    assert [(event.details["status"], event.details["method"], event.details["route"]) for event in events] == [
        (401, "GET", "api/devices"),
        (403, "POST", "api/devices"),
        (403, "POST", "api/devices"),
        (403, "GET", "admin/devices/apikey/"),
    ]
    assert [event.api_key and event.api_key.name for event in events] == [
        None,
        "reader",
        "ward app of RS Harapan",
        None,
    ]
    assert events[3].username == "ratna@rs.example"
    assert {event.ip_address for event in events} == {"127.0.0.1"}
    assert all(re.fullmatch("[0-9a-f]{32}", event.request_id) for event in events)


def test_revoked_key_of_a_denied_request_is_recorded(outsider: Api) -> None:
    issued = issue("ward app")
    api_keys.revoke(issued.key, SYSTEM)
    Api(issued.text).get("/api/devices")
    Api(keys.generate()).get("/api/devices")
    assert [(event.api_key_id, event.object_type, event.object_id) for event in recorded(Action.DENIED)] == [
        (None, "key", issued.key.pk),
        (None, "", None),
    ]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [1000.0]
    monkeypatch.setattr("devices.audit.denials.time.monotonic", lambda: now[0])

    def advance(seconds: float) -> None:
        now[0] += seconds

    return advance


def test_repeated_denials_are_one_row_a_minute_with_a_count(
    outsider: Api, reader: Api, clock: Callable[[float], None]
) -> None:
    for _ in range(100):
        outsider.get("/api/devices")
        reader.post("/api/devices", device_payload(1))
    assert len(recorded(Action.DENIED)) == 2
    clock(61)
    outsider.get("/api/devices")
    assert [event.details.get("count") for event in recorded(Action.DENIED)] == [None, None, 99, 99, None]


def test_denials_from_many_addresses_have_limited_rows_and_memory(
    outsider: Api, clock: Callable[[float], None]
) -> None:
    for number in range(300):
        outsider.client.get("/api/devices", REMOTE_ADDR=f"198.51.{number // 200}.{number % 200}")
        outsider.client.get("/api/devices", REMOTE_ADDR=f"2001:db8::{number:x}")  # one client's network
    assert len(recorded(Action.DENIED)) == denials.MAX_ROWS_PER_MINUTE + 1
    assert len(denials.deduplicator.seen) == denials.MAX_ROWS_PER_MINUTE + 1
    clock(61)
    outsider.get("/api/devices")
    counts = {
        str(event.ip_address): event.details["count"] for event in recorded(Action.DENIED) if "count" in event.details
    }
    assert counts == {"2001:db8::1": 299, "None": 300 - denials.MAX_ROWS_PER_MINUTE}


def test_response_is_unchanged_if_a_denial_cannot_be_recorded(
    outsider: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise DatabaseError("read-only")

    monkeypatch.setattr(models.QuerySet, "bulk_create", fail)
    assert outsider.get("/api/devices").status_code == 401
    assert "Could not record a denied request" in caplog.text


def test_allowed_requests_cost_no_audit_query(api: Api, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    api.post("/api/devices", device_payload(1))
    with CaptureQueriesContext(connection) as queries:
        assert api.get("/api/devices").status_code == 200
        assert api.post("/api/devices", device_payload(2)).status_code == 201
    assert not [query for query in queries if "audit" in query["sql"]]
    assert AuditEvent.objects.count() == 0


# --- Exports, imports


def test_exports_and_imports_are_recorded_with_numbers(ratna: Client, rs_a: Hospital) -> None:
    register(device_payload(1, device_holder=rs_a.name), device_payload(2))
    chosen = list(Device.objects.filter(device_holder=rs_a).values_list("pk", flat=True))
    ratna.post(LIST, {"action": "export", "_selected_action": chosen, "confirmed": 1, "ending": ".csv"})
    file = SimpleUploadedFile("x.csv", b"ID,MAC,TYPE\nCuff 7,00:00:00:00:00:07,CONSUMER\n")
    preview = ratna.post(f"{LIST}import/", {"file": file})
    assert recorded(Action.IMPORTED) == []
    ratna.post(preview["Location"], {"confirm": "1"})
    exported, imported = recorded(Action.EXPORTED, Action.IMPORTED)
    assert (exported.username, exported.hospital_id) == ("ratna@rs.example", rs_a.pk)
    assert exported.details == {"devices": 1, "format": ".csv"}
    assert imported.details == {"registered": 1, "changed": 0, "unchanged": 0}
    assert (imported.username, imported.ip_address) == ("ratna@rs.example", "127.0.0.1")


def test_exports_and_imports_by_commands_are_recorded(tmp_path: Any) -> None:
    register(device_payload(1))
    file = str(tmp_path / "x.csv")
    call_command("export_devices", file, stderr=io.StringIO())
    call_command("import_devices", file, "--dry-run", stdout=io.StringIO())
    call_command("import_devices", file, stdout=io.StringIO())
    assert [(event.action, event.channel) for event in recorded(*Action)] == [
        (Action.EXPORTED, "command"),
        (Action.IMPORTED, "command"),
    ]


# --- Secrets


def all_records() -> str:
    """Return the rows of the audit log and the history."""
    found = []
    for table in ("auditevent", "historicaldevice", "historicalhospital", "historicalapikey"):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT * FROM devices_{table}")
            found.append(json.dumps(cursor.fetchall(), default=str))
    return "\n".join(found)


def test_no_secret_is_recorded(user: User, operator: Client, ratna: Client, rs_a: Hospital) -> None:
    secrets = [PASSWORD, WRONG, "sore-teduh-8"]
    ratna_user = User.objects.get(first_name="Ibu Ratna")
    recovery = set_up(ratna, ratna_user)
    otp = AuthenticatorApp.objects.get(user=ratna_user)
    browser = sign_in_again(ratna_user)
    browser.post(CHECK, {"code": recovery[0]})
    browser.post(CHECK, {"code": "wrongcode1"})
    browser.get(SET_UP)
    path = shown_link(operator.post(USERS, {"action": "send_link", "_selected_action": ratna_user.pk}, follow=True))
    set_password(Client(), path, "sore-teduh-8")
    for password in (WRONG, PASSWORD):
        sign_in(Client(), password)
    issued, revoked = issue("ward app"), issue("old app")
    api_keys.revoke(revoked.key, SYSTEM)
    legacy = "MTYzNTEzMDIzNDY0MA==16351302346401637558061370"
    api_keys.import_key(legacy, "legacy", SYSTEM)
    tried = issue("tries", sandbox=True).text
    for text in (issued.text, revoked.text, legacy, tried, keys.generate(), "cxp_nonsense"):
        Api(text).post("/api/devices?key=" + text, {"x-api-key": text})
    secrets += [otp.key, otp.bin_key.hex(), two_factor.format_secret(otp)]
    secrets += [*recovery, "wrongcode1", path.split("/")[-2]]
    secrets += [
        issued.text,
        revoked.text,
        legacy,
        tried,
        keys.digest(tried),
        keys.digest(issued.text),
        keys.digest(legacy),
        "cxp_nonsense",
    ]
    secrets += [User.objects.get(pk=ratna_user.pk).password]
    records = all_records()
    assert "ratna@rs.example" in records  # a user name: see docs/security.md
    for secret in secrets:
        assert secret not in records, secret
    # As a word: the digits of a time or a request id can be the same.
    assert not re.search(rf"(?<![\w.]){code_of(ratna_user)}\b", records)


def test_email_address_is_recorded_only_as_user_name_of_the_actor(operator: Client, rs_a: Hospital) -> None:
    add_user(operator, rs_a, email="hidden@rs.example")
    ratna = StaffUser.objects.get(first_name="Ibu Ratna")
    form = {"first_name": "Ibu Ratna", "email": "other@rs.example", "hospitals": [rs_a.pk], "is_active": "on"}
    operator.post(f"{USERS}{ratna.pk}/change/", form)
    assert "rs.example" not in all_records()


# --- The page


def test_only_operators_can_read_the_audit_log(user: User, operator: Client, ratna: Client) -> None:
    sign_in(Client(), PASSWORD)
    path = "/admin/devices/auditevent/"
    page = operator.get(path).content.decode()
    assert "signed in" in page
    assert "192.0.2.7" in page
    event = recorded(Action.SIGNED_IN)[-1]
    assert operator.get(f"{path}{event.pk}/change/").status_code == 200
    for query, found in (
        ("action__exact=signed_in", True),
        ("action__exact=exported", False),
        ("channel__exact=api", False),
        ("q=192.0.2.7", True),
    ):
        assert (event in operator.get(f"{path}?{query}").context["cl"].result_list) is found, query
    assert operator.post(f"{path}add/").status_code == 403
    assert operator.post(f"{path}{event.pk}/delete/", {"post": "yes"}).status_code == 403
    assert operator.post(f"{path}{event.pk}/change/", {"action": "exported"}).status_code == 403
    assert ratna.get(path).status_code == 403
    assert ratna.get(f"{path}{event.pk}/change/").status_code == 403
    assert "auditevent" not in ratna.get("/admin/").content.decode()


def test_the_number_of_queries_does_not_grow_with_the_events(operator: Client) -> None:
    counts = set()
    for _ in range(2):
        for number in range(20):
            audit_log.record(Action.EXPORTED, devices=number)
        with CaptureQueriesContext(connection) as queries:
            operator.get("/admin/devices/auditevent/")
        counts.add(len(queries))
    assert len(counts) == 1


@pytest.mark.parametrize(
    ("network", "is_known"),
    [("192.0.2.7", True), ("192.0.2.70", False), ("2001:db8:0:1::", True), ("2001:db8:0:2::", False), (None, False)],
)
def test_network_is_known_by_an_address_in_it(db: None, network: str | None, is_known: bool) -> None:
    for address in ("192.0.2.7", "2001:db8:0:1::7", None):
        AuditEvent.objects.create(action=Action.SIGNED_IN, channel="admin", ip_address=address)
    assert audit_log.was_done_from(network, Action.SIGNED_IN) is is_known
    assert not audit_log.was_done_from(network, Action.CODE_ACCEPTED)
