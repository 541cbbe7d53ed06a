"""Write the history of devices, hospitals and keys, with what a change replaced; and tell from it who is gone."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import NullIf

from devices import sql
from devices.models import ApiKey, Device, FormerName, Hospital, now
from devices.origin import Origin
from devices.reach import Reach

ADDED, CHANGED, REMOVED = "+", "~", "-"
RESTORED = "restored"  # the change reason that tells a restored device from a new one

LAST_CHANGE = Device.history.filter(id=OuterRef("pk")).order_by("-history_id")


def _at_last_change(field: str) -> Subquery:
    return Subquery(LAST_CHANGE.values(field)[:1])


# What history tells of a device as it was before a change, by the kind of the change. See DeviceChangeRecord.
NOTHING = dict.fromkeys(("history_holder_before_id", "history_name_before", "history_mac_before"))
HELD = {"history_holder_before_id": _at_last_change("device_holder_id")}
REPLACED = {
    "history_name_before": NullIf(_at_last_change("device_name"), F("device_name")),
    "history_mac_before": NullIf(_at_last_change("device_mac"), F("device_mac")),
}
BEFORE: Mapping[str, Mapping[str, Any]] = {ADDED: NOTHING, CHANGED: HELD | REPLACED, REMOVED: NOTHING | HELD}


def record(
    model: type[Device] | type[Hospital] | type[ApiKey],
    ids: Sequence[int],
    history_type: str,
    origin: Origin,
    history_change_reason: str | None = None,
) -> None:
    """Write the rows, as they stand, into the model's history.

    Of devices that are changed or removed, the caller has locked the rows: the order of a device's changes is theirs.
    """
    if not ids:
        return
    more = BEFORE[history_type] if model is Device else {}
    sql.record_history(
        model,
        ids,
        history_type,
        now(),
        history_change_reason=history_change_reason,
        history_user_id=origin.user_id,
        history_api_key_id=origin.api_key and origin.api_key.pk,
        history_through=origin.through.value,
        history_address=origin.address,
        history_request_id=origin.request_id,
        **more,
    )


def was_retired(device_id: int, reach: Reach) -> bool:
    """Tell whether this was a device within the reach, until somebody took it out of the registry.

    One query, whosever it is or was: how long the answer takes tells nothing of what is beyond the reach.
    """
    last = Device.history.filter(id=device_id).order_by("-history_id").values("pk")[:1]
    gone = Device.history.filter(pk=Subquery(last), history_type=REMOVED)
    if reach.ids is not None:
        merged = FormerName.objects.filter(hospital__in=reach.ids).values("former_id")
        gone = gone.filter(Q(device_holder__in=reach.ids) | Q(device_holder__in=merged))
    return bool(gone.exists())
