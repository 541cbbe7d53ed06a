"""Examples of request bodies and successful responses, for /api/schema."""

from typing import Any

import orjson
from drf_spectacular.utils import OpenApiExample

from devices.api import responses

HOST = "https://registry.example.org"
REGISTERED_AT, UPDATED_AT = 1635821282937, 1635821288937
CURSORS = (
    "AxskM3BqivzGeYjOb-14etiYwUutyz7Gqu2M7YaUhH1-hCbs3L4MM4X1ZAmu",
    "lQgGB94ibpzBZVJ5CosLPXYsHKybFtzC594205byAHs25HiXARcRQV-doVNL",
)

CUFF = {
    "device_name": "E86 5894",
    "device_mac": "D0:61:AE:D4:58:94",
    "device_type": "CONSUMER",
    "device_holder": "RS Sentosa",
}
MONITOR = {
    "device_name": "Ward 3, bed 2",
    "device_mac": "D0:61:AE:D4:58:95",
    "device_type": "CORPORATE",
    "device_holder": "RS Sentosa",
}
WITHOUT_HOSPITAL = {"device_name": "E86 5897", "device_mac": "d061.aed4.5897", "device_type": "consumer"}


def registered(device_id: int | None, fields: dict[str, Any], updated_at: int = REGISTERED_AT) -> dict[str, Any]:
    """Return the device as the API returns it."""
    return {"id": device_id, **fields, "created_at": REGISTERED_AT, "updated_at": updated_at}


def success(name: str, data: Any, message: str, status: int = 200, **more: Any) -> OpenApiExample:
    return OpenApiExample(name, orjson.loads(responses.success(data, message, status, **more).content))


MOVED = registered(7, {**CUFF, "device_name": "Ward 3, bed 4"}, UPDATED_AT)

# --- Bodies of requests

ONE_DEVICE = OpenApiExample("One device", CUFF)
SEVERAL_DEVICES = OpenApiExample("Several devices", [CUFF, MONITOR])
MINIMAL_DEVICE = OpenApiExample(
    "Minimal device", WITHOUT_HOSPITAL, description="Without a hospital, and in other accepted notations."
)
REPLACEMENT = OpenApiExample("New values", {**CUFF, "device_name": "Ward 3, bed 4"})
DEVICE_AS_READ = OpenApiExample("Device as read", MOVED, description="`id`, `created_at` and `updated_at` are ignored.")
BY_ID = OpenApiExample("By id", {"id": 7, **CUFF, "device_name": "Ward 3, bed 4"})
BY_MAC = OpenApiExample("By MAC address", {**CUFF, "device_name": "Ward 3, bed 4"})
NEW_NAME = OpenApiExample("New name", {"device_name": "Ward 3, bed 4"})
TRANSFER = OpenApiExample("Transfer to another hospital", {"device_holder": "RS Sehat"})

# --- Bodies of responses

DEVICE_FOUND = success("Device", registered(7, CUFF), "Device returned.")
DEVICE_UPDATED = success("Updated device", MOVED, "Device updated.")
DEVICE_RETIRED = success("Retired", [], "Device retired.")
DRY_RUN_MESSAGE = "Dry run: this would happen. Nothing was changed."
UPDATE_DRY_RUN = success("Dry run", MOVED, DRY_RUN_MESSAGE)
RETIRE_DRY_RUN = success("Dry run", [], DRY_RUN_MESSAGE)
FIRST_PAGE = success(
    "First page",
    [registered(7, CUFF), registered(8, MONITOR)],
    "Devices returned.",
    pagination={
        "page": 1,
        "size": 2,
        "total": 12345,
        "total_pages": 6173,
        "next": f"{HOST}/api/devices?after=8&size=2",
        "previous": None,
    },
)
NO_DEVICES = success(
    "No match",
    [],
    "Devices returned.",
    pagination={"page": 1, "size": 20, "total": 0, "total_pages": 0, "next": None, "previous": None},
)
DEVICES_REGISTERED = success(
    "Registered devices", [registered(7, CUFF), registered(8, MONITOR)], "Devices registered.", 201
)
HOSPITAL_REGISTERED = success(
    "New hospital",
    [registered(7, CUFF)],
    "Devices registered.",
    201,
    hospitals_registered=[{"hospital_id": 3, "hospital_name": "RS Sentosa"}],
)
REGISTER_DRY_RUN = success("Dry run", [registered(None, CUFF)], DRY_RUN_MESSAGE, 201)
CHANGES_FOUND = success(
    "Changes",
    [
        {"cursor": CURSORS[0], "action": "created", "at": REGISTERED_AT, "device": registered(7, CUFF)},
        {"cursor": CURSORS[1], "action": "updated", "at": UPDATED_AT, "device": MOVED},
    ],
    "Changes returned.",
    pagination={"size": 2, "next": f"{HOST}/api/devices/changes?since={CURSORS[1]}&size=2"},
)
NO_CHANGES = success(
    "No new changes",
    [],
    "Changes returned.",
    pagination={"size": 20, "next": f"{HOST}/api/devices/changes?since={CURSORS[1]}&size=20"},
)
