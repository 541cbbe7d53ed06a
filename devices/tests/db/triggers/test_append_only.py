"""The database rejects changes and deletions of records, also in plain SQL."""

from collections.abc import Callable
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import checks
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from devices import registry
from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.audit import audit_log, retention
from devices.audit.audit_log import Action
from devices.db.triggers import append_only
from devices.models import AuditEvent, AuditRetention, Device, Hospital
from devices.registry import hospitals
from devices.tests.support.client import issue
from devices.tests.support.clock import days_ago
from devices.tests.support.factories import device_payload, register
from devices.tests.support.pruning import CHANGES, PAST, prune

pytestmark = pytest.mark.django_db

POSTGRESQL = connection.vendor == "postgresql"


def run(statement: str) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
        return int(cursor.rowcount)


@pytest.fixture
def records(rs_a: Hospital, rs_b: Hospital) -> None:
    """Create at least one row in each append-only table."""
    register(device_payload(1))
    issue("ward app")
    audit_log.record(Action.EXPORTED, devices=1)


def number_of(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


@pytest.mark.parametrize("table", append_only.TABLES)
def test_plain_sql_cannot_change_or_delete_records(records: None, table: str) -> None:
    key, at = append_only.RECORDS.get(table, ("id", "pruning_before"))
    change = f"{at} = '2001-01-01 00:00:00+00:00'" if table in append_only.RECORDS else "years = years - 1"
    statements = [f"UPDATE {table} SET {change}", f"DELETE FROM {table}"]
    if POSTGRESQL:
        statements += [f"TRUNCATE {table}", f"TRUNCATE {table} RESTART IDENTITY CASCADE"]
    elif table in append_only.RECORDS:
        statements += [f"REPLACE INTO {table} SELECT * FROM {table}", f"UPDATE OR REPLACE {table} SET {key} = {key}"]
    before = number_of(table)
    assert before > 0
    for statement in statements:
        with pytest.raises(IntegrityError, match="cannot be deleted before the end of their retention"):
            run(statement)
    assert number_of(table) == before


@pytest.mark.skipif(not POSTGRESQL, reason="SQLite has no replication role")
def test_replication_role_cannot_delete_records(records: None) -> None:
    run("SET session_replication_role = 'replica'")
    try:
        with pytest.raises(IntegrityError):
            run("DELETE FROM devices_auditevent")
    finally:
        run("RESET session_replication_role")


def test_allowing_pruning_does_not_release_records_before_their_retention_ends(records: None) -> None:
    for table in append_only.RECORDS:
        with pytest.raises(IntegrityError), retention.allow_pruning(timezone.now() + timedelta(days=1)):
            run(f"DELETE FROM {table}")


def event_before(days: float) -> AuditEvent:
    """Create an event that is this number of days old."""
    return AuditEvent.objects.create(
        action=Action.EXPORTED, channel="command", created_at=timezone.now() - timedelta(days=days)
    )


def test_expired_records_can_be_deleted_only_while_prune_runs() -> None:
    old = event_before(PAST)
    with pytest.raises(IntegrityError), transaction.atomic():
        old.delete()
    with retention.allow_pruning(retention.retention_cutoff()):
        assert run(f"DELETE FROM devices_auditevent WHERE id = {old.pk}") == 1
    old = event_before(PAST)
    with pytest.raises(IntegrityError), transaction.atomic():
        old.delete()
    assert AuditRetention.objects.get().pruning_before is None


def test_prune_deletes_expired_events_and_records_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_SIZE", 2)
    for days in (PAST, PAST, PAST + 1, 2190, 0):
        event_before(days)
    with days_ago(PAST):
        register(device_payload(1))
    assert prune("--dry-run")[-1] == "[dry run] 3 audit log events would be deleted."
    assert prune()[-1] == "3 audit log events deleted."
    assert AuditEvent.objects.filter(action=Action.EXPORTED).count() == 2
    recorded = AuditEvent.objects.get(action=Action.PRUNED)
    assert (recorded.channel, recorded.details["events"]) == ("command", 3)
    assert Device.history.count() == 1
    assert prune()[-1] == "0 audit log events deleted."
    assert AuditEvent.objects.filter(action=Action.PRUNED).count() == 1


def test_record_of_pruning_is_never_pruned() -> None:
    AuditEvent.objects.create(action=Action.PRUNED, channel="command", created_at=timezone.now() - timedelta(days=9999))
    assert prune()[-1] == "0 audit log events deleted."
    assert AuditEvent.objects.count() == 1


def test_changes_are_not_pruned_before_their_retention_ends() -> None:
    with days_ago(2000):
        [device] = register(device_payload(1))
        registry.update(Device.objects.filter(pk=device.pk), {"device_name": "New"}, SYSTEM)
    with pytest.raises(CommandError, match="--changes must not be less than 6 years: records are kept"):
        prune("--changes", "730")
    assert Device.history.count() == 2
    assert prune(*CHANGES)[-1] == "0 changes deleted."


def test_retention_can_be_increased_but_not_reduced(settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    event_before(PAST)
    settings.AUDIT_YEARS = 7
    assert prune()[-1] == "0 audit log events deleted."
    raised = AuditEvent.objects.get(action=Action.RETENTION_EXTENDED)
    assert raised.details == {"before": 6, "after": 7}
    settings.AUDIT_YEARS = 1
    assert prune()[-1] == "0 audit log events deleted."
    assert "Records are kept for 7 years" in capsys.readouterr().err
    with pytest.raises(IntegrityError), transaction.atomic():
        AuditRetention.objects.update(years=1)


def test_check_reports_missing_triggers_and_migrate_restores_them(records: None) -> None:
    def problems() -> list[str]:
        return [str(problem.id) for problem in checks.run_checks(databases=["default"], tags=[checks.Tags.database])]

    assert problems() == []
    table = "devices_auditevent"
    for loss in _losses(table):
        loss()
        assert problems() == ["devices.W001"]
        call_command("migrate", verbosity=0)
        assert problems() == []
        with pytest.raises(IntegrityError):
            run(f"DELETE FROM {table}")


def _losses(table: str) -> list[Callable[[], object]]:
    name = f"{table}_stays_delete"
    if not POSTGRESQL:
        return [lambda: run(f"DROP TRIGGER {name}"), lambda: append_only.remove(connection)]
    return [
        lambda: run(f"DROP TRIGGER {name} ON {table}"),
        lambda: run(f"ALTER TABLE {table} DISABLE TRIGGER {name}"),
        lambda: append_only.remove(connection),
    ]


@pytest.mark.django_db(transaction=True)
def test_flush_is_rejected_and_migrate_protects_a_recreated_table(records: None) -> None:
    with pytest.raises((CommandError, IntegrityError)):
        call_command("flush", interactive=False, verbosity=0)
    assert Device.history.count() == 1
    if not POSTGRESQL:
        with _without_constraint_checks(), connection.schema_editor() as editor:
            recreate: Any = editor
            recreate._remake_table(AuditEvent)
        call_command("migrate", verbosity=0)
    with pytest.raises(IntegrityError):
        run("DELETE FROM devices_auditevent")


@contextmanager
def _without_constraint_checks() -> Any:
    with connection.constraint_checks_disabled():
        yield


def test_registry_functions_work_with_append_only_triggers(rs_a: Hospital, rs_b: Hospital, operator: Client) -> None:
    """Call every function that writes while the triggers are installed."""
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    key = issue("ward app", hospitals=[rs_a]).key
    api_keys.rotate(key, SYSTEM)
    hospitals.rename(rs_a, "RS Harapan Baru", SYSTEM)
    hospitals.merge([rs_a], rs_b, SYSTEM)
    registry.retire(Device.objects.all(), SYSTEM)
    registry.restore([device.pk], SYSTEM)
    api_keys.revoke(key, SYSTEM)
    assert Device.history.count() == 5


def test_user_with_recorded_changes_cannot_be_deleted(operator: Client) -> None:
    operator.post("/admin/devices/device/add/", {**device_payload(1), "device_holder": ""})
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.get(username="operator").delete()
    assert Device.history.get().history_user.username == "operator"
