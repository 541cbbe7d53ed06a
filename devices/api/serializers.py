"""A device as the API tells it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers

from devices.api.naming import FIELDS, spelling
from devices.drafts import MAX_LENGTH, UNKNOWN
from devices.models import MAX_ID, Device
from devices.registry import Registered

# The fields document a device, and openapi.py says how each is written. What reads them is drafts.py, for an import and
# a form as well.


class NameField(serializers.CharField):
    """A text of 1–255 characters."""


class MacField(serializers.CharField):
    """A MAC in any notation; in answers in one."""


class TypeField(serializers.CharField):
    """A device type in either case; in answers in capitals."""


class PatternField(serializers.CharField):
    """A text of one of patterns.py."""

    def __init__(self, pattern: str, **options: Any) -> None:
        self.pattern = pattern
        super().__init__(**options)


class InstantField(serializers.IntegerField):
    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=0, max_value=MAX_ID, help_text="Milliseconds since 1970 UTC.", **options)


class DeviceSerializer(serializers.Serializer[Device]):
    """A device."""

    id = serializers.IntegerField(read_only=True, min_value=1, max_value=MAX_ID, help_text="Given by the registry.")
    device_name = NameField(help_text=f"Unique. 1–{MAX_LENGTH} characters after normalization.")
    device_mac = MacField(help_text="Unique. Sent in any usual notation, returned in capitals with colons.")
    device_type = TypeField(help_text="Sent in capitals or small letters, returned in capitals.")
    device_holder = NameField(required=False, help_text="The hospital's name; `unknown` is no hospital.")
    created_at = InstantField(read_only=True)
    updated_at = InstantField(read_only=True)

    def to_representation(self, device: Device) -> dict[str, Any]:
        return spelt(tell(device), spelling(self.context["request"].auth))


class NamedDeviceSerializer(DeviceSerializer):
    """A device that is named by its `id`, or else by its `device_mac`."""

    id = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=MAX_ID)


def tell(device: Device) -> dict[str, Any]:
    """Return all that is told of a device, under the registry's own names."""
    return {
        "id": device.pk,
        "device_name": device.device_name,
        "device_mac": device.device_mac,
        "device_type": device.device_type,
        "device_holder": device.device_holder.name if device.device_holder else UNKNOWN,
        "created_at": milliseconds(device.created_at),
        "updated_at": milliseconds(device.updated_at),
    }


def tell_registered(devices: Registered) -> list[dict[str, Any]]:
    """Return what `tell` returns of each device, without instances: it costs a quarter."""
    at = milliseconds(devices.at)
    return [
        {
            "id": pk,
            "device_name": draft["device_name"],
            "device_mac": draft["device_mac"],
            "device_type": draft["device_type"],
            "device_holder": holder.name if holder else UNKNOWN,
            "created_at": at,
            "updated_at": at,
        }
        for pk, draft, holder in zip(devices.ids, devices.drafts, devices.holders, strict=True)
    ]


def spelt(row: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return what is told of a device, with its fields spelt as `names` has it."""
    return {names.get(field, field): row[field] for field in FIELDS} if names else row


def milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)
