"""The back-office over the same tables. Every change of a device goes through registry.py."""

from devices.admin import api_keys, audit, devices, history, hospitals, people, second_factor

__all__ = ["api_keys", "audit", "devices", "history", "hospitals", "people", "second_factor"]
