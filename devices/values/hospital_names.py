"""The names of hospitals: what makes two spellings one name."""

import unicodedata

from devices.values.normalization import normalize

NO_HOSPITAL = "unknown"  # the holder of a device that no hospital holds


def fold_name(name: str) -> str:
    """Return the name normalized and without case: all spellings of one hospital's name are equal then."""
    folded = normalize(name).casefold()
    return folded if folded.isascii() else unicodedata.normalize("NFC", folded)
