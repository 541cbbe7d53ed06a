r"""How the texts are written that the registry takes, as JSON Schema says it: patterns of ECMA-262.

What reads them is drafts.py, normalization.py, mac.py, etags.py and writing.py; test_fuzzing.py compares both. A class
of characters is spelled out where dialects differ: `\s` is another in ECMA-262, Python and Rust, which clients may use.
"""

from django.conf import settings

from devices import mac
from devices.cursors import TEXT_LENGTH
from devices.drafts import MAX_LENGTH
from devices.normalization import INVISIBLE, REJECTED, SPACE

# The classes of characters of normalization.py. The length is that of the text as it is stored, if it is in NFC.
SKIPPED = rf"[{SPACE}{INVISIBLE}]"
KEEPABLE = rf"[^{REJECTED}]"
VISIBLE = rf"[^{SPACE}{INVISIBLE}{REJECTED}]"

TEXT = rf"^{SKIPPED}*{VISIBLE}(?:{KEEPABLE}{{0,{MAX_LENGTH - 2}}}{VISIBLE})?{SKIPPED}*$"
TEXT_OR_NONE = rf"^(?:{SKIPPED}*{VISIBLE}(?:{KEEPABLE}{{0,{MAX_LENGTH - 2}}}{VISIBLE})?{SKIPPED}*)?$"

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
    notation = mac.MAKERS_CODE if settings.DEVICES_ALLOW_NON_MAC else f"(?:{mac.NOTATION})"
    return f"^{SKIPPED}*{notation}{SKIPPED}*$"


def mac_kept() -> str:
    return MAKERS_CODE_KEPT if settings.DEVICES_ALLOW_NON_MAC else MAC_KEPT
