"""Keep records for the retention period, and remove expired rows with `prune`."""

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.management import CommandError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import registry
from devices.access.actor import SYSTEM
from devices.audit import retention
from devices.models import (
    AuditEvent,
    AuditRetention,
    ChangeFeed,
    Device,
    Hospital,
    IdempotencyRecord,
    ImportPreview,
    ImportPreviewRow,
)
from devices.tests.support.changes import PATH, follow
from devices.tests.support.client import Api, errors
from devices.tests.support.clock import days_ago
from devices.tests.support.factories import device_payload, register
from devices.tests.support.pruning import CHANGES, PAST, prune

pytestmark = pytest.mark.django_db


REST = [
    "0 rate-limit counters deleted.",
    "0 expired sessions deleted.",
    "0 failed sign-ins deleted.",
    "0 sign-ins logged by axes deleted.",
    "0 failed sign-ins logged by axes deleted.",
    "0 import previews deleted.",
    "0 audit log events deleted.",
]


def rows_of(device: Device) -> Any:
    return Device.objects.filter(pk=device.pk)


def test_idempotent_responses_are_removed_only_by_prune_after_a_day(api: Api) -> None:
    for number in (1, 2):
        api.post("/api/devices", device_payload(number), **{"idempotency-key": str(number)})
    IdempotencyRecord.objects.filter(key="1").update(created_at=timezone.now() - timedelta(hours=25))
    api.post("/api/devices", device_payload(3), **{"idempotency-key": "3"})
    assert IdempotencyRecord.objects.count() == 3
    assert prune("--dry-run") == [
        f"[dry run] {line.replace('deleted', 'would be deleted')}" for line in ["1 stored responses deleted.", *REST]
    ]
    assert prune() == ["1 stored responses deleted.", *REST]
    assert set(IdempotencyRecord.objects.values_list("key", flat=True)) == {"2", "3"}
    assert Device.history.count() == 3


def test_changes_are_removed_only_with_the_option(api: Api) -> None:
    with days_ago(5000):
        [device] = register(device_payload(1))
        registry.update(rows_of(device), {"device_name": "New"}, SYSTEM)
    prune()
    assert Device.history.count() == 2
    with pytest.raises(CommandError, match="--changes must not be less than 6 years: records are kept"):
        prune("--changes", "0")


