"""The page of the audit log shows the details of an event in words, in the language of the user."""

import ast
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from django.utils import translation

from devices.accounts import receivers
from devices.admin import audit_details
from devices.admin.audit_export import AuditExportForm
from devices.audit import audit_log, denials
from devices.audit.audit_log import Action
from devices.imports import plan
from devices.models import AuditEvent, Hospital
from devices.tests.support.admin.users import USERS
from devices.tests.support.services.server import ROOT

AUDIT = "/admin/devices/auditevent/"
NOT_DETAILS = {"obj", "user", "hospital_id"}
TEXTS: list[tuple[Action, dict[str, Any], str, str]] = [
    (
        Action.USER_CHANGED,
        {"changed": ["email", "is_active"], "is_active": [True, False]},
        "changed: email address, active; active: yes → no",
        "diubah: alamat email, aktif; aktif: ya → tidak",
    ),
    (
        Action.USER_ADDED,
        {"is_active": True, "is_staff": True, "is_superuser": False},
        "active: yes; access to the admin: yes; operator: no",
        "aktif: ya; akses ke admin: ya; operator: tidak",
    ),
    (
        Action.EXPORTED,
        {"devices": 12000, "format": ".csv"},
        "devices: 12,000; format: CSV",
        "perangkat: 12.000; format: CSV",
    ),
    (
        Action.EXPORTED,
        {"first": "2026-02-01", "last": "2026-02-28", "format": "jsonl"},
        "first day: Feb. 1, 2026; last day: Feb. 28, 2026; format: JSON Lines",
        "dari tanggal: 1 Feb. 2026; sampai tanggal: 28 Feb. 2026; format: JSON Lines",
    ),
    (
        Action.IMPORTED,
        {"registered": 1, "changed": 2, "unchanged": 3},
        "registered: 1; changed: 2; unchanged: 3",
        "didaftarkan: 1; diubah: 2; tidak berubah: 3",
    ),
    (
        Action.CODE_ACCEPTED,
        {"device": "recovery"},
        "confirmed with: recovery code",
        "dikonfirmasi dengan: kode pemulihan",
    ),
    (
        Action.IDENTITY_CONFIRMED,
        {"by": "password"},
        "confirmed with: current password",
        "dikonfirmasi dengan: kata sandi saat ini",
    ),
    (Action.SESSION_ENDED, {"count": 2}, "sessions: 2", "sesi: 2"),
    (
        Action.DENIED,
        {"status": 403, "method": "GET", "route": "api/devices", "count": 99},
        "status: 403; method: GET; route: api/devices; number: 99",
        "status: 403; metode: GET; rute: api/devices; jumlah: 99",
    ),
    (Action.DENIED, {"from": "many others"}, "sent by: many others", "dikirim oleh: banyak pengirim lain"),
    (
        Action.CONFLICTS_OUTSIDE_SCOPE,
        {"conflicts": 3, "unchecked": 2},
        "conflicts shown: 3; devices not compared: 2",
        "bentrok yang ditampilkan: 3; perangkat yang tidak dibandingkan: 2",
    ),
    (Action.RETENTION_EXTENDED, {"before": 6, "after": 9}, "years before: 6; years after: 9", "tahun sebelumnya: 6"),
    (
        Action.PRUNED,
        {"events": 5, "before": "2020-02-01T05:00:00+00:00"},
        "events removed: 5; older than: Feb. 1, 2020, noon",
        "peristiwa yang dihapus: 5; lebih lama dari: 1 Feb. 2020",
    ),
    (Action.SIGNED_IN, {"user_agent": ""}, "browser: –", "peramban: –"),
    (Action.EXPORTED, {"some_new_name": "x"}, "some new name: x", "some new name: x"),
]


def recorded_names() -> set[str]:
    """Return the names of all details that the code records."""
    names = {*receivers.RECORDED_FLAGS, "changed", "count", "from", "user_agent", *denials.SUMMED}
    names |= plan.totals(Counter()).keys() | AuditExportForm.base_fields.keys() | {"method", "route"}
    for path in (ROOT / "devices").rglob("*.py"):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("audit_log.record", "record_denial")):
                names |= {keyword.arg for keyword in node.keywords if keyword.arg} - NOT_DETAILS
    return names


def test_every_recorded_detail_has_a_label() -> None:
    names = recorded_names()
    assert {"status", "devices", "before", "after", "by", "device"} <= names
    for_actions = {name for _action, name in audit_details.LABELS_OF_ACTIONS}
    assert names == audit_details.LABELS.keys() | for_actions
    assert {*receivers.RECORDED_FLAGS, *receivers.PERSONAL_FIELDS} == audit_details.USER_FIELDS.keys()


@pytest.mark.parametrize(("action", "details", "english", "indonesian"), TEXTS)
def test_details_are_shown_in_words_in_both_languages(
    action: Action, details: dict[str, Any], english: str, indonesian: str
) -> None:
    event = AuditEvent(action=action, details=details)
    texts = []
    for language in ("en", "id"):
        with translation.override(language):
            texts.append("; ".join(f"{label}: {text}" for label, text in audit_details.describe(event)))
    assert texts[0] == english
    assert texts[1].startswith(indonesian)


@pytest.mark.parametrize("page", ["", "{pk}/change/"])
def test_page_shows_words_and_no_json(operator: Client, ratna: Client, rs_a: Hospital, page: str) -> None:
    ratna_id = AuditEvent.objects.get(action=Action.USER_ADDED, details__is_superuser=False).object_id
    form = {"first_name": "Ibu Ratna", "email": "ratna@other.example", "hospitals": [rs_a.pk]}
    assert operator.post(f"{USERS}{ratna_id}/change/", form).status_code == 302
    event = AuditEvent.objects.get(action=Action.USER_CHANGED)
    path = AUDIT + page.format(pk=event.pk)
    for language, text in (
        ("en", "changed: active, user name, email address; active: yes → no"),
        ("id", "diubah: aktif, nama pengguna, alamat email; aktif: ya → tidak"),
    ):
        content = operator.get(path, headers={"accept-language": language}).content.decode()
        assert text in content
        assert "is_active" not in content


def test_title_of_an_event_is_in_words() -> None:
    event = AuditEvent(action=Action.SIGNED_IN, created_at=datetime(2026, 2, 1, 5, tzinfo=UTC))
    assert str(event) == "signed in, Feb. 1, 2026, noon"


def test_details_are_escaped(operator: Client) -> None:
    audit_log.record(Action.SIGNED_IN, user_agent="<script>x</script>")
    content = operator.get(AUDIT).content.decode()
    assert "browser: &lt;script&gt;x" in content
    assert "<script>x" not in content
