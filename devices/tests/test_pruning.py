import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from devices import pruning, registry
from devices.models import ChangeFeed, Device, Hospital, RememberedAnswer
from devices.origin import COMMAND
from devices.tests.conftest import Api, days_ago, draft, errors, register
from devices.tests.test_api_changes import PATH, follow

pytestmark = pytest.mark.django_db


def prune(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("prune", *arguments, stdout=out)
    return out.getvalue().splitlines()


TIME = ["--changes", "2200"]  # six years, and some days
PAST = 2201
NO_EVENTS = "{}0 events of the audit removed."


def one(device: Device) -> Any:
    return Device.objects.filter(pk=device.pk)


def test_answers_are_removed_a_day_later_and_by_nothing_else(api: Api) -> None:
    for number in (1, 2):
        api.post("/api/devices", draft(number), **{"idempotency-key": str(number)})
    RememberedAnswer.objects.filter(key="1").update(created_at=timezone.now() - timedelta(hours=25))
    api.post("/api/devices", draft(3), **{"idempotency-key": "3"})
    assert RememberedAnswer.objects.count() == 3
    assert prune("--dry-run") == ["Would be: 1 kept answers removed.", NO_EVENTS.format("Would be: ")]
    assert prune() == ["1 kept answers removed.", NO_EVENTS.format("")]
    assert set(RememberedAnswer.objects.values_list("key", flat=True)) == {"2", "3"}
    assert Device.history.count() == 3


def test_changes_are_kept_unless_asked(api: Api) -> None:
    with days_ago(5000):
        [device] = register(draft(1))
        registry.update(one(device), {"device_name": "New"}, COMMAND)
    prune()
    assert Device.history.count() == 2
    with pytest.raises(CommandError, match="--changes must be at least 1 day"):
        prune("--changes", "0")


def test_of_old_changes_the_last_of_each_device_stays(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "ROWS_AT_ONCE", 2)
    with days_ago(PAST):
        a, b, gone = register(draft(1), draft(2), draft(3))
        for name in ("x", "y", "z"):
            registry.update(one(a), {"device_name": name}, COMMAND)
        registry.retire(one(gone), COMMAND)
    registry.update(one(b), {"device_name": "young"}, COMMAND)
    assert prune(*TIME, "--dry-run") == [
        "Would be: 0 kept answers removed.",
        "Would be: 0 events of the audit removed.",
        "Would be: 4 changes removed.",
    ]
    assert prune(*TIME)[2] == "4 changes removed."
    kept = Device.history.order_by("history_id").values_list("history_type", "device_name")
    assert list(kept) == [("+", "Cuff 2"), ("~", "z"), ("-", "Cuff 3"), ("~", "young")]
    assert api.get(f"/api/device/{gone.pk}").status_code == 410
    assert registry.restore(gone.pk, COMMAND).device_name == "Cuff 3"
    assert prune(*TIME)[2] == "0 changes removed."


def test_whoever_is_behind_begins_again_and_learns_of_every_device(api: Api) -> None:
    with days_ago(PAST):
        a, b = register(draft(1), draft(2))
        behind = api.get(f"{PATH}?size=1").json()["data"][0]["cursor"]
        registry.update(one(a), {"device_name": "New"}, COMMAND)
    ahead = follow(api)[1]
    registry.update(one(b), {"device_name": "Young"}, COMMAND)
    prune(*TIME)
    response = api.get(f"{PATH}?since={behind}")
    assert (response.status_code, errors(response)) == (410, [(None, "cursor_too_old")])
    assert [event["device"]["device_name"] for event in follow(api, ahead)[0]] == ["Young"]
    anew = [(event["action"], event["device"]["device_name"]) for event in follow(api, f"{PATH}?size=1")[0]]
    assert anew == [("created", "Cuff 2"), ("created", "New"), ("updated", "Young")]


def test_a_hospital_that_begins_again_hears_nothing_of_what_left_it_long_ago(api_a: Api, rs_b: Hospital) -> None:
    with days_ago(PAST):
        [device] = register(draft(1, device_holder="RS Harapan"))
        registry.transfer(one(device), rs_b, COMMAND)
    register(draft(4, device_holder="RS Harapan"))
    registry.transfer(Device.objects.filter(device_name="Cuff 4"), rs_b, COMMAND)
    prune(*TIME)
    told = [(event["action"], event["device"]["device_name"]) for event in follow(api_a)[0]]
    assert told == [("created", "Cuff 4"), ("deleted", "Cuff 4")]


def test_what_is_pruned_while_somebody_reads_is_not_passed_over(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from devices import feed

    [device] = register(draft(1))
    registry.update(one(device), {"device_name": "New"}, COMMAND)
    cursor = api.get(f"{PATH}?size=1").json()["data"][0]["cursor"]
    read = feed.read

    def read_after_pruning(*args: Any, **kwargs: Any) -> Any:
        ChangeFeed.objects.update(pruned_to=feed.settled())
        return read(*args, **kwargs)

    monkeypatch.setattr(feed, "read", read_after_pruning)
    assert api.get(f"{PATH}?since={cursor}").status_code == 410
