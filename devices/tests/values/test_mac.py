"""Notations and manufacturers of MAC addresses, and manufacturer IDs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.values import mac

EUI48 = "D0:61:AE:D4:58:94"
EUI64 = "D0:61:AE:FF:FE:D4:58:94"


@pytest.mark.parametrize(
    "text",
    [
        "D0:61:AE:D4:58:94",
        "d0:61:ae:d4:58:94",
        "d0-61-ae-d4-58-94",
        "D0.61.AE.D4.58.94",
        "D061.AED4.5894",
        "D061-AED4-5894",
        "d061:aed4:5894",
        "D061AE-D45894",
        "d061aed45894",
        "  d061aed45894\t",
    ],
)
def test_48_bits_are_parsed_in_every_usual_notation(text: str) -> None:
    assert mac.parse_mac(text) == EUI48


@pytest.mark.parametrize("text", ["D0:61:AE:FF:FE:D4:58:94", "d061.aeff.fed4.5894", "d061aefffed45894"])
def test_64_bits_are_parsed_in_every_usual_notation(text: str) -> None:
    assert mac.parse_mac(text) == EUI64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "D061AED4589",
        "D061AED458941",
        "D0:61:AE:D4:58",
        "D0:61:AE:D4:58:94:11",
        "D0:61:AE:D4:58-94",
        "D061.AED45894",
        "G0:61:AE:D4:58:94",
        "D0::61:AE:D4:58:94",
        ":D0:61:AE:D4:58:94",
        "D0 61 AE D4 58 94",
        "٠٠٠٠٠٠٠٠٠٠٠٠",
        "\ufb00D061AED4589",  # a ligature of two letters f; its capitals are FF
        "1.0E+11",
        "001-20210101-0001",
    ],
)
def test_other_texts_are_not_mac_addresses(text: str) -> None:
    assert mac.parse_mac(text) is None


@pytest.mark.parametrize("text", ["stra\u00dfe", "\ufb00\ufb00", "pre\u017ft"])
def test_letters_with_ascii_capitals_are_rejected(text: str) -> None:
    assert mac.parse_manufacturer_id(text) is None
    assert mac.parse_mac_fragment(text) is None


@given(st.binary(min_size=6, max_size=6) | st.binary(min_size=8, max_size=8), st.sampled_from(["", ":", "-", "."]))
def test_canonical_form_is_parsed_to_itself(octets: bytes, separator: str) -> None:
    parsed = mac.parse_mac(octets.hex(separator) if separator else octets.hex())
    assert parsed == octets.hex(":").upper()
    assert mac.parse_mac(parsed) == parsed


@given(st.text(max_size=40))
def test_parsers_accept_any_text_without_an_error(text: str) -> None:
    for parse in (mac.parse_mac, mac.parse_manufacturer_id, mac.parse_mac_fragment):
        result = parse(text)
        assert result is None or result == result.upper()


@pytest.mark.parametrize(
    ("address", "company"),
    [
        ("00:1B:63:84:45:E6", "Apple, Inc."),
        ("00:1B:63:FF:FE:84:45:E6", "Apple, Inc."),
        ("02:1B:63:84:45:E6", None),  # locally administered: phones generate such addresses
        ("FC:FF:FF:00:00:01", None),  # not assigned
        ("ABPM-0042", None),  # a manufacturer ID
    ],
)
def test_manufacturer_is_found_by_the_address(address: str, company: str | None) -> None:
    assert mac.manufacturer(address) == company
