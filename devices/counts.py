"""How many devices there are, exactly, and without a walk through them.

The database keeps the counts itself, in the transaction of whatever changes them (triggers/counts.py, decision 7).
"""

from collections.abc import Collection

from django.db import connection, transaction
from django.db.models import Q, Sum

from devices import sql
from devices.models import DeviceCount
from devices.triggers import counts as triggers


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
