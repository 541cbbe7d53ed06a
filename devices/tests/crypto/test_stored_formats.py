"""Values that an earlier release has stored stay valid: key derivation does not depend on where a module is."""

from typing import Any

import pytest

from devices.accounts import two_factor
from devices.crypto import cursors, encryption

STORED_SECRET = "v1.AAAAAAAAAAAAAAAA9H3YHS9qGSukHgO6ilUfFAC9560nzAL-h3MzLINj-fi9ZMcw"  # of user 7
STORED_DIGEST = "rch67qn2ppfb2dvj"  # of the recovery code abcde-fghij


@pytest.fixture(autouse=True)
def _known_secret_key(settings: Any) -> None:
    settings.SECRET_KEY = "x" * 64


def test_totp_secret_of_an_earlier_release_is_decrypted() -> None:
    assert encryption.decrypt_totp_secret(STORED_SECRET, 7) == bytes(range(20))


def test_recovery_code_of_an_earlier_release_has_the_stored_digest() -> None:
    assert two_factor._digest("abcde-fghij") == STORED_DIGEST


def test_cursor_is_decoded_to_the_encoded_state() -> None:
    key = bytes(range(32))
    text = cursors.encode(cursors.Cursor(position=4711, pruned_to=7, scope=1), key)
    assert len(text) == cursors.TEXT_LENGTH
    assert cursors.decode(text, key) == (4711, 7, 1)
    with pytest.raises(cursors.UnknownCursor):
        cursors.decode(text, key[::-1])
