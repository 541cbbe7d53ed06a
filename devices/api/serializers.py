"""A device as the API tells it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rest_framework import serializers

from devices.api.naming import FIELDS, spelling
from devices.drafts import MAX_LENGTH, UNKNOWN, DeviceType
from devices.models import MAX_ID, Device
from devices.registry import Registered


class DeviceSerializer(serializers.Serializer[Device]):
    """A device."""

    # This documents the fields, and writes them. What reads them is drafts.py, for an import and a form as well.

    id = serializers.IntegerField(read_only=True, min_value=1, max_value=MAX_ID, help_text="Given by the registry.")
    device_name = serializers.CharField(max_length=MAX_LENGTH, help_text="Unique.")
    device_mac = serializers.CharField(
        max_length=MAX_LENGTH, help_text="Unique. Sent in any usual notation, returned in capitals with colons."
    )
    device_type = serializers.ChoiceField(choices=DeviceType.choices, help_text="Sent in any case.")
    device_holder = serializers.CharField(
        max_length=MAX_LENGTH, required=False, help_text="The hospital's name; `unknown` is no hospital."
    )
    created_at = serializers.IntegerField(read_only=True, max_value=MAX_ID, help_text="Milliseconds since 1970 UTC.")
    updated_at = serializers.IntegerField(read_only=True, max_value=MAX_ID, help_text="Milliseconds since 1970 UTC.")

    def to_representation(self, device: Device) -> dict[str, Any]:
        return spelt(tell(device), spelling(self.context["request"].auth))


class NamedDeviceSerializer(DeviceSerializer):
    """A device that is named by its `id`, or else by its `device_mac`."""

    id = serializers.IntegerField(required=False, min_value=1, max_value=MAX_ID)


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
    """Return what `tell` does of each of the devices, without making them."""
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
