"""The counts of devices by hospital and type."""

from collections.abc import Collection, Mapping
from typing import Any, Self

from django.db import models
from django.db.models import OuterRef, Q, Subquery, Sum
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Coalesce

from devices.db import expressions
from devices.models.hospitals import Hospital
from devices.values.scope import Scope


class DeviceCountQuerySet(models.QuerySet["DeviceCount"]):
    def having(self, conditions: Mapping[str, Any]) -> Self:
        """Return the rows whose sum is the number of devices that meet the conditions.

        The keys are `scope` and `device_holder` (the id of a hospital, None: no hospital), `hospitals` (a list of ids
        or its Parameter) and `device_type`.
        """
        filters = [
            Q(device_holder__in=expressions.in_ids(value))
            if name == "hospitals"
            else Q(**{"device_holder" if name == "scope" else name: value})
            for name, value in conditions.items()
        ]
        return self.filter(*filters, is_total=conditions.keys() <= {"device_type"})

    def as_total(self) -> Any:
        """Return a `values_list` query set of the sum, for compiled SQL. It has no row if there are no devices."""
        total = Cast(Sum("number"), models.BigIntegerField())
        return self.order_by().values("is_total").annotate(total=total).values_list("total")

    def sum(self) -> int:
        """Return the sum of the rows, 0 if there are none."""
        return self.aggregate(total=Sum("number"))["total"] or 0

    def total(self, scope: Scope, **conditions: Any) -> int:
        """Return the number of devices in the scope that meet the conditions (see `having`)."""
        if scope.hospital_ids is not None:
            conditions["hospitals"] = scope.hospital_ids
        return self.having(conditions).sum()

    def by_holder_and_type(self, hospital_ids: Collection[int] | None) -> dict[tuple[int | None, str], int]:
        """Return the number of devices by hospital id (None: no hospital) and type.

        hospital_ids: count only the devices of these hospitals; None counts all devices.

        Combinations without devices are omitted.
        """
        rows = self.filter(is_total=False)
        if hospital_ids is not None:
            rows = rows.filter(device_holder__in=hospital_ids)
        numbers = rows.order_by().values_list("device_holder_id", "device_type").annotate(sum=Sum("number"))
        return {(holder, device_type): number for holder, device_type, number in numbers if number}


class DeviceCount(models.Model):
    """The number of devices of a type: in a hospital, without a hospital (null), or in total (`is_total`).

    Triggers maintain the rows (db/triggers/counts.py). On PostgreSQL, a count is the sum of several rows.
    """

    is_total = models.BooleanField(default=False)
    device_holder = models.ForeignKey(
        Hospital, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    device_type = models.CharField(max_length=16)
    number = models.BigIntegerField()

    objects = DeviceCountQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["is_total", "device_holder", "device_type"], name="count_by_holder")]

    def __str__(self) -> str:
        return f"{self.number:+d}"


def count_of_hospital() -> Coalesce:
    """Return the number of devices of a hospital, as an expression for a query set of hospitals.

    The expression has no SQL parameters. With them, PostgreSQL would plan a repeated statement each time. `= false`
    instead of `NOT is_total`, the SQL of Django for False: SQLite finds it in the index.
    """
    is_hospital = RawSQL("false", (), models.BooleanField())
    zero = RawSQL("0", (), models.BigIntegerField())
    rows = DeviceCount.objects.filter(is_total=is_hospital, device_holder=OuterRef("pk")).order_by()
    number = Cast(Sum("number"), models.BigIntegerField())
    return Coalesce(Subquery(rows.values("device_holder").annotate(sum=number).values("sum")), zero)
