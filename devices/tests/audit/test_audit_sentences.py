"""The audit log says who did what in sentences, with names and links, in the language of the reader."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import translation
from pytest_django import DjangoAssertNumQueries

from devices.access.actor import SYSTEM
from devices.accounts import api_keys, users
from devices.admin import audit_sentences
from devices.audit.audit_log import Action, ObjectType
from devices.models import ApiKey, AuditEvent, Channel, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.admin.users import USERS
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db

AUDIT = "/admin/devices/auditevent/"


def text_of(markup: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", markup).split())


def sentences(client: Client, language: str = "en", query: str = "") -> list[str]:
    """Return the sentences and details of the list, from the newest event, each as one text."""
    page = client.get(AUDIT + query, headers={"accept-language": language}).content.decode()
    return [text_of(cell) for cell in re.findall(r'<td class="field-event[^>]*>(.*?)</td>', page, re.DOTALL)]


def links(client: Client) -> list[tuple[str, str]]:
    page = client.get(AUDIT).content.decode()
    cells = "".join(re.findall(r'<td class="field-event[^>]*>(.*?)</td>', page, re.DOTALL))
    return re.findall('<a href="([^"]+)"[^>]*>([^<]+)</a>', cells)


def test_every_event_has_a_sentence_in_both_languages(operator: Client) -> None:
    assert audit_sentences.SENTENCES.keys() == set(Action)
    for language in ("en", "id"):
        with translation.override(language):
            for text in (
                *audit_sentences.SENTENCES.values(),
                *audit_sentences.BY_THEMSELVES.values(),
                *audit_sentences.WITH_OBJECT.values(),
            ):
                assert "{who}" in str(text)
                assert str(text).format(who="A", object="B", hospital="C").startswith("A")
    for action in Action:
        AuditEvent.objects.create(action=action, channel=Channel.ADMIN)
    shown = sentences(operator)
    assert len(shown) == AuditEvent.objects.count()
    assert not [text for text in shown if "{" in text]


def test_users_and_hospitals_are_named_with_links(operator: Client, rs_a: Hospital, rs_b: Hospital) -> None:
    budi = users.invite("Pak Budi", "budi@rs.example", [rs_a])
    before = AuditEvent.objects.latest("pk").pk
    form = {"first_name": "Pak Budi", "email": "budi@rs.example", "is_active": "on", "hospitals": [rs_b.pk]}
    assert operator.post(f"{USERS}{budi.pk}/change/", form).status_code == 302
    number = AuditEvent.objects.filter(pk__gt=before).count()
    assert sentences(operator)[:number] == [
        "operator made Pak Budi an admin of RS Sehat",
        "operator removed Pak Budi from the admins of RS Harapan",
    ]
    assert sentences(operator, "id")[:number] == [
        "operator menjadikan Pak Budi admin RS Sehat",
        "operator menghapus Pak Budi dari admin RS Harapan",
    ]
    operator_id = User.objects.get(username="operator").pk
    assert links(operator)[:3] == [
        (f"{USERS}{operator_id}/change/", "operator"),
        (f"{USERS}{budi.pk}/change/", "Pak Budi"),
        (f"/admin/devices/hospital/{rs_b.pk}/change/", "RS Sehat"),
    ]


def test_failed_sign_in_names_the_user_and_never_what_was_typed(operator: Client, rs_a: Hospital) -> None:
    users.invite("Ibu Ratna", "ratna@rs.example", [rs_a])
    for name in ("ratna@rs.example", "hunter2 in the wrong field"):
        Client().post("/admin/login/", {"username": name, "password": "x", "next": "/admin/"})
    assert sentences(operator)[:2] == [
        "A visitor failed to sign in as an unknown user browser: –",
        "A visitor failed to sign in as Ibu Ratna browser: –",
    ]
    assert "hunter2" not in str(list(AuditEvent.objects.values()))


def test_keys_and_devices_are_named_with_links(operator: Client, rs_a: Hospital) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    reader = issue("reader", read_only=True)
    Api(reader.text).post("/api/devices", device_payload(2))
    api_keys.revoke(reader.key, SYSTEM)
    Api(reader.text).get("/api/devices")
    operator.post(f"/admin/devices/device/{device.pk}/audit-trail/", {"format": "csv"})
    exported, inactive, denied = sentences(operator)[:3]
    assert exported == "operator downloaded the audit trail of Cuff 1 format: CSV"
    assert inactive.startswith("A client without a valid key sent a request with the inactive API key reader ")
    assert denied.startswith("reader sent a request that was denied ")
    assert "status: 403" in denied
    found = links(operator)
    assert (f"/admin/devices/apikey/{reader.key.pk}/change/", "reader") in found
    assert (f"/admin/devices/historicaldevice/?id={device.pk}", "Cuff 1") in found


def test_own_actions_differ_from_actions_on_others(operator: Client, ratna: Client) -> None:
    actor, other = User.objects.get(username="operator"), User.objects.get(first_name="Ibu Ratna")
    for user in (actor, other):
        AuditEvent.objects.create(
            action=Action.TWO_FACTOR_RESET,
            channel=Channel.ADMIN,
            user=actor,
            username="operator",
            object_type=ObjectType.USER,
            object_id=user.pk,
        )
    assert sentences(operator)[:2] == [
        "operator reset the two-factor authentication of Ibu Ratna",
        "operator turned off two-factor authentication",
    ]


def test_objects_that_no_longer_exist_keep_their_name_or_number(
    operator: Client, rs_a: Hospital, rs_b: Hospital
) -> None:
    ratna = users.invite("Ibu Ratna", "ratna@rs.example", [rs_a])
    hospitals.merge([rs_a], rs_b, SYSTEM)
    AuditEvent.objects.create(
        action=Action.USER_CHANGED,
        channel=Channel.ADMIN,
        user_id=4711,
        username="gone",
        object_type="user",
        object_id=4712,
    )
    page = sentences(operator)
    assert page[0] == "gone changed the user #4712"
    assert "A command removed Ibu Ratna from the admins of RS Harapan" in page
    event = AuditEvent.objects.get(action=Action.HOSPITAL_ADMIN_REMOVED, object_id=ratna.pk)
    assert "RS Harapan" in operator.get(f"{AUDIT}{event.pk}/change/").content.decode()


def test_names_are_escaped(operator: Client) -> None:
    User.objects.filter(username="operator").update(first_name="<script>x</script>")
    AuditEvent.objects.create(action=Action.SIGNED_IN, channel=Channel.ADMIN, user=User.objects.get(), username="x")
    for path in (AUDIT, f"{AUDIT}{AuditEvent.objects.latest('pk').pk}/change/"):
        page = operator.get(path).content.decode()
        assert "&lt;script&gt;x" in page
        assert "<script>x" not in page


def test_number_of_queries_does_not_depend_on_the_number_of_events(
    operator: Client, rs_a: Hospital, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(40):
        users.invite(f"User {number}", f"user{number}@rs.example", [rs_a])
        register(device_payload(number))
    for event in (Device.objects.first(), rs_a, issue("app").key):
        assert event is not None
        kind = {Device: "device", Hospital: "hospital", ApiKey: "key"}[type(event)]
        AuditEvent.objects.create(action=Action.EXPORTED, channel="admin", object_type=kind, object_id=event.pk)
    with django_assert_max_num_queries(20):
        operator.get(AUDIT)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?hospital={rs_a}", ["A command made Ibu Ratna an admin of RS Harapan"]),
        ("?key={key}", ["reader sent a request that was denied"]),
    ],
)
def test_events_are_filtered_by_hospital_and_key(
    operator: Client, rs_a: Hospital, rs_b: Hospital, query: str, expected: list[str]
) -> None:
    users.invite("Ibu Ratna", "ratna@rs.example", [rs_a])
    users.invite("Pak Budi", "budi@rs.example", [rs_b])
    reader = issue("reader", read_only=True)
    Api(reader.text).post("/api/devices", device_payload(1))
    found = sentences(operator, query=query.format(rs_a=rs_a.pk, key=reader.key.pk))
    assert [re.sub(r" (?:status|route|method): .*", "", text) for text in found] == expected


def test_log_has_one_name_and_leads_to_the_changes_of_devices(operator: Client) -> None:
    page = operator.get(AUDIT).content.decode()
    assert re.search(r"<title>[^<]*Audit log", page) or "Audit log" in page
    assert ">Events<" not in re.sub(r"\s", "", page)
    assert "/admin/devices/historicaldevice/" in page
    indonesian = operator.get(AUDIT, headers={"accept-language": "id"}).content.decode()
    assert "Log audit" in indonesian
    assert "Kejadian" not in indonesian


@pytest.mark.parametrize(
    ("user_agent", "shown"),
    [
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0.0.0 Safari/537.36",
            "Chrome, Windows",
        ),
        ("Mozilla/5.0 (Linux; Android 14; SM-A155F) Chrome/126.0 Mobile Safari/537.36", "Chrome, Android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile Safari/604.1", "Safari, iOS"),
        ("curl/8.5.0", "curl"),
        ("something else", "something else"),
    ],
)
def test_browser_is_short_in_the_list_and_complete_on_the_page(operator: Client, user_agent: str, shown: str) -> None:
    details: dict[str, Any] = {"user_agent": user_agent}
    event = AuditEvent.objects.create(action=Action.SIGNED_IN, channel=Channel.ADMIN, username="x", details=details)
    assert sentences(operator)[0] == f"x signed in browser: {shown}"
    assert user_agent in operator.get(f"{AUDIT}{event.pk}/change/").content.decode()
