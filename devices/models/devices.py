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
from devices.models.hospitals import MAX_WORDS, Hospital, HospitalAlias
from devices.values import mac
from devices.values.device_types import DeviceType
from devices.values.hospital_names import NO_HOSPITAL, fold_name
from devices.values.normalization import MAX_LENGTH
from devices.values.scope import Scope

MIN_MAC_PART = 4  # characters of one of several words; the 2 of “Cuff 2” is in most MAC addresses
CLOCK_STEP = timedelta(milliseconds=1)  # `updated_at` increases with every change, even if the clock is set back


class DeviceQuerySet(models.QuerySet["Device"]):
    def in_scope(self, scope: Scope) -> Self:
        """Return the devices of the scope's hospitals; all devices if the scope is unrestricted."""
        if scope.hospital_ids is None:
            return self
        return (
            self.filter(device_holder=scope.default_hospital.pk)
            if scope.default_hospital
            else self.filter(device_holder__in=scope.hospital_ids)
        )

    def search(self, text: str, scope: Scope) -> Self:
        """Return the devices that have every word of the normalized text in their name, MAC address or hospital.

        The words can be in any order, and each in another column. Case is ignored. The whole text can also be a part of
        a MAC address, in any notation. Former names of a hospital count too. Only hospitals in the scope are searched.
        """
        return self.filter(search_condition(text, scope))

    def with_hospitals(self, *, lock: bool) -> Self:
        """Return the devices with their hospitals. With `lock`, the devices are locked until the transaction ends.

        With a lock, a second statement reads the hospitals: after a wait, PostgreSQL would return the new device with
        its old hospital. Without a lock, one statement reads both: a merge could delete the hospital before a second.
        """
        if lock:
            return self.select_for_update(of=("self",)).prefetch_related("device_holder")
        return self.select_related("device_holder")

    def lock(self) -> list[int]:
        """Lock the devices until the transaction ends, and return their ids in ascending order."""
        return list(self.order_by("pk").select_for_update(of=("self",)).values_list("pk", flat=True))

    def assign(self, at: datetime, **value: Any) -> list[int]:
        """Set a field of all devices to the value, and return the ids of the devices that had another value.

        The caller must record their history.
        """
        ids = self.exclude(**value).lock()
        updated_at = Case(When(updated_at__gte=at, then=F("updated_at") + CLOCK_STEP), default=Value(at))
        Device.objects.filter(pk__in=expressions.in_ids(ids)).update(**value, updated_at=updated_at)
        return ids


def search_condition(text: str, scope: Scope, mac_lookup: str = "contains") -> Q:
    """Return the condition of `DeviceQuerySet.search` for devices or their history.

    mac_lookup: the lookup for which the column of MAC addresses has an index.

    A separate query finds the hospitals: with a condition on their table, PostgreSQL would not use the indexes of the
    devices.
    """
    words = text.split(" ", MAX_WORDS - 1)
    hospitals = _find_hospitals([fold_name(word) for word in words], scope)
    found = Q()
    for word, ids in zip(words, hospitals, strict=True):
        in_word = _contains_name(word)
        if len(words) == 1 or len(word) >= MIN_MAC_PART:
            in_word |= _contains_mac(word, mac_lookup)
        if ids:
            in_word |= Q(expressions.IsAny("device_holder_id", ids))
        if fold_name(word) == NO_HOSPITAL:
            in_word |= Q(device_holder=None)
        found &= in_word
    return found | _contains_any(mac.mac_fragments(text), mac_lookup) if len(words) > 1 else found


def _find_hospitals(words: list[str], scope: Scope) -> list[list[int]]:
    """Return, for each word, the ids of the hospitals in scope with the word in their name or a former name."""
    parts: dict[str, Any] = {f"part{number}": word for number, word in enumerate(words)}
    rows = _hospitals_with_parts(scope, len(words)).fetch(**parts)
    return [list({pk: None for pk, name in rows if word in name}) for word in words]


@lru_cache(maxsize=1000)
def _hospitals_with_parts(scope: Scope, number: int) -> CompiledQuery:
    """Return the query for the ids and folded names of hospitals with one of the parameters part0, part1 …"""
    has_part = Q()
    for index in range(number):
        has_part |= Q(name_folded__contains=Parameter(f"part{index}"))
    current = Hospital.objects.in_scope(scope).filter(has_part).values_list("pk", "name_folded")
    former = HospitalAlias.objects.filter(has_part).values_list("hospital_id", "name_folded")
    if scope.hospital_ids is not None:
        former = former.filter(hospital__in=scope.hospital_ids)
    return CompiledQuery(current.union(former, all=True), raw=True)


def contains_text(text: str) -> Q:
    """Return the condition for devices whose name or MAC address contains the text. Case is ignored."""
    return _contains_name(text) | _contains_mac(text, "contains")


def _contains_name(text: str) -> Q:
    # SQLite's LIKE ignores case for ASCII only. Its regular expressions are those of Python.
    is_pattern = connection.vendor == "sqlite" and not text.isascii()
    return Q(device_name__iregex=re.escape(text)) if is_pattern else Q(device_name__icontains=text)


def _contains_mac(text: str, lookup: str) -> Q:
    return _contains_any([text.upper(), *mac.mac_fragments(text)], lookup)


def _contains_any(parts: list[str], lookup: str) -> Q:
    found = Q()
    for part in dict.fromkeys(parts):
        found |= Q(**{f"device_mac__{lookup}": part})
    return found


class Device(models.Model):
    """A device that can send vital signs.

    Only registry/devices.py and registry/hospitals.py write devices. They record the history of each change.
    """

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
        db_index=False,  # two other indexes begin with it
    )
    created_at = models.DateTimeField(_("registered at"), default=now_ms, editable=False)
    updated_at = models.DateTimeField(_("changed at"), default=now_ms, editable=False)

    objects = DeviceQuerySet.as_manager()
    history = DeviceHistoricalRecords(
        bases=[DeviceHistoryContext],
        verbose_name=_("change of a device"),
        verbose_name_plural=_("changes of devices"),
        no_db_index=["id", "device_holder", "device_name", "device_mac"],  # indexes below begin with the first two
        indexes=[
            models.Index(fields=["id", "history_id"], name="change_by_device"),
            models.Index(fields=["device_holder", "history_id"], name="change_by_holder"),
            models.Index(
                fields=["history_previous_holder", "history_id"], name="change_by_departure", condition=DEPARTED
            ),
            # For the filters of the admin. The most frequent value is excluded: reading the table backwards finds it.
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
        """Set `updated_at` to this time, or to a later one if the clock was set back."""
        self.updated_at = max(at, self.updated_at + CLOCK_STEP)
