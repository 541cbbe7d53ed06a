"""The form of API keys, and their hashes."""

import re
import zlib

import pytest

from devices.crypto import keys


@pytest.mark.parametrize(("sandbox", "first"), [(False, "cxp_"), (True, "cxt_")])
def test_generated_key_has_the_documented_form(*, sandbox: bool, first: str) -> None:
    text = keys.generate(sandbox=sandbox)
    assert re.fullmatch(first + "[0-9A-Za-z]{8}_[0-9A-Za-z]{46}", text)
    assert keys.prefix(text) == text[4:12]
    assert keys.is_well_formed(text)
    assert len({keys.generate() for _ in range(100)}) == 100


def test_checksum_is_crc32_in_base62() -> None:
    text = "cxp_AAAAAAAA_" + "A" * 40
    number = 0
    for character in keys._checksum(text):
        number = number * 62 + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz".index(character)
    assert number == zlib.crc32(text.encode())


@pytest.mark.parametrize("sandbox", [False, True])
def test_every_single_mistyped_character_is_detected(*, sandbox: bool) -> None:
    text = keys.generate(sandbox=sandbox)
    assert not keys.is_well_formed((keys.LIVE if sandbox else keys.SANDBOX) + text[4:])
    for place in range(len("cxp_"), len(text)):
        for other in "0aZ":
            if other != text[place]:
                assert not keys.is_well_formed(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        *("", "cxp_", "cxp_short", "x" * 15, "x" * 256, "cxp_" + "x" * 100, "with space in the key", "kunci-é" * 3),
        *("cxt_", "cxt_short", "cxt_" + "x" * 100),
    ],
)
def test_malformed_key_is_rejected_without_a_query(text: str) -> None:
    assert not keys.is_well_formed(text)


def test_digest_is_sha256() -> None:
    assert keys.digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
