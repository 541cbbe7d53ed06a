"""Manufacturers of MAC addresses."""

import pytest

from devices.values.mac import manufacturer


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
    assert manufacturer(address) == company
