"""Export the audit trail of one user, device, key or hospital: all of its records, and no others."""

import csv
import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.audit import audit_log, export, retention
from devices.audit.audit_log import Action
from devices.history import recording
from devices.models import ApiKey, AuditEvent, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import Api, issue
from devices.tests.support.clock import days_ago
from devices.tests.support.factories import device_payload, register
from devices.tests.support.pruning import PAST

pytestmark = pytest.mark.django_db

LIST = "/admin/devices/device/"
OBJECT_TYPES = {"staffuser": "user", "device": "device", "apikey": "key", "hospital": "hospital"}
KINDS = tuple(OBJECT_TYPES)


def exported(tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    file = tmp_path / "audit.jsonl"
    call_command("export_audit", *arguments, "--out", str(file), stderr=io.StringIO())
    return [json.loads(line) for line in file.read_text().splitlines()]


def summary(entries: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(entry["action"], entry["object_id"]) for entry in entries]


@pytest.fixture
def story(rs_a: Hospital, rs_b: Hospital, operator: Client, ratna: Client, api_a: Api) -> dict[str, int]:
    """Two users and two keys change devices, including devices that others have changed."""
    operator.post(f"{LIST}add/", {**device_payload(1), "device_holder": rs_a.pk})
    operator.post(f"{LIST}add/", {**device_payload(2), "device_holder": rs_b.pk})
    first, second = Device.objects.order_by("pk").values_list("pk", flat=True)
    ratna.post(f"{LIST}{first}/change/", {**device_payload(1, device_name="Of Ratna"), "device_holder": rs_a.pk})
    api_a.patch(f"/api/device/{first}", {"device_type": "CORPORATE"})
    Api(issue("other").text).patch(f"/api/device/{second}", {"device_name": "=1+1"})
    ratna.get("/admin/devices/apikey/")
    ratna.post(f"{LIST}{first}/delete/", {"post": "yes"})
    return {"first": first, "second": second, "key": ApiKey.objects.get(hospitals=rs_a).pk}


def test_trail_of_a_user_has_actions_by_and_on_the_user(tmp_path: Path, story: dict[str, int]) -> None:
    ratna = User.objects.get(first_name="Ibu Ratna")
    entries = exported(tmp_path, "--user", ratna.username)
    assert summary(entries) == [
        ("user_added", ratna.pk),
        ("hospital_admin_added", ratna.pk),
        ("signed_in", ratna.pk),
        ("device changed", story["first"]),
        ("denied", None),
        ("device removed", story["first"]),
    ]
    assert [entry["created_at"] for entry in entries] == sorted(entry["created_at"] for entry in entries)
    changed, denied, removed = entries[3:]
    assert (changed["before"], changed["after"]) == ({"device_name": "Cuff 1"}, {"device_name": "Of Ratna"})
    assert (changed["user_id"], changed["username"], changed["channel"]) == (ratna.pk, ratna.username, "admin")
    assert (changed["ip_address"], len(changed["request_id"])) == ("127.0.0.1", 32)
    assert denied["details"]["status"] == 403
    assert removed["before"]["device_type"] == "CORPORATE"
    assert removed["after"] == {}
    event = AuditEvent.objects.get(action=Action.EXPORTED)
    assert (event.object_type, event.object_id, event.details) == ("user", ratna.pk, {"entries": 6, "format": "jsonl"})
    assert summary(exported(tmp_path, "--user", ratna.username))[-1] == ("exported", ratna.pk)


def test_trail_of_a_device_has_every_change(tmp_path: Path, story: dict[str, int]) -> None:
    entries = exported(tmp_path, "--device", str(story["first"]))
    assert [(entry["action"], entry["username"], entry["api_key_id"]) for entry in entries] == [
        ("device added", "operator", None),
        ("device changed", "ratna@rs.example", None),
        ("device changed", "", story["key"]),
        ("device removed", "ratna@rs.example", None),
    ]
    assert entries[2]["before"] == {"device_type": "CONSUMER"}


def test_trail_of_a_key_has_actions_with_and_on_the_key(tmp_path: Path, story: dict[str, int]) -> None:
    key = ApiKey.objects.get(pk=story["key"])
    api_keys.revoke(key, SYSTEM)
    entries = exported(tmp_path, "--key", str(key.pk))
    assert summary(entries) == [("key added", key.pk), ("device changed", story["first"]), ("key changed", key.pk)]
    assert entries[2]["before"] == {"revoked_at": None}
    assert key.digest not in json.dumps(entries)


def test_trail_of_a_hospital_includes_merged_hospitals(
    tmp_path: Path, story: dict[str, int], rs_a: Hospital, rs_b: Hospital
) -> None:
    entries = exported(tmp_path, "--hospital", "rs harapan")
    ratna = User.objects.get(first_name="Ibu Ratna")
    assert summary(entries) == [
        ("hospital added", rs_a.pk),
        ("hospital_admin_added", ratna.pk),
        ("key added", story["key"]),
        ("device added", story["first"]),
        ("device changed", story["first"]),
        ("device changed", story["first"]),
        ("device removed", story["first"]),
    ]
    hospitals.merge([rs_a], rs_b, SYSTEM)
    entries_by_action = {entry["action"]: entry for entry in exported(tmp_path, "--hospital", "RS Sehat")}
    assert entries_by_action["hospital removed"]["details"] == {"reason": f"merged into {rs_b.pk}"}
    assert len(exported(tmp_path, "--hospital", "RS Harapan")) > 10


def test_trail_of_a_hospital_has_changes_of_its_contact_data(tmp_path: Path, rs_a: Hospital) -> None:
    hospitals.update(rs_a, {"phone": "+62 22 555 0100", "domain": "rs.example"}, SYSTEM)
    entry = exported(tmp_path, "--hospital", "rs harapan")[-1]
    assert (entry["before"], entry["after"]) == (
        {"phone": "", "domain": ""},
        {"phone": "+62 22 555 0100", "domain": "rs.example"},
    )


def test_trail_is_limited_by_days(tmp_path: Path) -> None:
    with days_ago(10):
        [device] = register(device_payload(1))
    with days_ago(5):
        registry.update(Device.objects.all(), {"device_name": "New"}, SYSTEM)
    registry.retire(Device.objects.all(), SYSTEM)
    day = date.today() - timedelta(days=7)  # noqa: DTZ011  (three days from either)
    of_device = ["--device", str(device.pk)]
    assert len(exported(tmp_path, *of_device)) == 3
    assert [entry["action"] for entry in exported(tmp_path, *of_device, "--until", f"{day}")] == ["device added"]
    assert len(exported(tmp_path, *of_device, "--since", f"{day}")) == 4  # with the two exports before it
    assert len(exported(tmp_path, *of_device, "--since=0001-01-01", "--until=9998-12-31")) == 6
    for invalid in ("yesterday", ""):
        with pytest.raises(CommandError, match="--since: Use a date"):
            exported(tmp_path, *of_device, f"--since={invalid}")


def test_rows_pruned_during_an_export_are_omitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "BATCH_SIZE", 1)
    with days_ago(PAST):
        [device] = register(device_payload(1))
        registry.update(Device.objects.all(), {"device_name": "New"}, SYSTEM)
    entries = export.export_of(device).entries()
    assert next(entries)["action"] == "device added"
    with retention.allow_pruning(retention.retention_cutoff()):
        Device.history.filter(history_type=recording.CHANGED).delete()
    assert list(entries) == []


