"""API keys."""

import re
from typing import Any

LEGACY_KEY = "MTYzNTEzMDIzNDY0MA==16351302346401637558061370"


def mistype(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def form(**fields: Any) -> dict[str, Any]:
    """Return the fields of the form for a new key. Without a hospital, it is a key of all hospitals."""
    scope = {} if fields.get("hospitals") or fields.get("sandbox") else {"all_hospitals": "on"}
    return {"name": "ward app", "naming": "", "unknown_holder": "register", "value": "", **scope, **fields}


def shown_key(response: Any) -> str:
    """Return the new key that the page shows, alone and in a command."""
    [text] = set(re.findall(r"cxp_\w{8}_\w{46}", response.content.decode()))
    assert "no-store" in response["Cache-Control"]
    return text
