"""All that is on record about one person, device, key or hospital: all of theirs, and nothing of others."""

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
KINDS = ("staffuser", "device", "apikey", "hospital")


def exported(tmp_path: Path, *arguments: str) -> list[dict[str, Any]]:
    file = tmp_path / "audit.jsonl"
    call_command("export_audit", *arguments, "--out", str(file), stderr=io.StringIO())
    return [json.loads(line) for line in file.read_text().splitlines()]


def summary(entries: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(entry["action"], entry["object_id"]) for entry in entries]


@pytest.fixture
def story(rs_a: Hospital, rs_b: Hospital, operator: Client, ratna: Client, api_a: Api) -> dict[str, int]:
    """Two people and two keys write, each of what is theirs and of what others have written."""
    operator.post(f"{LIST}add/", {**device_payload(1), "device_holder": rs_a.pk})
    operator.post(f"{LIST}add/", {**device_payload(2), "device_holder": rs_b.pk})
    first, second = Device.objects.order_by("pk").values_list("pk", flat=True)
    ratna.post(f"{LIST}{first}/change/", {**device_payload(1, device_name="Of Ratna"), "device_holder": rs_a.pk})
    api_a.patch(f"/api/device/{first}", {"device_type": "CORPORATE"})
    Api(issue("other").text).patch(f"/api/device/{second}", {"device_name": "=1+1"})
    ratna.get("/admin/devices/apikey/")
    ratna.post(f"{LIST}{first}/delete/", {"post": "yes"})
    return {"first": first, "second": second, "key": ApiKey.objects.get(hospital=rs_a).pk}


def test_of_a_person_it_has_what_they_did_and_what_was_done_about_them(tmp_path: Path, story: dict[str, int]) -> None:
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
    told = AuditEvent.objects.get(action=Action.EXPORTED)
    assert (told.object_type, told.object_id, told.details) == ("user", ratna.pk, {"entries": 6, "format": "jsonl"})
    assert summary(exported(tmp_path, "--user", ratna.username))[-1] == ("exported", ratna.pk)


def test_of_a_device_it_has_every_change_by_whomever(tmp_path: Path, story: dict[str, int]) -> None:
    entries = exported(tmp_path, "--device", str(story["first"]))
    assert [(entry["action"], entry["username"], entry["api_key_id"]) for entry in entries] == [
        ("device added", "operator", None),
        ("device changed", "ratna@rs.example", None),
        ("device changed", "", story["key"]),
        ("device removed", "ratna@rs.example", None),
    ]
    assert entries[2]["before"] == {"device_type": "CONSUMER"}


def test_of_a_key_it_has_what_was_done_with_it_and_about_it(tmp_path: Path, story: dict[str, int]) -> None:
    key = ApiKey.objects.get(pk=story["key"])
    api_keys.revoke(key, SYSTEM)
    entries = exported(tmp_path, "--key", str(key.pk))
    assert summary(entries) == [("key added", key.pk), ("device changed", story["first"]), ("key changed", key.pk)]
    assert entries[2]["before"] == {"revoked_at": None}
    assert key.digest not in json.dumps(entries)


def test_of_a_hospital_it_has_devices_keys_and_admins_of_those_merged_into_it_too(
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
    told = {entry["action"]: entry for entry in exported(tmp_path, "--hospital", "RS Sehat")}
    assert told["hospital removed"]["details"] == {"reason": f"merged into {rs_b.pk}"}
    assert len(exported(tmp_path, "--hospital", "RS Harapan")) > 10


def test_days_bound_it(tmp_path: Path) -> None:
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
    for none in ("yesterday", ""):
        with pytest.raises(CommandError, match="--since: Use a date"):
            exported(tmp_path, *of_device, f"--since={none}")


def test_what_is_pruned_while_it_is_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 1)
    with days_ago(PAST):
        [device] = register(device_payload(1))
        registry.update(Device.objects.all(), {"device_name": "New"}, SYSTEM)
    entries = export.export_of(device).entries()
    assert next(entries)["action"] == "device added"
    with retention.allow_pruning(retention.retention_cutoff()):
        Device.history.filter(history_type=recording.CHANGED).delete()
    assert list(entries) == []


def test_as_csv_no_cell_is_a_formula(tmp_path: Path, story: dict[str, int]) -> None:
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


