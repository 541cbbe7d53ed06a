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
        "D0 61 AE D4 58 94",
        "D061 AED4 5894",
        "d0_61_ae_d4_58_94",
        "D0 : 61 : AE : D4 : 58 : 94",
        "MAC: D0:61:AE:D4:58:94",
        "mac address D0-61-AE-D4-58-94",
        "Alamat MAC: D061.AED4.5894",
        "BT MAC (BLE): D0:61:AE:D4:58:94",
        "BTD061AED45894",
        "BD_ADDR=D0:61:AE:D4:58:94",
        "EUI-48 D0:61:AE:D4:58:94",
        "link/ether d0:61:ae:d4:58:94",
        "Physical Address. . . . . . . . . : D0-61-AE-D4-58-94",
        "D0:61:AE:D4:58:94 (BLE)",
        "D0:61:AE:D4:58:94 - Wi-Fi",
        "D061AED45894 [Bluetooth MAC]",
        "MAC D0-61-AE-D4-58-94 (MAC address).",
        "0xD061AED45894",
        "0Xd061aed45894",
        "'D0:61:AE:D4:58:94'",
        "\u201cD0:61:AE:D4:58:94\u201d.",
        "[D0:61:AE:D4:58:94]",
        "<d0:61:ae:d4:58:94>,",
        "\u200bD0:61:AE:\u200bD4:58:94\ufeff",
        "D0\u00ad61\u00adAE\u00adD4\u00ad58\u00ad94",
        "D0:61:AE:D4:58:94\u00a0",
        *(f"D0{dash}61{dash}AE{dash}D4{dash}58{dash}94" for dash in "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"),
        "D0-61\u2013AE-D4-58-94",
        "\uff24\uff10\uff1a\uff16\uff11\uff1a\uff21\uff25\uff1a\uff24\uff14\uff1a\uff15\uff18\uff1a\uff19\uff14",
        "D0\u223661\u2236AE\u2236D4\u223658\u223694",
    ],
)
def test_address_copied_from_a_label_a_page_or_a_document_is_parsed(text: str) -> None:
    assert mac.parse_mac(text) == EUI48


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("2:C0:0:0:0:2A", "02:C0:00:00:00:2A"),
        ("2-c0-0-0-0-2a", "02:C0:00:00:00:2A"),
        ("MAC: 2:C0:0:0:0:2A", "02:C0:00:00:00:2A"),
        ("2:c0:0:ff:fe:0:0:2a", "02:C0:00:FF:FE:00:00:2A"),
        ("EUI-64: D0 61 AE FF FE D4 58 94", EUI64),
        ("d0_61_ae_ff_fe_d4_58_94", EUI64),
        ("0xd061aefffed45894", EUI64),
    ],
)
def test_address_without_leading_zeros_and_of_64_bits_is_parsed(text: str, address: str) -> None:
    assert mac.parse_mac(text) == address


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("001-20210101-0001", "001-20210101-0001"),
        ("1-2-3-4-5-6", "1-2-3-4-5-6"),
        ("abpm-0042", "ABPM-0042"),
        ("d061aed45894", EUI48),
        ("MAC: d061aed45894", EUI48),
        ("D0 61 AE D4 58 94", EUI48),
        ("2:C0:0:0:0:2A", "02:C0:00:00:00:2A"),
        ("two words", None),
    ],
)
def test_manufacturer_id_is_not_read_as_an_address(text: str, stored: str | None) -> None:
    assert mac.parse_mac_or_manufacturer_id(text) == stored


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("B0 49 5F 4D CA 18", ["B0:49:5F:4D:CA:18"]),
        ("b0_49_5f", ["B0:49:5F"]),
        ("MAC: B0:49", ["B0:49"]),
        ("B0\uff1a49\uff1a5F", ["B0:49:5F"]),
        ("B0\u201349", ["B0:49"]),
        ("dca18", ["D:CA:18", "DC:A1:8"]),
        ("4dca18", ["4D:CA:18", "4:DC:A1:8"]),
        ("c0:0:0:2a", ["C0:00:00:2A"]),
        ("2:c0:0:0:0:2", ["2:C0:00:00:00:2", "2:C0:00:00:00:02"]),
        ("49:5", ["49:5"]),
        ("d061.aed4.58", ["D0:61:AE:D4:58"]),
        (":61:AE", ["61:AE"]),
        ("1 2", []),
        ("bed 2", []),
        ("BT 5", []),
        ("Ward 3", []),
        ("-", []),
        ("", []),
    ],
)
def test_part_of_an_address_is_found_in_every_notation(text: str, parts: list[str]) -> None:
    assert mac.mac_fragments(text) == parts


