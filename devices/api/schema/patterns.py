"""Describe the strings that the API accepts and returns: by a pattern, or by the name of a format.

A format stands for a rule whose pattern is hundreds of characters long. The description of each field explains its
format, and devices/tests/support/formats.py defines it as a regular expression, which the tests compare with the
validation. Patterns are in the dialect of ECMA-262, for JSON Schema.
"""

from django.conf import settings

from devices.crypto.cursors import TEXT_LENGTH

DISPLAY_NAME = "display-name"
SEARCH_TEXT = "search-text"
HOSPITAL_NAME = "hospital-name"
MAC_ADDRESS = "mac-address"
MAC_ADDRESS_OR_MANUFACTURER_ID = "mac-address-or-manufacturer-id"
ENTITY_TAGS = "entity-tags"

MAC_RETURNED = "^[0-9A-F]{2}(?::[0-9A-F]{2}){5}(?:(?::[0-9A-F]{2}){2})?$"
MANUFACTURER_ID_RETURNED = "^[!-`{-~]{4,64}$"

TAG = r'(?:W/)?"[!#-~\x80-\xff]*"'
STRONG_TAG = '^"[!#-~]+"$'
TAGS = rf"^(?:\*|{TAG}(?:[ \t]*,[ \t]*{TAG})*(?:[ \t]*,)?)$"

IDEMPOTENCY_KEY = "^[!-~](?:[ -~]*[!-~])?$"
REQUEST_ID = "^[A-Za-z0-9._-]{1,128}$"
CURSOR = f"^[A-Za-z0-9_-]{{{TEXT_LENGTH}}}$"
CURSOR_OR_NOW = f"^(?:now|[A-Za-z0-9_-]{{{TEXT_LENGTH}}})$"
KEY_PREFIX = "^[0-9A-Za-z]{8}$"
STATUS = "^[A-Z]+(?:_[A-Z]+)*$"


def mac_format() -> str:
    """Return the format of an accepted `device_mac`, which depends on a setting."""
    return MAC_ADDRESS_OR_MANUFACTURER_ID if settings.DEVICES_ALLOW_NON_MAC else MAC_ADDRESS


def mac_returned() -> str:
    """Return the pattern of a returned `device_mac`."""
    return MANUFACTURER_ID_RETURNED if settings.DEVICES_ALLOW_NON_MAC else MAC_RETURNED
