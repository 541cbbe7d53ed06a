r"""Describe the texts that the API accepts with ECMA-262 patterns, for JSON Schema.

device_data.py, normalization.py, mac.py, etags.py and writing.py parse them; test_fuzzing.py compares both. Classes of
characters are spelled out where dialects differ: `\s` has other members in ECMA-262, Python and Rust.
"""

from django.conf import settings

from devices.crypto.cursors import TEXT_LENGTH
from devices.values import mac
from devices.values.normalization import INVISIBLE, MAX_LENGTH, REJECTED, SPACE

# The length is that of the text as it is stored, if it is in NFC.
SKIPPED = rf"[{SPACE}{INVISIBLE}]"
KEEPABLE = rf"[^{REJECTED}]"
VISIBLE = rf"[^{SPACE}{INVISIBLE}{REJECTED}]"
KEPT = rf"{SKIPPED}*{VISIBLE}(?:{KEEPABLE}{{0,{MAX_LENGTH - 2}}}{VISIBLE})?{SKIPPED}*"

TEXT = f"^{KEPT}$"
TEXT_OR_NONE = f"^(?:{KEPT})?$"

MAC_KEPT = "^[0-9A-F]{2}(?::[0-9A-F]{2}){5}(?:(?::[0-9A-F]{2}){2})?$"
MAKERS_CODE_KEPT = "^[!-`{-~]{4,64}$"

TAG = r'(?:W/)?"[!#-~\x80-\xff]*"'
TAGS = rf"^(?:\*|{TAG}(?:[ \t]*,[ \t]*{TAG})*(?:[ \t]*,)?)$"

IDEMPOTENCY_KEY = "^[!-~](?:[ -~]*[!-~])?$"
REQUEST_ID = "^[A-Za-z0-9._-]{1,128}$"
CURSOR = f"^[A-Za-z0-9_-]{{{TEXT_LENGTH}}}$"
CURSOR_OR_NOW = f"^(?:now|[A-Za-z0-9_-]{{{TEXT_LENGTH}}})$"
STATUS = "^[A-Z]+(?:_[A-Z]+)*$"


def mac_sent() -> str:
    """Return how a MAC may be sent: in any usual notation or, where the settings allow it, as a maker's code."""
    notation = mac.MANUFACTURER_ID if settings.DEVICES_ALLOW_NON_MAC else f"(?:{mac.NOTATION})"
    return f"^{SKIPPED}*{notation}{SKIPPED}*$"


def mac_kept() -> str:
    return MAKERS_CODE_KEPT if settings.DEVICES_ALLOW_NON_MAC else MAC_KEPT
