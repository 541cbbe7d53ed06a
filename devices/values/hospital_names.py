"""Compare the names of hospitals. Decision 3 has the reasons."""

import unicodedata

from devices.values.normalization import normalize

NO_HOSPITAL = "unknown"  # the `device_holder` of a device without a hospital


def fold_name(name: str) -> str:
    """Return the normalized name without differences of case: two names of one hospital have the same result."""
    folded = normalize(name).casefold()
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)