def test_last_old_change_of_each_device_is_kept(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_SIZE", 2)
    with days_ago(PAST):
        a, b, gone = register(device_payload(1), device_payload(2), device_payload(3))
        for name in ("x", "y", "z"):
            registry.update(rows_of(a), {"device_name": name}, SYSTEM)
        registry.retire(rows_of(gone), SYSTEM)
    registry.update(rows_of(b), {"device_name": "young"}, SYSTEM)
    lines = ["0 stored responses deleted.", *REST, "4 changes deleted."]
    assert prune(*CHANGES, "--dry-run") == [
        f"[dry run] {line.replace('deleted', 'would be deleted')}" for line in lines
    ]
    assert prune(*CHANGES)[-1] == "4 changes deleted."
    remaining = Device.history.order_by("history_id").values_list("history_type", "device_name")
    assert list(remaining) == [("+", "Cuff 2"), ("~", "z"), ("-", "Cuff 3"), ("~", "young")]
    assert api.get(f"/api/device/{gone.pk}").status_code == 410
    assert [device.device_name for device in registry.restore([gone.pk], SYSTEM)] == ["Cuff 3"]
    assert prune(*CHANGES)[-1] == "0 changes deleted."


def test_client_behind_the_pruned_changes_starts_again_and_receives_every_device(api: Api) -> None:
    with days_ago(PAST):
        a, b = register(device_payload(1), device_payload(2))
        behind = api.get(f"{PATH}?size=1").json()["data"][0]["cursor"]
        registry.update(rows_of(a), {"device_name": "New"}, SYSTEM)
    ahead = follow(api)[1]
    registry.update(rows_of(b), {"device_name": "Young"}, SYSTEM)
    prune(*CHANGES)
    response = api.get(f"{PATH}?since={behind}")
    assert (response.status_code, errors(response)) == (410, [(None, "cursor_too_old")])
    assert [event["device"]["device_name"] for event in follow(api, ahead)[0]] == ["Young"]
    received = [(event["action"], event["device"]["device_name"]) for event in follow(api, f"{PATH}?size=1")[0]]
    assert received == [("created", "Cuff 2"), ("created", "New"), ("updated", "Young")]


def test_hospital_that_starts_again_receives_no_devices_that_left_before(api_a: Api, rs_b: Hospital) -> None:
    with days_ago(PAST):
        [device] = register(device_payload(1, device_holder="RS Harapan"))
        registry.transfer(rows_of(device), rs_b, SYSTEM)
    register(device_payload(4, device_holder="RS Harapan"))
    registry.transfer(Device.objects.filter(device_name="Cuff 4"), rs_b, SYSTEM)
    prune(*CHANGES)
    received = [(event["action"], event["device"]["device_name"]) for event in follow(api_a)[0]]
    assert received == [("created", "Cuff 4"), ("deleted", "Cuff 4")]


def test_pruning_during_a_read_returns_410_and_skips_no_change(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from devices.history import feed

    [device] = register(device_payload(1))
    registry.update(rows_of(device), {"device_name": "New"}, SYSTEM)
    cursor = api.get(f"{PATH}?size=1").json()["data"][0]["cursor"]
    read = feed.read_page

    def read_after_pruning(*args: Any, **kwargs: Any) -> Any:
        ChangeFeed.objects.update(pruned_to=feed.stable_watermark())
        return read(*args, **kwargs)

    monkeypatch.setattr(feed, "read_page", read_after_pruning)
    assert api.get(f"{PATH}?since={cursor}").status_code == 410


def expire_session() -> None:
    store = import_module(django_settings.SESSION_ENGINE).SessionStore()
    store.set_expiry(timedelta(days=-1))
    store.create()


def backdate(model: Any, field: str, age: timedelta, **values: Any) -> None:
    row = model.objects.create(**values)
    model.objects.filter(pk=row.pk).update(**{field: timezone.now() - age})


@pytest.fixture
def expired(rs_a: Hospital, ratna: Client) -> dict[str, Callable[[], int]]:
    """Create an expired and an unexpired row of each kind. Return a function that counts the rows of each kind."""
    sessions = import_module(django_settings.SESSION_ENGINE).SessionStore.get_model_class().objects
    user = get_user_model().objects.get(username="ratna@rs.example")
    for minutes in (20, 10):
        values = {"username": str(minutes), "get_data": "", "post_data": "", "failures_since_start": 1}
        backdate(AccessAttempt, "attempt_time", timedelta(minutes=minutes), **values)
    for minutes in (70, 50):
        backdate(ImportPreview, "created_at", timedelta(minutes=minutes), user=user, name="devices.csv", digest="")
    for upload in ImportPreview.objects.all():
        ImportPreviewRow.objects.create(preview=upload, number=1, action="new", data="{}")
    expire_session()
    models = (AccessAttempt, ImportPreview, ImportPreviewRow)
    return {"sessions": sessions.count, **{model.__name__: model.objects.count for model in models}}


def test_only_expired_rows_are_removed(expired: dict[str, Callable[[], int]]) -> None:
    assert {name: count() for name, count in expired.items()} == dict.fromkeys(expired, 2)
    lines = [
        "1 expired sessions deleted.",
        "1 failed sign-ins deleted.",
        *REST[3:5],
        "1 import previews deleted.",
        REST[-1],
    ]
    assert prune("--dry-run")[2:] == [f"[dry run] {line.replace('deleted', 'would be deleted')}" for line in lines]
    assert {name: count() for name, count in expired.items()} == dict.fromkeys(expired, 2)
    assert prune()[2:] == lines
    assert {name: count() for name, count in expired.items()} == dict.fromkeys(expired, 1)
    assert AccessAttempt.objects.get().username == "10"
    assert prune()[2:] == REST[1:]


def test_rows_of_the_former_sign_in_lists_are_removed(db: None) -> None:
    for model in (AccessLog, AccessFailureLog):
        model.objects.create(username="typed by mistake")
    prune()
    assert not AccessLog.objects.exists()
    assert not AccessFailureLog.objects.exists()


def test_unexpired_session_stays_valid(ratna: Client) -> None:
    prune()
    assert ratna.get("/admin/").status_code == 200


def test_a_dry_run_writes_nothing(expired: dict[str, Callable[[], int]], settings: Any) -> None:
    settings.AUDIT_YEARS = 9
    with CaptureQueriesContext(connection) as queries:
        prune("--dry-run", "--changes", "4000")
    statements = [query["sql"] for query in queries]
    assert [sql for sql in statements if not sql.startswith("SELECT")] == []
    assert AuditRetention.objects.get().years == 6


def test_a_dry_run_counts_by_the_retention_that_a_run_would_set(settings: Any) -> None:
    age = timedelta(days=7 * 365)
    AuditEvent.objects.create(action=AuditEvent.Action.EXPORTED, channel="command", created_at=timezone.now() - age)
    assert prune("--dry-run")[-1] == "[dry run] 1 audit log events would be deleted."
    settings.AUDIT_YEARS = 9
    assert prune("--dry-run")[-1] == "[dry run] 0 audit log events would be deleted."
    with pytest.raises(CommandError, match="records are kept"):
        prune("--dry-run", *CHANGES)
    assert prune()[-1] == "0 audit log events deleted."
    assert AuditRetention.objects.get().years == 9
