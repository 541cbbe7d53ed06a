"""The functions that change devices and record their history, for the API, the admin, imports and commands."""

from devices.registry.devices import (
    NO_ID,
    PreconditionFailed,
    RegisteredDevices,
    apply_changes,
    change_type,
    insert,
    register,
    restore,
    retire,
    retire_one,
    transfer,
    update,
)

__all__ = [
    "NO_ID",
    "PreconditionFailed",
    "RegisteredDevices",
    "apply_changes",
    "change_type",
    "insert",
    "register",
    "restore",
    "retire",
    "retire_one",
    "transfer",
    "update",
]