@given(st.binary(min_size=6, max_size=6), st.integers(1, 17), st.sampled_from(["", ":", " ", "_", "-"]))
def test_copied_end_of_an_address_is_a_part_of_it(octets: bytes, count: int, separator: str) -> None:
    address, text = octets.hex(":").upper(), octets.hex(separator) if separator else octets.hex()
    end = text[-min(count, len(text)) :]
    parts = mac.mac_fragments(end)
    assert any(part in address for part in parts) or separator in (" ", "_") or not end.strip(":-")


@pytest.mark.parametrize(
    "address",
    [
        "00:00:00:00:00:00",
        "00:00:00:00:00:00:00:00",
        "FF:FF:FF:FF:FF:FF",
        "FF:FF:FF:FF:FF:FF:FF:FF",
        "01:00:5E:7F:FF:FA",
        "01:00:5E:FF:FE:00:00:01",
        "33:33:00:00:00:01",
        "01:80:C2:00:00:0E",
        "01:00:0C:CC:CC:CC",
        "01:1B:19:00:00:00",
    ],
)
def test_address_of_no_single_device_is_recognized(address: str) -> None:
    assert mac.is_group(address)


@pytest.mark.parametrize(
    "address",
    [
        "CB:12:34:56:78:9A",  # a random static address of Bluetooth
        "FF:FF:FF:FF:FF:FE",
        "00:00:00:00:00:01",
        "01:02:03:04:05:06",
        "33:34:00:00:00:01",
        "D0:61:AE:FF:FE:D4:58:94",
        *("FFFX", "00-0", "FF:FF", "01:00:5E", "33:33:1", "000-00000000-0000", "01:80:C2:UNIT"),  # manufacturer IDs
    ],
)
def test_address_of_a_device_is_not_mistaken_for_a_group(address: str) -> None:
    assert not mac.is_group(address)


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
        "21-01-01 10:20:30",
        "2001:db8:0:0:0:0:0:1",
        "1.2.3.4.5.6",
        "0:0:0:0:0",
        "mac",
        "٠٠٠٠٠٠٠٠٠٠٠٠",
        "\ufb00D061AED4589",  # a ligature of two letters f; its capitals are FF
        "1.0E+11",
        "001-20210101-0001",
        "D0:61:AE:D4:58:94 (ruang 2)",
        "D0:61:AE:D4:58:94 / D0:61:AE:D4:58:95",
    ],
)
def test_other_texts_are_not_mac_addresses(text: str) -> None:
    assert mac.parse_mac(text) is None


@pytest.mark.parametrize("text", ["stra\u00dfe", "\ufb00\ufb00", "pre\u017ft"])
def test_letters_with_ascii_capitals_are_rejected(text: str) -> None:
    assert mac.parse_manufacturer_id(text) is None
    assert mac.mac_fragments(text) == []


@given(st.binary(min_size=6, max_size=6) | st.binary(min_size=8, max_size=8), st.sampled_from(["", ":", "-", "."]))
def test_canonical_form_is_parsed_to_itself(octets: bytes, separator: str) -> None:
    parsed = mac.parse_mac(octets.hex(separator) if separator else octets.hex())
    assert parsed == octets.hex(":").upper()
    assert mac.parse_mac(parsed) == parsed


@given(st.text(max_size=40))
def test_parsers_accept_any_text_without_an_error(text: str) -> None:
    for parse in (mac.parse_mac, mac.parse_manufacturer_id):
        result = parse(text)
        assert result is None or result == result.upper()
    assert all(part == part.upper() for part in mac.mac_fragments(text))


@pytest.mark.parametrize(
    ("address", "company"),
    [
        ("00:1B:63:84:45:E6", "Apple, Inc."),
        ("00:1B:63:FF:FE:84:45:E6", "Apple, Inc."),
        ("02:1B:63:84:45:E6", None),  # locally administered: phones generate such addresses
        ("FC:FF:FF:00:00:01", None),  # not assigned
        ("ABPM-0042", None),  # a manufacturer ID
        ("1-2-3-4-5-6", None),
    ],
)
def test_manufacturer_is_found_by_the_address(address: str, company: str | None) -> None:
    assert mac.manufacturer(address) == company