def test_the_number_of_queries_grows_with_hundreds_of_entries_and_not_with_each(tmp_path: Path) -> None:
    register(*map(device_payload, range(3)))
    key = issue("ward app")
    api = Api(key.text)
    audit_log.record(Action.EXPORTED, obj=key.key)  # so that there is an entry of each kind
    numbers = []
    for _ in range(2):
        for number in range(5):
            api.post("/api/devices", device_payload(len(numbers) * 10 + number + 10))
        with CaptureQueriesContext(connection) as queries:
            exported(tmp_path, "--key", str(key.key.pk))
        numbers.append(len(queries))
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--user", "nobody"], "User nobody does not exist."),
        (["--device", "7"], "Device 7 does not exist."),
        (["--key", "7"], "API key 7 does not exist."),
        (["--hospital", "RS Tidak Ada"], "Hospital RS Tidak Ada does not exist."),
    ],
)
def test_what_is_not_there_is_told(tmp_path: Path, arguments: list[str], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        exported(tmp_path, *arguments)


# --- From the page of whom or what it is about


@pytest.fixture
def pages(story: dict[str, int], rs_b: Hospital) -> dict[str, str]:
    """The pages of one of each kind."""
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
def test_an_operator_downloads_what_the_command_writes(
    tmp_path: Path, story: dict[str, int], pages: dict[str, str], operator: Client, kind: str
) -> None:
    subjects = {
        "staffuser": ("--user", "ratna@rs.example"),
        "device": ("--device", str(story["second"])),
        "apikey": ("--key", str(story["key"])),
        "hospital": ("--hospital", "RS Sehat"),
    }
    written = exported(tmp_path, *subjects[kind])
    assert len(written) > 1
    response = operator.post(f"{pages[kind]}/audit-trail/", {"format": "jsonl"})
    name = f"audit-{kind}-{pages[kind].split('/')[-1]}-{timezone.localdate()}.jsonl"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert downloaded(response)[:-2] == written


@pytest.mark.parametrize("kind", KINDS)
def test_that_it_was_downloaded_is_on_record_before_any_of_it_leaves(
    pages: dict[str, str], operator: Client, kind: str
) -> None:
    assert operator.get(f"{pages[kind]}/audit-trail/").status_code == 200
    assert not AuditEvent.objects.filter(action=Action.EXPORTED).exists()
    response = operator.post(f"{pages[kind]}/audit-trail/", {"format": "jsonl"})
    told = AuditEvent.objects.get(action=Action.EXPORTED)
    assert (told.username, told.channel, told.ip_address) == ("operator", "admin", "127.0.0.1")
    assert (told.object_type, told.object_id) == (kind.replace("api", ""), int(pages[kind].split("/")[-1]))
    assert told.details == {"format": "jsonl"}
    assert downloaded(response)[-1]["action"] == Action.EXPORTED


def test_a_download_reads_no_further_than_it_is_taken(
    pages: dict[str, str], operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    as_json = export.to_json
    monkeypatch.setattr(export, "ROWS_AT_ONCE", 2)
    monkeypatch.setattr(export, "to_json", lambda entry: made.append(entry) or as_json(entry))
    chunks = operator.post(f"{pages['staffuser']}/audit-trail/", {"format": "jsonl"}).streaming_content
    assert next(chunks).count(b"\n") == len(made) == 2
    assert [chunk.count(b"\n") for chunk in chunks] == [2, 2, 1]


def test_of_some_days_as_a_table_it_is_what_the_command_writes(
    tmp_path: Path, story: dict[str, int], operator: Client
) -> None:
    page, file = f"/admin/devices/device/{story['second']}/audit-trail/", tmp_path / "audit.csv"
    with days_ago(3):
        registry.update(Device.objects.filter(pk=story["second"]), {"device_name": "Then"}, SYSTEM)
    day = str(timezone.localdate() - timedelta(days=3))
    days = [f"--since={day}", f"--until={day}", "--format=csv", f"--out={file}"]
    call_command("export_audit", f"--device={story['second']}", *days, stderr=io.StringIO())
    response = operator.post(page, {"format": "csv", "first": day, "last": day})
    assert b"".join(response.streaming_content) == file.read_bytes()
    assert [row["after"] for row in csv.DictReader(file.read_text("utf-8-sig").splitlines())] == [
        '{"device_name":"Then"}'
    ]
    details = AuditEvent.objects.filter(action=Action.EXPORTED, channel="admin").latest("pk").details
    assert details == {"format": "csv", "first": day, "last": day}


@pytest.mark.parametrize(
    ("days", "told"),
    [
        ({"first": "2026-02-02", "last": "2026-02-01"}, "This is before the first day."),
        ({"first": "yesterday"}, "Enter a valid date."),
    ],
)
def test_days_that_are_none_are_told_and_nothing_is_downloaded(
    story: dict[str, int], operator: Client, days: dict[str, str], told: str
) -> None:
    page = f"/admin/devices/device/{story['second']}/audit-trail/"
    assert told in operator.post(page, {"format": "csv", **days}).content.decode()
    assert not AuditEvent.objects.filter(action=Action.EXPORTED).exists()


def test_of_a_device_that_was_taken_out_it_is_downloaded_from_its_changes(
    tmp_path: Path, story: dict[str, int], operator: Client, ratna: Client
) -> None:
    registry.retire(Device.objects.filter(pk=story["second"]), SYSTEM)
    page = f"/admin/devices/historicaldevice/{Device.history.latest('pk').pk}/audit-trail/"
    changes = "/admin/devices/historicaldevice/"
    assert page in operator.get(changes).content.decode()
    assert "audit-trail" not in ratna.get(changes).content.decode()
    written = exported(tmp_path, "--device", str(story["second"]))
    response = operator.post(page, {"format": "jsonl"})
    assert f'filename="audit-device-{story["second"]}-' in response["Content-Disposition"]
    assert downloaded(response)[:-2] == written


def test_the_page_leads_operators_to_the_download_and_nobody_else(
    pages: dict[str, str], operator: Client, ratna: Client, rs_a: Hospital
) -> None:
    for page in pages.values():
        assert f'href="{page}/audit-trail/"' in operator.get(f"{page}/change/").content.decode()
    own = ratna.get(f"/admin/devices/hospital/{rs_a.pk}/change/")
    assert own.status_code == 200
    assert "audit-trail" not in own.content.decode()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pk", ["999999", "x"])
def test_of_what_is_not_there_nothing_is_downloaded(operator: Client, kind: str, pk: str) -> None:
    assert operator.post(f"/admin/devices/{kind}/{pk}/audit-trail/", {"format": "jsonl"}).status_code == 404
    assert not AuditEvent.objects.filter(action=Action.EXPORTED).exists()
