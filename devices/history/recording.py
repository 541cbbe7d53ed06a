"""Write the history of devices, hospitals and API keys, and find retired devices in it. Decision 2 has the reasons."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from django.db.models import F, Max, OuterRef, Q, Subquery, TextField, Value
from django.db.models.functions import Coalesce, NullIf

from devices.access.actor import Actor
from devices.db import expressions
from devices.db.compiled import CompiledQuery, Parameter
from devices.models import ApiKey, Device, Hospital, HospitalAlias, now_ms
from devices.values.scope import Scope

CREATED, CHANGED, DELETED = "+", "~", "-"  # values of `history_type`
RESTORED = "restored"  # the change reason of a device that is registered again after it was retired

LAST_CHANGE = Device.history.filter(id=OuterRef("pk")).order_by("-history_id")


def _at_last_change(field: str) -> Subquery:
    return Subquery(LAST_CHANGE.values(field)[:1])


# The columns with the values before the change (DeviceHistoryContext), for each kind of change.
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


HOSPITALS: Any = ApiKey.hospitals.through.objects.filter(apikey_id=OuterRef("pk")).order_by().values("apikey_id")
HOSPITAL_IDS = Coalesce(
    Subquery(HOSPITALS.annotate(ids=expressions.JSONList("hospital_id")).values("ids")),
    Value("[]"),
    output_field=TextField(),
)


def record(
    model: type[Device] | type[Hospital] | type[ApiKey],
    ids: Sequence[int],
    history_type: str,
    actor: Actor,
    history_change_reason: str | None = None,
) -> None:
    """Copy the current rows with these ids to the model's history.

    history_type: CREATED, CHANGED or DELETED. Before a deletion, the caller records first and then deletes.

    The caller has locked devices that are changed or deleted, so the history has their changes in the right order.
    """
    if not ids:
        return
    context = {
        "history_type": history_type,
        "history_date": now_ms(),
        "history_change_reason": history_change_reason,
        "history_user_id": actor.user_id,
        "history_api_key_id": actor.api_key and actor.api_key.pk,
        "history_channel": actor.channel.value,
        "history_ip_address": actor.ip_address,
        "history_request_id": actor.request_id,
    }
    target, rows = _copy_query(model, history_type, tuple(context))
    rows.insert_into(target, ids=expressions.json_list(ids), **context)


@cache
def _copy_query(model: Any, history_type: str, context: Sequence[str]) -> tuple[str, CompiledQuery]:
    """Return the history table with its list of columns, and the query of their values.

    The parameters of the query are `ids` and the names of `context`.
    """
    table = model.history.model._meta
    copied = sorted({field.attname for field in table.fields} & {field.attname for field in model._meta.fields})
    values: dict[str, Any] = {name: Parameter(name, table.get_field(name)) for name in context}
    if model is Device:
        values |= PREVIOUS_VALUES[history_type]
    elif model is ApiKey:
        values["hospital_ids"] = HOSPITAL_IDS
    rows = model.objects.filter(pk__in=expressions.in_ids(Parameter("ids"))).order_by("pk")
    columns = f"{table.db_table} ({', '.join([*copied, *values])})"
    return columns, CompiledQuery(rows.values_list(*copied, *values.values()), raw=True)


def retired_devices(device_ids: Sequence[int], scope: Scope) -> list[Device]:
    """Return the retired devices with these ids, as they were when they were retired, in the order of the ids.

    After a merge, a device has the hospital that is left. Devices that were never retired, are registered again, or are
    out of scope are omitted.
    """
    last = Device.history.filter(id__in=expressions.in_ids(device_ids)).values("id").order_by().annotate(last=Max("pk"))
    retired = Device.history.filter(pk__in=last.values("last"), history_type=DELETED)
    devices: dict[int, Device] = {row.id: row.instance for row in retired}
    hospitals = {pk: Hospital.objects.resolve(pk) for pk in {device.device_holder_id for device in devices.values()}}
    for device in devices.values():
        device.device_holder = hospitals[device.device_holder_id]  # None also if the hospital no longer exists
    found = [devices[pk] for pk in device_ids if pk in devices]
    return [device for device in found if scope.allows(device.device_holder_id)]


def was_retired(device_id: int, scope: Scope) -> bool:
    """Return whether the device with this id is retired, and was in scope before.

    The same single query runs for every id, so the response time does not reveal devices outside the scope.
    """
    last = Device.history.filter(id=device_id).order_by("-history_id").values("pk")[:1]
    retired = Device.history.filter(pk=Subquery(last), history_type=DELETED)
    if scope.hospital_ids is not None:
        merged = HospitalAlias.objects.filter(hospital__in=scope.hospital_ids).values("former_id")
        retired = retired.filter(Q(device_holder__in=scope.hospital_ids) | Q(device_holder__in=merged))
    return bool(retired.exists())
