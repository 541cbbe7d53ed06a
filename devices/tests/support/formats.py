r"""The formats that /api/schema names, each as a regular expression: what the validation accepts.

The classes of characters are written in full. `\s` contains different characters in ECMA-262, Python and Rust.
"""

from typing import Any

from devices.api.schema import patterns
from devices.values import mac
from devices.values.normalization import INVISIBLE, MAX_LENGTH, REJECTED, SPACE

REMOVED = rf"[{SPACE}{INVISIBLE}]"  # at the ends of a string
ACCEPTED = rf"[^{REJECTED}]"
VISIBLE = rf"[^{SPACE}{INVISIBLE}{REJECTED}]"
# The length is that of the normalized string, if the string is in NFC.
NAME = rf"{REMOVED}*{VISIBLE}(?:{ACCEPTED}{{0,{MAX_LENGTH - 2}}}{VISIBLE})?{REMOVED}*"


def _in_any_notation(digits: str) -> str:
    return "[:.-]?".join(f"[{digit}{digit.lower()}]" if digit.isalpha() else digit for digit in digits)


# The notations of addresses of no single device: one digit only, or a multicast prefix.
_GROUPS = [f"(?:{_in_any_notation(digit)}[:.-]?){{12,16}}(?![0-9A-Fa-f])" for digit in "0F"] + [
    _in_any_notation(prefix.replace(":", "")) for prefix in mac.MULTICAST
]
DEVICE = rf"(?!(?=(?:{mac.NOTATION}){REMOVED}*$)(?:{'|'.join(_GROUPS)}))"
FORMATS = {
    patterns.DISPLAY_NAME: f"^{NAME}$",
    patterns.SEARCH_TEXT: f"^(?:{NAME})?$",
    patterns.HOSPITAL_NAME: f"^(?:{NAME}|{REMOVED}*)$",
    patterns.MAC_ADDRESS: f"^{REMOVED}*{DEVICE}(?:{mac.NOTATION}){REMOVED}*$",
    patterns.MAC_ADDRESS_OR_MANUFACTURER_ID: f"^{REMOVED}*{DEVICE}{mac.MANUFACTURER_ID}{REMOVED}*$",
}


def with_patterns(schema: Any) -> Any:
    """Return the schema, or OpenAPI document, with the patterns of FORMATS instead of their names."""
    if isinstance(schema, list):
        return [with_patterns(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: with_patterns(value) for name, value in schema.items()}
    name = result.get("format")
    if isinstance(name, str) and name in FORMATS:
        del result["format"]
        result["pattern"] = FORMATS[name]
    return result
