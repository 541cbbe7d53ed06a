"""Hospitals, their aliases (former names) and their admins."""

from collections.abc import Iterable
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length, Trim
from django.db.models.lookups import LessThanOrEqual
from django.utils.translation import gettext_lazy as _

from devices.db import expressions
from devices.models.fields import now_ms
from devices.models.history import DEPARTED, DeviceHistoricalRecords
from devices.values.hospital_names import NO_HOSPITAL, fold_name
from devices.values.normalization import MAX_LENGTH
from devices.values.scope import Scope

MAX_WORDS = 8  # of a search; the rest of a longer text counts as one word


class HospitalQuerySet(models.QuerySet["Hospital"]):
    def by_name(self, names: Iterable[str]) -> dict[str, "Hospital"]:
        """Return the hospitals with these folded names, by folded name.

        An alias finds its hospital, unless another hospital now has the name. Unknown names are omitted.
        """
        wanted = set(names)
        found = {
            hospital.name_folded: hospital
            for hospital in self.filter(name_folded__in=expressions.in_texts(list(wanted)))
        }
        if missing := wanted - found.keys():
            former = HospitalAlias.objects.filter(
                name_folded__in=expressions.in_texts(list(missing)), hospital__in=self
            )
            found |= {row.name_folded: row.hospital for row in former.select_related("hospital")}
        return found

    def resolve(self, hospital_id: int | None) -> "Hospital | None":
        """Return the hospital with this id, or the hospital into which it was merged. None if there is neither."""
        return self.filter(Q(pk=hospital_id) | Q(former_names__former_id=hospital_id)).first() if hospital_id else None

    def ids_including_merged(self) -> list[int]:
        """Return the ids of these hospitals and of the hospitals merged into them. The history contains both."""
        former = HospitalAlias.objects.filter(hospital__in=self).values_list("former_id", flat=True)
        return [*self.values_list("pk", flat=True), *(former_id for former_id in former if former_id)]

    def in_scope(self, scope: Scope) -> Self:
        return self if scope.hospital_ids is None else self.filter(pk__in=scope.hospital_ids)

    def without_sandbox(self) -> Self:
        """Return the hospitals without the sandbox. Only the keys of the sandbox can see it in the API."""
        return self.filter(sandbox=False)

    def search(self, text: str) -> Self:
        """Return the hospitals with every word of the normalized text in their name or in a former name.

        The words can be in any order. Case is ignored.
        """
        found = self
        for word in text.split(" ", MAX_WORDS - 1):
            part = fold_name(word)
            former = HospitalAlias.objects.filter(name_folded__contains=part).values("hospital_id")
            found = found.filter(Q(name_folded__contains=part) | Q(pk__in=former))
        return found


class Hospital(models.Model):
    """A hospital. Two names that differ only in case, or are equal after normalization, mean the same hospital."""

    name = models.CharField(_("name"), max_length=MAX_LENGTH)
    # Python folds the name, because SQLite folds ASCII only. Folding makes at most three characters of one.
    name_folded = models.CharField(max_length=3 * MAX_LENGTH, unique=True, editable=False)
    address = models.CharField(_("address"), max_length=500, blank=True, db_default="")
    email = models.EmailField(_("email"), blank=True, db_default="")
    phone = models.CharField(_("phone"), max_length=50, blank=True, db_default="")
    region = models.CharField(_("region"), max_length=100, blank=True, db_default="")
    domain = models.CharField(_("domain"), max_length=253, blank=True, db_default="")
    sandbox = models.BooleanField(_("sandbox"), default=False, db_default=False, editable=False)
    admins = models.ManyToManyField(
        settings.AUTH_USER_MODEL, verbose_name=_("hospital admins"), related_name="hospitals", blank=True
    )
    created_at = models.DateTimeField(_("registered at"), default=now_ms, editable=False)
    updated_at = models.DateTimeField(_("changed at"), default=now_ms, editable=False)

    is_new = False  # whether the call that returned this object has registered the hospital, or would in a dry run

    objects = HospitalQuerySet.as_manager()
    history = DeviceHistoricalRecords()

    class Meta:
        verbose_name = _("hospital")
        verbose_name_plural = _("hospitals")
        constraints = [
            models.CheckConstraint(name="hospital_name_trimmed", condition=Q(name=Trim("name")) & ~Q(name="")),
            models.CheckConstraint(name="hospital_name_known", condition=~Q(name_folded__in=["", NO_HOSPITAL])),
            models.CheckConstraint(name="hospital_name_length", condition=LessThanOrEqual(Length("name"), MAX_LENGTH)),
            models.UniqueConstraint(name="hospital_sandbox_is_one", fields=["sandbox"], condition=Q(sandbox=True)),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: object, **kwargs: object) -> None:
        self.name_folded = fold_name(self.name)
        super().save(*args, **kwargs)  # type: ignore[arg-type]


def changes_in_scope(hospitals: HospitalQuerySet) -> Q:
    """Return the condition for changes of devices of these hospitals.

    It includes the changes by which a device left one of them.
    """
    ids = hospitals.ids_including_merged()
    return Q(device_holder_id__in=ids) | (DEPARTED & Q(history_previous_holder_id__in=ids))


class HospitalAlias(models.Model):
    """An alias of a hospital: its name before a rename, or the name of a hospital that was merged into it.

    Existing clients still send such names. After a merge, `former_id` is the id of the deleted hospital, which the
    history still contains.
    """

    hospital = models.ForeignKey(Hospital, on_delete=models.CASCADE, related_name="former_names")
    name = models.CharField(_("name"), max_length=MAX_LENGTH)
    name_folded = models.CharField(max_length=3 * MAX_LENGTH, unique=True)
    former_id = models.BigIntegerField(null=True, db_index=True)
    created_at = models.DateTimeField(default=now_ms)

    class Meta:
        verbose_name = _("former name")
        verbose_name_plural = _("former names")

    def __str__(self) -> str:
        return self.name
