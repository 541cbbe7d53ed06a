"""Devices that tests register."""

from typing import Any, cast

from devices import registry
from devices.access.actor import SYSTEM
from devices.models import Device
from devices.registry.device_fields import DeviceData

MAC = "D0:61:AE:D4:58:94"


def device_payload(number: int, **fields: Any) -> dict[str, Any]:
    """Return a device for a request body. Its name and MAC address are derived from the number."""
    mac = ":".join(f"{number or 2 << 40:012X}"[i : i + 2] for i in range(0, 12, 2))
    return {"device_name": f"Cuff {number}", "device_mac": mac, "device_type": "CONSUMER", **fields}


def device_item(number: int, **fields: Any) -> DeviceData:
    """Return the same device for a function of the registry."""
    return cast(DeviceData, device_payload(number, **fields))


def register(*items: dict[str, Any]) -> list[Device]:
    """Register the devices, without a scope."""
    return registry.register(cast(list[DeviceData], list(items)), SYSTEM).devices()
