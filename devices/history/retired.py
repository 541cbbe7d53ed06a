"""The devices that are retired now, as the history has them. Decision 29 has the reasons."""

from typing import Any

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from devices.history.recording import DELETED
from devices.models import Device, Hospital, HospitalAlias
from devices.values.scope import Scope

Change = Device.history.model


def retired_now(scope: Scope) -> QuerySet[Any]:
    """Return the last change of each device that is retired and was in scope before, annotated with `hospital_name`.

    A device that was restored is not included. After a merge, a device has the hospital that is left.
    """
    later = Change.objects.filter(id=OuterRef("id"), history_id__gt=OuterRef("history_id"))
    rows = Change.objects.filter(~Exists(later), history_type=DELETED)
    if scope.hospital_ids is not None:
        rows = rows.filter(device_holder__in=Hospital.objects.in_scope(scope).ids_including_merged())
    # Not `device_holder__name`: Django would join the table, and omit devices of a hospital that was merged.
    name = Hospital.objects.filter(pk=OuterRef("device_holder_id")).values("name")
    merged = HospitalAlias.objects.filter(former_id=OuterRef("device_holder_id")).values("hospital__name")
    annotated: QuerySet[Any] = rows.annotate(hospital_name=Coalesce(Subquery(name[:1]), Subquery(merged[:1])))
    return annotated
