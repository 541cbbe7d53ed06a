"""Devices, and the search for them."""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Self

from django.db import connection, models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Length, Trim, Upper
from django.db.models.lookups import LessThanOrEqual
from django.utils.translation import gettext_lazy as _

from devices.db import expressions
from devices.db.compiled import CompiledQuery, Parameter
from devices.models.fields import now_ms
from devices.models.history import DEPARTED, DeviceHistoricalRecords, DeviceHistoryContext
from devices.models.hospitals import Hospital
from devices.values import mac
from devices.values.device_types import DeviceType
from devices.values.hospital_names import NO_HOSPITAL, fold_name
from devices.values.normalization import MAX_LENGTH
from devices.values.scope import Scope

CLOCK_STEP = timedelta(milliseconds=1)  # `updated_at` grows with every change, also when the clock was set back


class DeviceQuerySet(models.QuerySet["Device"]):
    def in_scope(self, scope: Scope) -> Self:
        """Return the devices within the scope."""
        if scope.hospital_ids is None:
            return self
        return (
            self.filter(device_holder=scope.default_hospital.pk)
            if scope.default_hospital
            else self.filter(device_holder__in=scope.hospital_ids)
        )

    def search(self, text: str, scope: Scope) -> Self:
        """Return the devices that have the text, in any case, in their name, their MAC or the name of their hospital.

        Only hospitals within the scope are searched. They are found first: a condition on their table would keep
        PostgreSQL from using the indexes of the devices.
        """
        found = contains_text(text)
        if hospitals := [pk for (pk,) in _hospitals_with_part(scope).fetch(part=fold_name(text))]:
            found |= Q(device_holder__in=hospitals)
        if fold_name(text) == NO_HOSPITAL:
            found |= Q(device_holder=None)
        return self.filter(found)

    def with_hospitals(self, *, lock: bool) -> Self:
        """Return the devices with their hospitals, and lock the devices until the transaction ends.

        With a lock, the hospitals are read by a second statement: PostgreSQL would return the hospital of before with a
        device that it had to wait for. Without, by the same: the hospital may be merged before a second one.
        """
        if lock:
            return self.select_for_update(of=("self",)).prefetch_related("device_holder")
        return self.select_related("device_holder")

    def lock(self) -> list[int]:
        """Lock the devices until the transaction ends; return their ids."""
        return list(self.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))

    def assign(self, at: datetime, **value: Any) -> list[int]:
        """Give all devices the value, and return the ids of those that had another. The caller writes their history."""
        ids = self.exclude(**value).lock()
        updated_at = Case(When(updated_at__gte=at, then=F("updated_at") + CLOCK_STEP), default=Value(at))
        Device.objects.filter(pk__in=expressions.in_ids(ids)).update(**value, updated_at=updated_at)
        return ids


@lru_cache(maxsize=1000)
def _hospitals_with_part(scope: Scope) -> CompiledQuery:
    hospitals = Hospital.objects.in_scope(scope).filter(name_folded__contains=Parameter("part"))
    return CompiledQuery(hospitals.values_list("pk"), raw=True)


def contains_text(text: str) -> Q:
    """Return the condition for devices that have the text, in any case, in their name or MAC."""
    # SQLite's LIKE ignores the case of ASCII only. Its regular expressions are Python's.
    is_pattern = connection.vendor == "sqlite" and not text.isascii()
    found = Q(device_name__iregex=re.escape(text)) if is_pattern else Q(device_name__icontains=text)
    for part in dict.fromkeys([text.upper(), mac.parse_mac_fragment(text) or text.upper()]):
        found |= Q(device_mac__contains=part)
    return found


class Device(models.Model):
    """A device that may send vital signs. Only registry/devices.py and hospitals.py write it, with its history."""

    device_name = models.CharField(_("name"), max_length=MAX_LENGTH, unique=True)
    device_mac = models.CharField(_("MAC address"), max_length=64, unique=True)
    device_type = models.CharField(_("type"), max_length=16, choices=DeviceType)
    device_holder = models.ForeignKey(
        Hospital,
        verbose_name=_("hospital"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="devices",
        db_index=False,  # it begins two others
    )
    created_at = models.DateTimeField(_("registered at"), default=now_ms, editable=False)
    updated_at = models.DateTimeField(_("changed at"), default=now_ms, editable=False)

    objects = DeviceQuerySet.as_manager()
    history = DeviceHistoricalRecords(
        bases=[DeviceHistoryContext],
        verbose_name=_("change of a device"),
        verbose_name_plural=_("changes of devices"),
        no_db_index=["id", "device_holder", "device_name", "device_mac"],  # the first two begin these
        indexes=[
            models.Index(fields=["id", "history_id"], name="change_by_device"),
            models.Index(fields=["device_holder", "history_id"], name="change_by_holder"),
            models.Index(
                fields=["history_previous_holder", "history_id"], name="change_by_departure", condition=DEPARTED
            ),
            # What the admin filters by, but for what is most of the table: reading that backwards finds it at once.
            models.Index(fields=["history_type", "history_id"], name="change_by_type", condition=~Q(history_type="+")),
            models.Index(
                fields=["history_channel", "history_id"], name="change_by_channel", condition=~Q(history_channel="api")
            ),
        ],
    )

    class Meta:
        verbose_name = _("device")
        verbose_name_plural = _("devices")
        indexes = [
            models.Index(fields=["device_holder", "id"], name="device_by_holder"),
            models.Index(fields=["device_holder", "created_at"], name="device_by_holder_since"),
            models.Index(fields=["updated_at", "id"], name="device_by_change"),
            models.Index(fields=["created_at", "id"], name="device_by_registration"),
        ]
        constraints = [
            models.CheckConstraint(
                name="device_name_trimmed", condition=Q(device_name=Trim("device_name")) & ~Q(device_name="")
            ),
            models.CheckConstraint(
                name="device_name_length", condition=LessThanOrEqual(Length("device_name"), MAX_LENGTH)
            ),
            models.CheckConstraint(
                name="device_mac_normal",
                condition=Q(device_mac=Upper("device_mac"))
                & LessThanOrEqual(4, Length("device_mac"))
                & LessThanOrEqual(Length("device_mac"), 64),
            ),
            models.CheckConstraint(name="device_type_known", condition=Q(device_type__in=DeviceType.values)),
        ]

    def __str__(self) -> str:
        return self.device_name

    def touch(self, at: datetime) -> None:
        self.updated_at = max(at, self.updated_at + CLOCK_STEP)
