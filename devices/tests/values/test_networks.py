"""Networks of API keys: how they are read, stored and compared with the address of a client."""

import pytest

from devices.values.networks import MAX_NETWORKS, contains, format_networks, parse_networks


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("", ""),
        ("  \n", ""),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("0.0.0.0/0 ::/0", "0.0.0.0/0 ::/0"),
        ("2001:DB8:0:0::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:db8::1/128", "2001:db8::1"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("10.0.0.0/8,192.0.2.0/24; ::1\r\n10.0.0.0/8,", "10.0.0.0/8 192.0.2.0/24 ::1"),
        ("192.0.2.7 192.0.2.7/32 ::ffff:c000:207", "192.0.2.7"),
    ],
)
def test_networks_are_stored_in_one_form(text: str, stored: str) -> None:
    assert format_networks(parse_networks(text)) == stored
    assert format_networks(parse_networks(stored)) == stored


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0",
        "10.0.0.0/33",
        "::/129",
        "rs.example",
        "10.0.0.0/",
        "010.0.0.1",
        "fe80::1%eth0",
        "10.0.0.0/-1",
        "%",
        "/8",
    ],
)
def test_error_names_the_invalid_network(text: str) -> None:
    with pytest.raises(ValueError, match=r" is not a network\. Use a form such as") as caught:
        parse_networks(f"10.0.0.0/8 {text}")
    assert str(caught.value).startswith(f"{text} is not")


@pytest.mark.parametrize("text", [",", " ; ,"])
def test_separators_alone_do_not_allow_every_address(text: str) -> None:
    with pytest.raises(ValueError, match=r"[,;] is not a network\."):
        parse_networks(text)


@pytest.mark.parametrize(
    ("text", "network", "address"),
    [
        ("10.0.0.7/8", "10.0.0.0/8", "10.0.0.7"),
        ("192.0.2.255/31", "192.0.2.254/31", "192.0.2.255"),
        ("2001:db8::7/64", "2001:db8::/64", "2001:db8::7"),
    ],
)
def test_bits_after_the_prefix_are_an_error_that_names_the_network(text: str, network: str, address: str) -> None:
    with pytest.raises(ValueError, match="has bits after the length of its prefix") as caught:
        parse_networks(text)
    assert all(part in str(caught.value) for part in (text, f"the network {network} ", f"the address {address}?"))


def test_number_of_networks_is_limited() -> None:
    texts = [f"10.0.{number}.0/24" for number in range(MAX_NETWORKS + 1)]
    assert len(parse_networks(" ".join([*texts[:-1], *texts[:-1]]))) == MAX_NETWORKS
    with pytest.raises(ValueError, match=r"These are 101 networks\. The maximum is 100\."):
        parse_networks(" ".join(texts))


@pytest.mark.parametrize(
    ("address", "is_inside"),
    [
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("2001:db8:ffff::1", True),
        ("2001:db9::", False),
        ("::10.0.0.1", False),
        (None, False),
    ],
)
def test_address_is_compared_with_each_network(address: str | None, *, is_inside: bool) -> None:
    assert contains("10.0.0.0/8 192.0.2.7 2001:db8::/32", address) is is_inside
