"""What history tells of a change besides the values, and the history that a table here has."""

from collections.abc import Sequence
from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from devices.drafts import MAX_LENGTH


class Through(models.TextChoices):
    API = "api", _("API")
    ADMIN = "admin", _("Admin")
    IMPORT = "import", _("Import")
    COMMAND = "command", _("Command")


class ChangeRecord(models.Model):
    """What a row of history tells besides the values: through what, by which key, from where, in which request."""

    history_through = models.CharField(_("through"), max_length=8, choices=Through, blank=True)
    history_api_key = models.ForeignKey(
        "devices.ApiKey",
        verbose_name=_("API key"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    history_address = models.GenericIPAddressField(_("address"), null=True)
    history_request_id = models.CharField(_("request"), max_length=128, blank=True)

    class Meta:
        abstract = True


class DeviceChangeRecord(ChangeRecord):
    """What a row of a device's history tells besides.

    `history_holder_before` is the hospital that held the device just before this change: null if none did, and for a
    device that was not registered then (`+`, also when it was restored). It is filled for every kind of change, so it
    is the same as `device_holder` unless the device changed hands. The changes of one hospital, in order, are those
    where it is the `device_holder`, and those by which a device LEFT it; both are found by an index.

    `history_name_before` and `history_mac_before` are what a change has replaced, null where it replaced nothing. So
    whatever a device was ever called stands where few rows are: in the device, in the row that took it out, or here.
    """

    history_holder_before = models.ForeignKey(
        "devices.Hospital",
        verbose_name=_("hospital before"),
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    history_name_before = models.CharField(_("name before"), max_length=MAX_LENGTH, null=True)  # noqa: DJ001
    history_mac_before = models.CharField(_("MAC address before"), max_length=64, null=True)  # noqa: DJ001

    class Meta:
        abstract = True


# The changes by which a device left the hospital that held it: to another, or to none. The condition of an index, which
# is used too where it is said which hospital that was, and MOVED.
BEFORE = F("history_holder_before")
MOVED = Q(device_holder__isnull=True) | Q(device_holder__lt=BEFORE) | Q(device_holder__gt=BEFORE)
LEFT = Q(history_holder_before__isnull=False) & MOVED


class History(HistoricalRecords):
    """The history of a table: each row tells what ChangeRecord does besides the values.

    It may have indexes of its own, which simple_history has no option for.
    """

    def __init__(
        self,
        bases: Sequence[type[models.Model]] = (ChangeRecord,),
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
