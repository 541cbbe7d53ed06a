"""Write the history of devices, hospitals and API keys, and find retired devices in it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db.models import F, Max, OuterRef, Q, Subquery
from django.db.models.functions import NullIf

from devices.access.actor import Actor
from devices.db import expressions
from devices.db.compiled import CompiledQuery, Parameter
from devices.models import ApiKey, Device, Hospital, HospitalAlias, now_ms
from devices.values.scope import Scope

CREATED, CHANGED, DELETED = "+", "~", "-"
RESTORED = "restored"  # the change reason of a device that was retired before

LAST_CHANGE = Device.history.filter(id=OuterRef("pk")).order_by("-history_id")


def _at_last_change(field: str) -> Subquery:
    return Subquery(LAST_CHANGE.values(field)[:1])


# The columns of a device's history that describe the device before the change (DeviceChangeRecord), by the change.
PREVIOUS_HOLDER = {"history_previous_holder_id": _at_last_change("device_holder_id")}
REPLACED = {
    "history_previous_name": NullIf(_at_last_change("device_name"), F("device_name")),
    "history_previous_mac": NullIf(_at_last_change("device_mac"), F("device_mac")),
}
PREVIOUS_VALUES: dict[str, dict[str, Any]] = {
    CREATED: {},
    CHANGED: PREVIOUS_HOLDER | REPLACED,
    DELETED: PREVIOUS_HOLDER,
}


def record(
    model: type[Device] | type[Hospital] | type[ApiKey],
    ids: Sequence[int],
    history_type: str,
    actor: Actor,
    history_change_reason: str | None = None,
) -> None:
    """Copy the rows, as they are now, into the model's history.

    Of devices that are changed or removed, the caller has locked the rows: the order of a device's changes is theirs.
    """
    if not ids:
        return
    same = {
        "history_type": history_type,
        "history_date": now_ms(),
        "history_change_reason": history_change_reason,
        "history_user_id": actor.user_id,
        "history_api_key_id": actor.api_key and actor.api_key.pk,
        "history_channel": actor.channel.value,
        "history_ip_address": actor.ip_address,
        "history_request_id": actor.request_id,
    }
    target, rows = _copy(model, history_type, tuple(same))
    rows.insert_into(target, ids=expressions.json_list(ids), **same)


@cache
def _copy(model: Any, history_type: str, same: Sequence[str]) -> tuple[str, CompiledQuery]:
    """Return the columns of the history that a change fills, and the query of their values."""
    table = model.history.model._meta
    copied = sorted({field.attname for field in table.fields} & {field.attname for field in model._meta.fields})
    given: dict[str, Any] = {name: Parameter(name, table.get_field(name)) for name in same}
    values = given | PREVIOUS_VALUES[history_type] if model is Device else given
    rows = model.objects.filter(pk__in=expressions.in_ids(Parameter("ids"))).order_by("pk")
    columns = f"{table.db_table} ({', '.join([*copied, *values])})"
    return columns, CompiledQuery(rows.values_list(*copied, *values.values()), raw=True)


def retired_devices(device_ids: Sequence[int], scope: Scope) -> list[Device]:
    """Return the devices with these ids as they were when they were retired, each with its hospital's successor.

    Those that were never retired, are registered again or are not within the scope are omitted.
    """
    last = Device.history.filter(id__in=expressions.in_ids(device_ids)).values("id").order_by().annotate(last=Max("pk"))
    gone = Device.history.filter(pk__in=last.values("last"), history_type=DELETED)
    devices: dict[int, Device] = {row.id: row.instance for row in gone}
    holders = {pk: Hospital.objects.resolve(pk) for pk in {device.device_holder_id for device in devices.values()}}
    for device in devices.values():
        device.device_holder = holders[device.device_holder_id]  # None also where the hospital is gone for good
    found = [devices[pk] for pk in device_ids if pk in devices]
    return [device for device in found if scope.allows(device.device_holder_id)]


def was_retired(device_id: int, scope: Scope) -> bool:
    """Return whether this was a device within the scope until it was retired.

    One query for every id: the time of the response does not reveal devices outside the scope.
    """
    last = Device.history.filter(id=device_id).order_by("-history_id").values("pk")[:1]
    gone = Device.history.filter(pk=Subquery(last), history_type=DELETED)
    if scope.hospital_ids is not None:
        merged = HospitalAlias.objects.filter(hospital__in=scope.hospital_ids).values("former_id")
        gone = gone.filter(Q(device_holder__in=scope.hospital_ids) | Q(device_holder__in=merged))
    return bool(gone.exists())
