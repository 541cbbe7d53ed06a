"""Write the history of devices, hospitals and API keys, and find retired devices in it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db.models import F, Max, OuterRef, Q, Subquery
from django.db.models.functions import NullIf

from devices import sql
from devices.models import ApiKey, Device, FormerName, Hospital, now
from devices.origin import Origin
from devices.prepared import Parameter, Prepared
from devices.reach import Reach

ADDED, CHANGED, REMOVED = "+", "~", "-"
RESTORED = "restored"  # the change reason of a device that was retired before

LAST_CHANGE = Device.history.filter(id=OuterRef("pk")).order_by("-history_id")


def _at_last_change(field: str) -> Subquery:
    return Subquery(LAST_CHANGE.values(field)[:1])


# The columns of a device's history that describe the device before the change (DeviceChangeRecord), by the change.
PREVIOUS_HOLDER = {"history_holder_before_id": _at_last_change("device_holder_id")}
REPLACED = {
    "history_name_before": NullIf(_at_last_change("device_name"), F("device_name")),
    "history_mac_before": NullIf(_at_last_change("device_mac"), F("device_mac")),
}
BEFORE: dict[str, dict[str, Any]] = {ADDED: {}, CHANGED: PREVIOUS_HOLDER | REPLACED, REMOVED: PREVIOUS_HOLDER}


def record(
    model: type[Device] | type[Hospital] | type[ApiKey],
    ids: Sequence[int],
    history_type: str,
    origin: Origin,
    history_change_reason: str | None = None,
) -> None:
    """Copy the rows, as they are now, into the model's history.

    Of devices that are changed or removed, the caller has locked the rows: the order of a device's changes is theirs.
    """
    if not ids:
        return
    same = {
        "history_type": history_type,
        "history_date": now(),
        "history_change_reason": history_change_reason,
        "history_user_id": origin.user_id,
        "history_api_key_id": origin.api_key and origin.api_key.pk,
        "history_through": origin.through.value,
        "history_address": origin.address,
        "history_request_id": origin.request_id,
    }
    target, rows = _copy(model, history_type, tuple(same))
    rows.insert_into(target, ids=sql.json_list(ids), **same)


@cache
def _copy(model: Any, history_type: str, same: Sequence[str]) -> tuple[str, Prepared]:
    """Return the columns of the history that a change fills, and the query of their values."""
    table = model.history.model._meta
    copied = sorted({field.attname for field in table.fields} & {field.attname for field in model._meta.fields})
    given: dict[str, Any] = {name: Parameter(name, table.get_field(name)) for name in same}
    expressions = given | BEFORE[history_type] if model is Device else given
    rows = model.objects.filter(pk__in=sql.any_id(Parameter("ids"))).order_by("pk")
    columns = f"{table.db_table} ({', '.join([*copied, *expressions])})"
    return columns, Prepared(rows.values_list(*copied, *expressions.values()), as_sent=True)


def retired(device_ids: Sequence[int], reach: Reach) -> list[Device]:
    """Return the devices with these ids as they were when they were retired, each with its hospital's successor.

    Those that were never retired, are registered again or are not within the scope are omitted.
    """
    last = Device.history.filter(id__in=sql.any_id(device_ids)).values("id").order_by().annotate(last=Max("pk"))
    gone = Device.history.filter(pk__in=last.values("last"), history_type=REMOVED)
    devices: dict[int, Device] = {row.id: row.instance for row in gone}
    holders = {pk: Hospital.objects.successor(pk) for pk in {device.device_holder_id for device in devices.values()}}
    for device in devices.values():
        device.device_holder = holders[device.device_holder_id]  # None also where the hospital is gone for good
    found = [devices[pk] for pk in device_ids if pk in devices]
    return [device for device in found if reach.includes(device.device_holder_id)]


def was_retired(device_id: int, reach: Reach) -> bool:
    """Return whether this was a device within the scope until it was retired.

    One query for every id: the time of the response does not reveal devices outside the scope.
    """
    last = Device.history.filter(id=device_id).order_by("-history_id").values("pk")[:1]
    gone = Device.history.filter(pk=Subquery(last), history_type=REMOVED)
    if reach.ids is not None:
        merged = FormerName.objects.filter(hospital__in=reach.ids).values("former_id")
        gone = gone.filter(Q(device_holder__in=reach.ids) | Q(device_holder__in=merged))
    return bool(gone.exists())
