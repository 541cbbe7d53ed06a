"""The admin: pages of Django's admin. Every change of a device goes through devices/registry."""

from devices.admin import api_keys, audit_log, changes, devices, hospitals, sign_in, two_factor, users

__all__ = ["api_keys", "audit_log", "changes", "devices", "hospitals", "sign_in", "two_factor", "users"]
