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
WITHOUT_HOSPITAL = {"device_name": "E86 5897", "device_mac": "d061.aed4.5897", "device_type": "CONSUMER"}


def registered(device_id: int | None, fields: dict[str, Any], updated_at: int = REGISTERED_AT) -> dict[str, Any]:
    """Return the device as the API returns it."""
    return {"id": device_id, **fields, "created_at": REGISTERED_AT, "updated_at": updated_at}


def success(name: str, data: Any, message: str, status: int = 200, **more: Any) -> OpenApiExample:
    return OpenApiExample(name, orjson.loads(responses.success(data, message, status, **more).content))


MOVED = registered(7, {**CUFF, "device_name": "Ward 3, bed 4"}, UPDATED_AT)

# --- Bodies of requests

# Swagger UI sends the first example: with any key it registers a device, and no hospital.
NEW_DEVICE = {name: CUFF[name] for name in WITHOUT_HOSPITAL}
RENAMED = {**NEW_DEVICE, "device_name": "Ward 3, bed 4"}
ONE_DEVICE = OpenApiExample("One device", NEW_DEVICE)
MINIMAL_DEVICE = OpenApiExample("Other notation", WITHOUT_HOSPITAL, description="The API reads all usual notations.")
ARRAYS = (
    OpenApiExample("One device", [NEW_DEVICE], description="Without a hospital."),
    OpenApiExample("Several devices", [CUFF, MONITOR], description="A new name registers its hospital."),
    OpenApiExample("Other notation", [WITHOUT_HOSPITAL], description=MINIMAL_DEVICE.description),
)
REPLACEMENT = OpenApiExample("New name", RENAMED, description="The hospital stays unchanged.")
DEVICE_AS_READ = OpenApiExample("Device as read", MOVED, description="`id`, `created_at` and `updated_at` are ignored.")
BY_ID = OpenApiExample("By id", {"id": 7, **RENAMED})
BY_MAC = OpenApiExample("By MAC address", RENAMED)
NEW_NAME = OpenApiExample("New name", {"device_name": "Ward 3, bed 4"})
TRANSFER = OpenApiExample("Transfer to another hospital", {"device_holder": "RS Sehat"})

# --- Bodies of responses

NO_NEIGHBORS = {"after": None, "before": None, "next": None, "previous": None}
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
        "after": 8,
        "before": None,
        "next": f"{HOST}/api/devices?after=8&size=2",
        "previous": None,
    },
)
NO_DEVICES = success(
    "No match",
    [],
    "Devices returned.",
    pagination={
        "page": 1,
        "size": 20,
        "total": 0,
        "total_pages": 0,
        **NO_NEIGHBORS,
    },
)
DEVICE_REGISTERED = success("Registered device", [registered(7, CUFF)], "Devices registered.", 201)
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
    pagination={"size": 2, "cursor": CURSORS[1], "next": f"{HOST}/api/devices/changes?since={CURSORS[1]}&size=2"},
)
NO_CHANGES = success(
    "No new changes",
    [],
    "Changes returned.",
    pagination={"size": 20, "cursor": CURSORS[1], "next": f"{HOST}/api/devices/changes?since={CURSORS[1]}&size=20"},
)

SENTOSA = {
    "hospital_id": 3,
    "hospital_name": "RS Sentosa",
    "device_count": 2,
    "address": "Jalan Melati 5, Bandung",
    "email": "info@rs-sentosa.example",
    "phone": "+62 22 555 0100",
    "region": "Jawa Barat",
    "domain": "rs-sentosa.example",
    "created_at": REGISTERED_AT,
    "updated_at": UPDATED_AT,
}
ONE_PAGE = {"page": 1, "size": 20, "total": 1, "total_pages": 1, **NO_NEIGHBORS}
HOSPITAL_FOUND = success("Hospital", SENTOSA, "Hospital returned.")
HOSPITALS_FOUND = success("Hospitals", [SENTOSA], "Hospitals returned.", pagination=ONE_PAGE)
KEY_DESCRIBED = success(
    "Key of one hospital",
    {
        "id": 3,
        "name": "Ward app",
        "prefix": "k4eeItta",
        "all_hospitals": False,
        "hospitals": [{"hospital_id": 1, "hospital_name": "RS Sentosa"}],
        "read_only": False,
        "sandbox": False,
        "legacy": False,
        "naming": "snake_case",
        "page_size": 20,
        "unknown_holder": "register",
        "allowed_networks": ["10.0.0.0/8", "198.51.100.7"],
        "rate_limit": {"limit": 600, "window_seconds": 60, "remaining": 598, "reset_seconds": 12},
        "created_at": REGISTERED_AT,
        "expires_at": None,
    },
    "API key returned.",
)
