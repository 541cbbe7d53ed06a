"""How many devices there are, exactly, and without a walk through them.

The database keeps the counts itself, in the transaction of whatever changes them (triggers/counts.py, decision 7).
"""

from collections.abc import Collection
from typing import Any

from django.db import connection, transaction
from django.db.models import BigIntegerField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.expressions import Col, ResolvedOuterRef
from django.db.models.functions import Cast, Coalesce
from django.db.models.lookups import Lookup
from django.db.models.sql import Query
from django.db.models.sql.where import AND

from devices import sql
from devices.models import Device, DeviceCount, Hospital
from devices.models.hospitals import IdOf
from devices.prepared import Parameter
from devices.triggers import counts as triggers

# What counts can be asked by: the columns of a device's query, and their names here.
BY_HOLDER = {
    Device._meta.get_field("device_holder"): "device_holder",
    Hospital._meta.get_field("name_folded"): "device_holder__name_folded",
}
KNOWN = BY_HOLDER | {Device._meta.get_field("device_type"): "device_type"}
TABLES = {Device._meta.db_table, Hospital._meta.db_table}


def known(devices: QuerySet[Any]) -> int | None:
    """Return the number where the counts have it: of devices by holders and types only, each by plain values."""
    rows = _rows(devices)
    return None if rows is None else rows.aggregate(number=Sum("number"))["number"] or 0


def expression(devices: QuerySet[Device]) -> Coalesce | None:
    """Return what is `known` in a form that another query can ask along with what it asks; null if there is none."""
    rows = _rows(devices)
    if rows is None:
        return None
    number = Cast(Sum("number"), BigIntegerField())
    return Coalesce(Subquery(rows.order_by().values("everywhere").annotate(total=number).values("total")), 0)


def by_holder_and_type(hospital_ids: Collection[int | None] | None = None) -> dict[tuple[int | None, str], int]:
    """Return the number of devices by hospital (None: no hospital) and type, of these hospitals or of all.

    One query, whose cost grows with the hospitals and not with the devices. What has no device is left out.
    """
    rows = DeviceCount.objects.filter(everywhere=False)
    if hospital_ids is not None:
        named = Q(device_holder__in=[pk for pk in hospital_ids if pk is not None])
        rows = rows.filter(named | Q(device_holder=None) if None in hospital_ids else named)
    numbers = rows.order_by().values_list("device_holder_id", "device_type").annotate(sum=Sum("number"))
    return {(holder, device_type): number for holder, device_type, number in numbers if number}


def differences() -> list[tuple[bool, int | None, str, int]]:
    """Return what the counts lack (or have too much): everywhere, holder, type and by how many, as of one instant."""
    with connection.cursor() as cursor:
        cursor.execute(triggers.DIFFERENCES)
        return [(bool(everywhere), *rest) for everywhere, *rest in cursor.fetchall()]


def repair() -> None:
    """Put the triggers in place where they are missing, and the counts right, whoever writes meanwhile."""
    with transaction.atomic():
        sql.queue_up()  # two who repaired at once would both add it
        triggers.install(connection)
        triggers.reconcile(connection)


def _rows(devices: QuerySet[Any]) -> QuerySet[DeviceCount] | None:
    """Return the rows whose sum is the number of devices, None if there are none such."""
    conditions = _conditions(devices.query) if devices.model is Device else None
    if conditions is None:
        return None
    everywhere = not any(field in BY_HOLDER for field, _condition in conditions)
    return DeviceCount.objects.filter(*(condition for _field, condition in conditions), everywhere=everywhere)


def _conditions(query: Query) -> list[tuple[Any, Q]] | None:
    """Return the query's conditions by their fields, all of which must hold; None if the counts do not know one.

    A value may be one of the query that the query set stands in, or one that is told later.
    """
    joined = {join.table_name for join in query.alias_map.values()}
    plain = not (query.is_sliced or query.distinct or query.combinator or query.group_by or query.extra_tables)
    if not plain or not joined <= TABLES or query.where.negated or query.where.connector != AND:
        return None
    conditions = []
    for lookup in query.where.children:
        if not isinstance(lookup, Lookup) or not isinstance(lookup.lhs, Col) or lookup.lhs.target not in KNOWN:
            return None
        value = lookup.rhs
        if isinstance(value, ResolvedOuterRef):
            value = OuterRef(value.name)  # type: ignore[attr-defined]  # unknown to django-stubs
        elif hasattr(value, "resolve_expression") and not isinstance(value, IdOf | Parameter):
            return None
        field = lookup.lhs.target
        conditions.append((field, Q(**{f"{KNOWN[field]}__{lookup.lookup_name}": value})))
    return conditions
