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
from devices.tests.support.pruning import PAST, TIME, prune

pytestmark = pytest.mark.django_db


REST = [
    "0 counts of requests removed.",
    "0 expired sessions removed.",
    "0 failed sign-ins removed.",
    "0 rows of the old list of sign-ins removed.",
    "0 rows of the old list of failed sign-ins removed.",
    "0 files chosen for an import removed.",
    "0 events of the audit removed.",
]


def one(device: Device) -> Any:
    return Device.objects.filter(pk=device.pk)


def test_answers_are_removed_a_day_later_and_by_nothing_else(api: Api) -> None:
    for number in (1, 2):
        api.post("/api/devices", device_payload(number), **{"idempotency-key": str(number)})
    IdempotencyRecord.objects.filter(key="1").update(created_at=timezone.now() - timedelta(hours=25))
    api.post("/api/devices", device_payload(3), **{"idempotency-key": "3"})
    assert IdempotencyRecord.objects.count() == 3
    assert prune("--dry-run") == [f"Would be: {line}" for line in ["1 kept answers removed.", *REST]]
    assert prune() == ["1 kept answers removed.", *REST]
    assert set(IdempotencyRecord.objects.values_list("key", flat=True)) == {"2", "3"}
    assert Device.history.count() == 3


def test_changes_are_kept_unless_asked(api: Api) -> None:
    with days_ago(5000):
        [device] = register(device_payload(1))
        registry.update(one(device), {"device_name": "New"}, SYSTEM)
    prune()
    assert Device.history.count() == 2
    with pytest.raises(CommandError, match="--changes is too few days: Records are kept for 6 years"):
        prune("--changes", "0")


def test_of_old_changes_the_last_of_each_device_stays(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 2)
    with days_ago(PAST):
        a, b, gone = register(device_payload(1), device_payload(2), device_payload(3))
        for name in ("x", "y", "z"):
            registry.update(one(a), {"device_name": name}, SYSTEM)
        registry.retire(one(gone), SYSTEM)
    registry.update(one(b), {"device_name": "young"}, SYSTEM)
    rest = ["0 kept answers removed.", *REST, "4 changes removed."]
    assert prune(*TIME, "--dry-run") == [f"Would be: {line}" for line in rest]
    assert prune(*TIME)[-1] == "4 changes removed."
    kept = Device.history.order_by("history_id").values_list("history_type", "device_name")
    assert list(kept) == [("+", "Cuff 2"), ("~", "z"), ("-", "Cuff 3"), ("~", "young")]
    assert api.get(f"/api/device/{gone.pk}").status_code == 410
    assert [device.device_name for device in registry.restore([gone.pk], SYSTEM)] == ["Cuff 3"]
    assert prune(*TIME)[-1] == "0 changes removed."


def test_whoever_is_behind_begins_again_and_learns_of_every_device(api: Api) -> None:
    with days_ago(PAST):
        a, b = register(device_payload(1), device_payload(2))
        behind = api.get(f"{PATH}?size=1").json()["data"][0]["cursor"]
        registry.update(one(a), {"device_name": "New"}, SYSTEM)
    ahead = follow(api)[1]
    registry.update(one(b), {"device_name": "Young"}, SYSTEM)
    prune(*TIME)
    response = api.get(f"{PATH}?since={behind}")
    assert (response.status_code, errors(response)) == (410, [(None, "cursor_too_old")])
    assert [event["device"]["device_name"] for event in follow(api, ahead)[0]] == ["Young"]
    anew = [(event["action"], event["device"]["device_name"]) for event in follow(api, f"{PATH}?size=1")[0]]
    assert anew == [("created", "Cuff 2"), ("created", "New"), ("updated", "Young")]


def test_a_hospital_that_begins_again_hears_nothing_of_what_left_it_long_ago(api_a: Api, rs_b: Hospital) -> None:
    with days_ago(PAST):
        [device] = register(device_payload(1, device_holder="RS Harapan"))
        registry.transfer(one(device), rs_b, SYSTEM)
    register(device_payload(4, device_holder="RS Harapan"))
    registry.transfer(Device.objects.filter(device_name="Cuff 4"), rs_b, SYSTEM)
    prune(*TIME)
    events = [(event["action"], event["device"]["device_name"]) for event in follow(api_a)[0]]
    assert events == [("created", "Cuff 4"), ("deleted", "Cuff 4")]


def test_what_is_pruned_while_somebody_reads_is_not_passed_over(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from devices.history import feed

    [device] = register(device_payload(1))
    registry.update(one(device), {"device_name": "New"}, SYSTEM)
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
    """What is past its time, of each kind, and what is not, of each kind; each as a count of its rows."""
    sessions = import_module(django_settings.SESSION_ENGINE).SessionStore.get_model_class().objects
    user = get_user_model().objects.get(username="ratna@rs.example")
    for minutes in (20, 10):
        tried = {"username": str(minutes), "get_data": "", "post_data": "", "failures_since_start": 1}
        backdate(AccessAttempt, "attempt_time", timedelta(minutes=minutes), **tried)
    for minutes in (70, 50):
        backdate(ImportPreview, "created_at", timedelta(minutes=minutes), user=user, name="devices.csv", digest="")
    for upload in ImportPreview.objects.all():
        ImportPreviewRow.objects.create(preview=upload, number=1, action="new", data="{}")
    expire_session()
    models = (AccessAttempt, ImportPreview, ImportPreviewRow)
    return {"sessions": sessions.count, **{model.__name__: model.objects.count for model in models}}


def test_what_has_expired_is_removed_and_nothing_else(expired: dict[str, Callable[[], int]]) -> None:
    assert {name: count() for name, count in expired.items()} == dict.fromkeys(expired, 2)
    lines = [
        "1 expired sessions removed.",
        "1 failed sign-ins removed.",
        *REST[3:5],
        "1 files chosen for an import removed.",
        REST[-1],
    ]
    assert prune("--dry-run")[2:] == [f"Would be: {line}" for line in lines]
    assert {name: count() for name, count in expired.items()} == dict.fromkeys(expired, 2)
    assert prune()[2:] == lines
    assert {name: count() for name, count in expired.items()} == dict.fromkeys(expired, 1)
    assert AccessAttempt.objects.get().username == "10"
    assert prune()[2:] == REST[1:]


def test_what_the_lists_of_sign_ins_had_is_removed(db: None) -> None:
    for model in (AccessLog, AccessFailureLog):
        model.objects.create(username="typed by mistake")
    prune()
    assert not AccessLog.objects.exists()
    assert not AccessFailureLog.objects.exists()


def test_a_session_that_has_not_expired_goes_on(ratna: Client) -> None:
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
    assert prune("--dry-run")[-1] == "Would be: 1 events of the audit removed."
    settings.AUDIT_YEARS = 9
    assert prune("--dry-run")[-1] == "Would be: 0 events of the audit removed."
    with pytest.raises(CommandError, match="Records are kept for 9 years"):
        prune("--dry-run", *TIME)
    assert prune()[-1] == "0 events of the audit removed."
    assert AuditRetention.objects.get().years == 9
