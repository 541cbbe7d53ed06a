"""History tables, their additional columns, and the state of the change feed."""

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from devices.values.normalization import MAX_LENGTH


class Channel(models.TextChoices):
    """The part of the registry through which a change came."""

    API = "api", _("API")
    ADMIN = "admin", _("Admin")
    IMPORT = "import", _("Import")
    COMMAND = "command", _("Command")


class HistoryContext(models.Model):
    """The context of a change: its channel, API key, IP address and request id. simple_history adds user and time."""

    history_channel = models.CharField(_("source"), max_length=8, choices=Channel, blank=True)
    history_api_key = models.ForeignKey(
        "devices.ApiKey",
        verbose_name=_("API key"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    history_ip_address = models.GenericIPAddressField(_("IP address"), null=True)
    history_request_id = models.CharField(_("request ID"), max_length=128, blank=True)

    class Meta:
        abstract = True


class ApiKeyHistoryContext(HistoryContext):
    """The context of a change of an API key, and the ids of its hospitals after the change as a JSON array."""

    hospital_ids = models.TextField(default="[]", db_default="[]")

    class Meta:
        abstract = True


class DeviceHistoryContext(HistoryContext):
    """The context of a change of a device, and the values before the change.

    `history_previous_holder` is the device's hospital before the change. It is null if there was none, and for a new
    or restored device (`+`). Unless the device was transferred, it equals `device_holder`. The changes of a hospital
    are those with the hospital as `device_holder`, and those by which a device left it (DEPARTED). An index finds both.

    `history_previous_name` and `history_previous_mac` are null unless the change replaced the value. So a search for
    former names reads few rows of history: retirements and replaced values.
    """

    history_previous_holder = models.ForeignKey(
        "devices.Hospital",
        verbose_name=_("previous hospital"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    history_previous_name = models.CharField(_("previous name"), max_length=MAX_LENGTH, null=True)  # noqa: DJ001
    history_previous_mac = models.CharField(_("previous MAC address"), max_length=64, null=True)  # noqa: DJ001

    class Meta:
        abstract = True


# DEPARTED: a device left its hospital. It is the condition of an index, which also finds HOLDER_CHANGED of a hospital.
PREVIOUS = F("history_previous_holder")
HOLDER_CHANGED = Q(device_holder__isnull=True) | Q(device_holder__lt=PREVIOUS) | Q(device_holder__gt=PREVIOUS)
DEPARTED = Q(history_previous_holder__isnull=False) & HOLDER_CHANGED


class DeviceHistoricalRecords(HistoricalRecords):
    """The history of a table with the columns of `bases` and with indexes, for which simple_history has no option."""

    def __init__(
        self,
        bases: Sequence[type[models.Model]] = (HistoryContext,),
        indexes: Sequence[models.Index] = (),
        **options: Any,
    ) -> None:
        super().__init__(
            bases=bases,
            history_id_field=models.BigAutoField(),
            history_change_reason_field=models.CharField(max_length=255, null=True),
            user_db_constraint=False,
            **options,
        )
        self.indexes = indexes

    def get_meta_options(self, model: type[models.Model]) -> dict[str, Any]:
        return {**super().get_meta_options(model), "indexes": list(self.indexes)}


class ChangeFeed(models.Model):
    """The state of the change feed: a single row, which is created when it is first needed."""

    key = models.BinaryField()  # encrypts the cursors, independently of SECRET_KEY, which can be rotated
    pruned_to = models.BigIntegerField(default=0)  # of changes up to this, only the last of each device may be left

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="changefeed_is_one", condition=Q(pk=1))]

    def __str__(self) -> str:
        return f"pruned to {self.pruned_to}"
