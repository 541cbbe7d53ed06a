"""The types of a device."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class DeviceType(models.TextChoices):
    CONSUMER = "CONSUMER", _("Consumer")
    CORPORATE = "CORPORATE", _("Corporate")


DEVICE_TYPES = tuple(DeviceType.values)  # computed once: an import compares it with up to a million rows
