"""Devices to register in tests."""

from typing import TYPE_CHECKING, Any

from devices import registry
from devices.access.actor import SYSTEM
from devices.models import Device

if TYPE_CHECKING:
    pass


MAC = "D0:61:AE:D4:58:94"


def device_payload(number: int, **fields: Any) -> dict[str, Any]:
    """A device that can be posted; its name and its MAC follow from the number."""
    mac = ":".join(f"{number:012X}"[i : i + 2] for i in range(0, 12, 2))
    return {"device_name": f"Cuff {number}", "device_mac": mac, "device_type": "CONSUMER", **fields}


def register(*items: dict[str, Any]) -> list[Device]:
    return registry.register(items, SYSTEM).devices()  # type: ignore[arg-type]
