"""`after_restore` makes a restored backup safe to serve: ids, sessions, cursors, and a record of it."""

import io
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from devices.access.actor import SYSTEM
from devices.audit import audit_log
from devices.db.triggers import append_only
from devices.models import ApiKey, AuditEvent, ChangeFeed, Device, Hospital, Session
from devices.registry import hospitals
from devices.tests.support.client import Api, errors, issue
from devices.tests.support.factories import device_payload, register

FEED = "/api/devices/changes"
EXPIRED = (410, [(None, "cursor_too_old")])

pytestmark = pytest.mark.django_db


def after_restore(*arguments: str) -> str:
    out = io.StringIO()
    call_command("after_restore", *arguments, stdout=out)
    return out.getvalue()


def follow(api: Api, cursor: str | None = None, path: str = FEED) -> Any:
    return api.get(path + (f"?since={cursor}" if cursor else ""))


def lose(last: int, feed_key: bytes) -> None:
    """Lose the changes after this one, as a restored backup does. Its ids are those of the time of the backup."""
    lost = Device.history.filter(history_id__gt=last)
    Device.objects.filter(pk__in=list(lost.values_list("id", flat=True))).delete()
    append_only.remove(connection)
    lost.delete()
    append_only.install(connection)
    ChangeFeed.objects.update(key=feed_key)


def test_cursors_from_before_and_after_the_backup_return_410(api: Api, api_a: Api, rs_a: Hospital) -> None:
    old, _other = register(device_payload(1, device_holder=rs_a.name), device_payload(2))
    backup = {"last": Device.history.latest("history_id").history_id}
    of_device = f"/api/device/{old.pk}/changes"
    before = [follow(client).json()["pagination"]["cursor"] for client in (api, api_a)]
    each = follow(api, path=of_device).json()["data"][0]["cursor"]
    backup["feed_key"] = bytes(ChangeFeed.objects.get().key)
    register(device_payload(3))
    after = follow(api).json()["pagination"]["cursor"]
    lose(**backup)
    assert (follow(api, after).status_code, follow(api, before[0]).status_code) == (410, 200)
    after_restore()
    register(device_payload(4), device_payload(5), device_payload(6))
    for client, cursor, path in (
        (api, before[0], FEED),
        (api_a, before[1], FEED),
        (api, after, FEED),
        (api, each, of_device),
    ):
        response = follow(client, cursor, path)
        assert (response.status_code, errors(response)) == EXPIRED
    names = [event["device"]["device_name"] for event in follow(api).json()["data"]]
    assert names == ["Cuff 1", "Cuff 2", "Cuff 4", "Cuff 5", "Cuff 6"]
    assert follow(api, follow(api).json()["pagination"]["cursor"]).status_code == 200


def test_cursors_of_two_restores_of_the_same_backup_differ(api: Api) -> None:
    register(device_payload(1), device_payload(2))
    key = bytes(ChangeFeed.objects.get_or_create(pk=1, defaults={"key": b"k" * 32})[0].key)
    after_restore()
    first = follow(api).json()["data"][0]["cursor"]
    ChangeFeed.objects.update(key=key)  # the same backup is restored once more
    after_restore()
    assert follow(api, first).status_code == 410


def test_no_id_is_given_twice(rs_a: Hospital) -> None:
    [device] = register(device_payload(1))
    users, key = get_user_model().objects, issue("app").key
    user = users.create_user("ratna")
    change, event = Device.history.latest("history_id").history_id, AuditEvent.objects.latest("pk")
    assert "The next device gets an id above" in after_restore("--skip", "5000")
    [newer] = register(device_payload(2))
    assert newer.pk > device.pk + 5000
    assert Device.history.latest("history_id").history_id > change + 5000
    assert hospitals.get_or_create(["RS Baru"], SYSTEM)["rs baru"].pk > rs_a.pk + 5000
    assert issue("other").key.pk > key.pk + 5000
    assert ApiKey.history.latest("history_id").history_id > 5000
    assert users.create_user("ibu").pk > user.pk + 5000
    assert AuditEvent.objects.latest("pk").pk > event.pk + 5000


def test_repetition_skips_ids_again_and_never_goes_back() -> None:
    [device] = register(device_payload(1))
    for _time in range(3):
        after_restore("--skip", "10")
    [newer] = register(device_payload(2))
    assert newer.pk == device.pk + 31


def test_ids_of_tables_without_rows_are_skipped() -> None:
    """A backup can be from before the first device, and SQLite then has no number for the table."""
    after_restore("--skip", "100000")
    [device] = register(device_payload(1))
    assert device.pk > 100000


def test_sessions_end_and_an_event_is_recorded(operator: Client, ratna: Client) -> None:
    assert operator.get("/admin/").status_code == 200
    out = after_restore("--skip", "7")
    assert "2 sessions were ended." in out
    assert not Session.objects.exists()
    assert operator.get("/admin/").status_code == 302
    event = AuditEvent.objects.get(action="restored")
    assert (event.channel, event.details) == ("command", {"skipped": 7, "sessions": 2})


def test_failure_changes_nothing(api: Api, operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    register(device_payload(1))
    cursor = follow(api).json()["pagination"]["cursor"]
    monkeypatch.setattr(audit_log, "record", lambda *_args, **_details: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        after_restore()
    assert follow(api, cursor).status_code == 200
    assert Session.objects.exists()


def test_the_largest_number_can_be_skipped_again() -> None:
    """Tables of Django have smaller ids than those of the registry."""
    for _ in range(3):
        out = after_restore("--skip", str(10**8))
    assert "The next device gets an id above 30" in out


@pytest.mark.parametrize("number", ["0", "-1", str(10**8 + 1)])
def test_number_to_skip_is_limited(number: str) -> None:
    with pytest.raises(CommandError, match="--skip must be from 1 to"):
        after_restore("--skip", number)
