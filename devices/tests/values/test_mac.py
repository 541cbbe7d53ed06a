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
def test_every_usual_notation_of_48_bits_is_read(text: str) -> None:
    assert mac.parse_mac(text) == EUI48


@pytest.mark.parametrize("text", ["D0:61:AE:FF:FE:D4:58:94", "d061.aeff.fed4.5894", "d061aefffed45894"])
def test_every_usual_notation_of_64_bits_is_read(text: str) -> None:
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
        "\ufb00D061AED4589",  # the ligature of two letters f, whose capitals are FF
        "1.0E+11",
        "001-20210101-0001",
    ],
)
def test_anything_else_is_none(text: str) -> None:
    assert mac.parse_mac(text) is None


@pytest.mark.parametrize("text", ["stra\u00dfe", "\ufb00\ufb00", "pre\u017ft"])
def test_a_letter_whose_capitals_are_ascii_is_in_no_makers_code_and_no_part(text: str) -> None:
    assert mac.parse_manufacturer_id(text) is None
    assert mac.parse_mac_fragment(text) is None


@given(st.binary(min_size=6, max_size=6) | st.binary(min_size=8, max_size=8), st.sampled_from(["", ":", "-", "."]))
def test_writing_what_was_read_changes_nothing(octets: bytes, separator: str) -> None:
    written = mac.parse_mac(octets.hex(separator) if separator else octets.hex())
    assert written == octets.hex(":").upper()
    assert mac.parse_mac(written) == written


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    for read in (mac.parse_mac, mac.parse_manufacturer_id, mac.parse_mac_fragment):
        result = read(text)
        assert result is None or result == result.upper()
