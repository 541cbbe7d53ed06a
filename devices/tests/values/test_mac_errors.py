"""The message for an invalid MAC address shows the error in it."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils.translation import override

from devices.registry.device_fields import clean_mac
from devices.tests.support.client import Api, errors
from devices.tests.support.factories import device_payload
from devices.values.normalization import normalize

LABEL = "Use the address on the label of the device."


def message(text: str) -> str:
    with pytest.raises(ValidationError) as caught:
        clean_mac(text)
    assert caught.value.code == "mac"
    return caught.value.messages[0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("O0:61:AE:D4:58:94", "\u201cO\u201d at position 1 is not a hexadecimal digit. Did you mean 0?"),
        ("D0:61:AE:D4:58:9l", "\u201cl\u201d at position 17 is not a hexadecimal digit. Did you mean 1?"),
        ("MAC: D0:6I:AE:D4:58:94", "\u201cI\u201d at position 10 is not a hexadecimal digit. Did you mean 1?"),
        ("D061AED45S94", "\u201cS\u201d at position 10 is not a hexadecimal digit. Did you mean 5?"),
        (
            "D0:61:\u0410E:D4:58:94",
            "\u201c\u0410\u201d (U+0410) at position 7 is not a hexadecimal digit. Did you mean A?",
        ),
        (
            "D0:61:AE:D4:58:\u0669\u0664",
            "\u201c\u0669\u201d (U+0669) at position 16 is not a hexadecimal digit. Did you mean 9?",
        ),
        ("D0:61:AE:D4:58:X4", "\u201cX\u201d at position 16 cannot be part of a MAC address."),
        ("D0/61/AE/D4/58/94", "\u201c/\u201d at position 3 cannot be part of a MAC address."),
    ],
)
def test_wrong_character_is_shown_with_its_position(text: str, shown: str) -> None:
    assert message(text).startswith(shown)


@pytest.mark.parametrize(
    "text", ["ID: D0:61:AE:D4:58:94", "D0|61|AE|D4|58|94", "S/N D0:61:AE:D4:58:94", "DO:61:AE:D4:58"]
)
def test_digit_is_only_suggested_if_the_text_is_then_an_address(text: str) -> None:
    assert "cannot be part of a MAC address" in message(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("D0:61:AE:D4:58", 10), ("D061AED4589", 11), ("MAC: D0:61:AE:D4:58:94:1", 13), ("D0::61:AE:D4:58", 10)],
)
def test_wrong_number_of_digits_is_shown(text: str, count: int) -> None:
    assert f"hexadecimal digits: {count} instead of 12 or 16" in message(text)


@pytest.mark.parametrize("text", ["D0:61-AE:D4:58:94", "D061.AED45894", "D0::61:AE:D4:58:94", "21-01-01 10:20:30"])
def test_unclear_groups_are_rejected_with_an_example(text: str) -> None:
    assert "different separators, or groups of different sizes" in message(text)


@pytest.mark.parametrize("text", ["belum ada", "hello", "12", "abc", "?"])
def test_message_for_an_unrelated_text_shows_no_character(text: str) -> None:
    assert message(text).startswith("This is not a valid MAC address.")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("00:00:00:00:00:00", "A MAC address of zeros only is a placeholder."),
        ("0000.0000.0000", "A MAC address of zeros only is a placeholder."),
        ("0:0:0:0:0:0", "A MAC address of zeros only is a placeholder."),
        ("0" * 16, "A MAC address of zeros only is a placeholder."),
        ("ff:ff:ff:ff:ff:ff", "FF:FF:FF:FF:FF:FF is a broadcast or multicast address."),
        ("F" * 16, "FF:FF:FF:FF:FF:FF:FF:FF is a broadcast or multicast address."),
        ("01-00-5E-00-00-FB", "01:00:5E:00:00:FB is a broadcast or multicast address."),
        ("3333.0000.0001", "33:33:00:00:00:01 is a broadcast or multicast address."),
        ("MAC: 01 80 C2 00 00 0E", "01:80:C2:00:00:0E is a broadcast or multicast address."),
    ],
)
@pytest.mark.parametrize("allow_manufacturer_ids", [False, True])
def test_address_of_no_single_device_is_rejected(
    text: str, shown: str, allow_manufacturer_ids: bool, settings: Any
) -> None:
    settings.DEVICES_ALLOW_NON_MAC = allow_manufacturer_ids
    assert message(text).startswith(shown)
    assert message(text).endswith(LABEL)


def test_bluetooth_address_with_an_odd_first_octet_is_accepted() -> None:
    assert clean_mac("cb:12:34:56:78:9a") == "CB:12:34:56:78:9A"


@pytest.mark.parametrize("text", ["D0:61:AE:D4:58:9O", "D0:61:AE:D4:58", "00:00:00:00:00:00"])
def test_message_is_in_the_language_of_the_reader(text: str) -> None:
    english = message(text)
    with override("id"):
        assert message(text) != english


@pytest.mark.parametrize("text", ["\u202eD0:61:AE:D4:58:94", "x" * 300, "D0:" * 200, "\u200b", "(" * 300, "0x"])
def test_any_text_gets_a_message(text: str) -> None:
    with pytest.raises(ValidationError):
        clean_mac(text)
    assert normalize(text) is not None


def test_api_shows_the_error_and_filters_accept_old_addresses(api: Api) -> None:
    response = api.post("/api/devices", [device_payload(1, device_mac="D0:61:AE:D4:58:9O")])
    assert errors(response) == [("device_mac", "mac")]
    assert "Did you mean 0?" in response.json()["errors"][0]["message"]
    response = api.post("/api/devices", [device_payload(1, device_mac="00:00:00:00:00:00")])
    assert (response.status_code, errors(response)) == (400, [("device_mac", "mac")])
    assert api.get("/api/devices?device_mac=00:00:00:00:00:00").status_code == 200
