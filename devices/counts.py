"""The numbers of devices, exact and without counting them: triggers maintain them (triggers/counts.py, decision 7)."""

from collections.abc import Collection

from django.db import connection, transaction
from django.db.models import Sum

from devices import sql
from devices.models import DeviceCount
from devices.triggers import counts as triggers


def by_holder_and_type(hospital_ids: Collection[int] | None = None) -> dict[tuple[int | None, str], int]:
    """Return the number of devices by hospital (None: no hospital) and type, of these hospitals or of all.

    Combinations without devices are omitted.
    """
    rows = DeviceCount.objects.filter(everywhere=False)
    if hospital_ids is not None:
        rows = rows.filter(device_holder__in=hospital_ids)
    numbers = rows.order_by().values_list("device_holder_id", "device_type").annotate(sum=Sum("number"))
    return {(holder, device_type): number for holder, device_type, number in numbers if number}


def differences() -> list[tuple[bool, int | None, str, int]]:
    """Return the counts that are wrong: everywhere, holder, type, and what has to be added."""
    with connection.cursor() as cursor:
        cursor.execute(triggers.DIFFERENCES)
        return [(bool(everywhere), *rest) for everywhere, *rest in cursor.fetchall()]


def repair() -> None:
    """Install missing triggers and correct the counts, even while others write."""
    with transaction.atomic():
        sql.queue_up()  # two repairs at once would both add what is missing
        triggers.install(connection)
        triggers.reconcile(connection)