def test_csv_has_no_formula(tmp_path: Path, story: dict[str, int]) -> None:
    file = tmp_path / "audit.csv"
    audit_log.record(Action.EXPORTED, user=User(username="=cmd|x"), obj=Device(pk=story["second"]))
    call_command(
        "export_audit", "--device", str(story["second"]), "--format=csv", f"--out={file}", stderr=io.StringIO()
    )
    rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines()))
    assert [row["action"] for row in rows] == ["device added", "device changed", "exported"]
    assert json.loads(rows[1]["after"]) == {"device_name": "=1+1"}
    assert rows[2]["username"] == "'=cmd|x"
    assert tuple(rows[0]) == export.COLUMNS


def test_number_of_queries_does_not_grow_with_each_entry(tmp_path: Path) -> None:
    register(*map(device_payload, range(3)))
    key = issue("ward app")
    api = Api(key.text)
    audit_log.record(Action.EXPORTED, obj=key.key)  # one entry of each kind
    numbers: list[int] = []
    for _ in range(2):
        for number in range(5):
            api.post("/api/devices", device_payload(len(numbers) * 10 + number + 10))
        with CaptureQueriesContext(connection) as queries:
            exported(tmp_path, "--key", str(key.key.pk))
        numbers.append(len(queries))
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user", "unknown-user"], "User unknown-user does not exist."),
        (["--device", "7"], "Device 7 does not exist."),
        (["--key", "7"], "API key 7 does not exist."),
        (["--hospital", "RS Tidak Ada"], "Hospital RS Tidak Ada does not exist."),
    ],
)
def test_missing_subject_is_an_error(tmp_path: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        exported(tmp_path, *arguments)


# --- Download from the page of the object


@pytest.fixture
def pages(story: dict[str, int], rs_b: Hospital) -> dict[str, str]:
    """The path of one object of each kind."""
    ids = {
        "staffuser": User.objects.get(first_name="Ibu Ratna").pk,
        "device": story["second"],
        "apikey": story["key"],
        "hospital": rs_b.pk,
    }
    return {kind: f"/admin/devices/{kind}/{ids[kind]}" for kind in KINDS}


def downloaded(response: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_download_equals_the_output_of_the_command(
    tmp_path: Path, story: dict[str, int], pages: dict[str, str], operator: Client, kind: str
) -> None:
    subjects = {
        "staffuser": ("--user", "ratna@rs.example"),
        "device": ("--device", str(story["second"])),
        "apikey": ("--key", str(story["key"])),
        "hospital": ("--hospital", "RS Sehat"),
    }
    lines = exported(tmp_path, *subjects[kind])
    assert len(lines) > 1
    response = operator.post(f"{pages[kind]}/audit-trail/", {"format": "jsonl"})
    name = f"audit-{kind}-{pages[kind].split('/')[-1]}-{timezone.localdate()}.jsonl"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert downloaded(response)[:-2] == lines


@pytest.mark.parametrize("kind", KINDS)
def test_download_is_recorded_before_it_starts(pages: dict[str, str], operator: Client, kind: str) -> None:
    assert operator.get(f"{pages[kind]}/audit-trail/").status_code == 200
    assert not AuditEvent.objects.filter(action=Action.EXPORTED).exists()
    response = operator.post(f"{pages[kind]}/audit-trail/", {"format": "jsonl"})
    event = AuditEvent.objects.get(action=Action.EXPORTED)
    assert (event.username, event.channel, event.ip_address) == ("operator", "admin", "127.0.0.1")
    assert (event.object_type, event.object_id) == (OBJECT_TYPES[kind], int(pages[kind].split("/")[-1]))
    assert event.details == {"format": "jsonl"}
    assert downloaded(response)[-1]["action"] == Action.EXPORTED


def test_download_is_read_in_batches_on_demand(
    pages: dict[str, str], operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[Any] = []
    to_json = export.to_json
    monkeypatch.setattr(export, "BATCH_SIZE", 2)
    monkeypatch.setattr(export, "to_json", lambda entry: converted.append(entry) or to_json(entry))
    response: Any = operator.post(f"{pages['staffuser']}/audit-trail/", {"format": "jsonl"})
    chunks = response.streaming_content
    assert next(chunks).count(b"\n") == len(converted) == 2
    assert [chunk.count(b"\n") for chunk in chunks] == [2, 2, 1]


def test_csv_download_of_some_days_equals_the_output_of_the_command(
    tmp_path: Path, story: dict[str, int], operator: Client
) -> None:
    page, file = f"/admin/devices/device/{story['second']}/audit-trail/", tmp_path / "audit.csv"
    with days_ago(3):
        registry.update(Device.objects.filter(pk=story["second"]), {"device_name": "Then"}, SYSTEM)
    day = str(timezone.localdate() - timedelta(days=3))
    days = [f"--since={day}", f"--until={day}", "--format=csv", f"--out={file}"]
    call_command("export_audit", f"--device={story['second']}", *days, stderr=io.StringIO())
    response: Any = operator.post(page, {"format": "csv", "first": day, "last": day})
    assert b"".join(response.streaming_content) == file.read_bytes()
    assert [row["after"] for row in csv.DictReader(file.read_text("utf-8-sig").splitlines())] == [
        '{"device_name":"Then"}'
    ]
    details = AuditEvent.objects.filter(action=Action.EXPORTED, channel="admin").latest("pk").details
    assert details == {"format": "csv", "first": day, "last": day}


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ({"first": "2026-02-02", "last": "2026-02-01"}, "The last day must not be before the first day."),
        ({"first": "yesterday"}, "Enter a valid date."),
    ],
)
def test_invalid_days_are_an_error_and_nothing_is_downloaded(
    story: dict[str, int], operator: Client, days: dict[str, str], message: str
) -> None:
    page = f"/admin/devices/device/{story['second']}/audit-trail/"
    assert message in operator.post(page, {"format": "csv", **days}).content.decode()
    assert not AuditEvent.objects.filter(action=Action.EXPORTED).exists()


def test_trail_of_a_retired_device_is_downloaded_from_its_changes(
    tmp_path: Path, story: dict[str, int], operator: Client, ratna: Client
) -> None:
    registry.retire(Device.objects.filter(pk=story["second"]), SYSTEM)
    page = f"/admin/devices/historicaldevice/{Device.history.latest('pk').pk}/audit-trail/"
    changes = "/admin/devices/historicaldevice/"
    assert page in operator.get(changes).content.decode()
    assert "audit-trail" not in ratna.get(changes).content.decode()
    lines = exported(tmp_path, "--device", str(story["second"]))
    response = operator.post(page, {"format": "jsonl"})
    assert f'filename="audit-device-{story["second"]}-' in response["Content-Disposition"]
    assert downloaded(response)[:-2] == lines


def test_only_operators_see_the_download_link(
    pages: dict[str, str], operator: Client, ratna: Client, rs_a: Hospital
) -> None:
    for page in pages.values():
        assert f'href="{page}/audit-trail/"' in operator.get(f"{page}/change/").content.decode()
    own = ratna.get(f"/admin/devices/hospital/{rs_a.pk}/change/")
    assert own.status_code == 200
    assert "audit-trail" not in own.content.decode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pk", ["999999", "x"])
def test_download_for_a_missing_object_returns_404(operator: Client, kind: str, pk: str) -> None:
    assert operator.post(f"/admin/devices/{kind}/{pk}/audit-trail/", {"format": "jsonl"}).status_code == 404
    assert not AuditEvent.objects.filter(action=Action.EXPORTED).exists()
