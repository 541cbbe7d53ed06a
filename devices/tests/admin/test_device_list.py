"""The list of devices: tabs, search, and the page if nothing is found."""

import html
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices.models import Device
from devices.tests.support.factories import device_payload, register

LIST = "/admin/devices/device/"


def links(page: str) -> dict[str, str]:
    """Return the target of each link by its text."""
    found = re.findall(r'<a\b[^>]*?href="([^"]*)"[^>]*>(.*?)</a>', page, re.DOTALL)
    return {" ".join(re.sub("<[^>]*>", "", text).split()): html.unescape(url) for url, text in found}


def empty_page(client: Client, query: str) -> str:
    response = client.get(LIST + query)
    assert not response.context["cl"].result_list
    return str(
        re.split("<form id=.changelist-form.*?<input[^>]*>", response.content.decode(), flags=re.DOTALL)[1].split(
            "</form>"
        )[0]
    )


def test_tabs_filter_by_type_and_keep_the_search(operator: Client) -> None:
    register(device_payload(1), device_payload(2, device_type="CORPORATE"), device_payload(3, device_name="Watch"))
    tabs = links(operator.get(f"{LIST}?q=cuff").content.decode())
    names = {
        tab: [device.device_name for device in operator.get(LIST + tabs[tab]).context["cl"].result_list]
        for tab in ("All", "Corporate", "Consumer")
    }
    assert names == {"All": ["Cuff 2", "Cuff 1"], "Corporate": ["Cuff 2"], "Consumer": ["Cuff 1"]}
    assert tabs["Retired"] == f"{LIST}retired/?q=cuff"


def test_search_box_says_what_it_searches(operator: Client) -> None:
    assert 'placeholder="Name, MAC address, hospital"' in operator.get(LIST).content.decode()


def test_missing_mac_can_be_registered_with_one_click(operator: Client, ratna: Client) -> None:
    for client, words in ((operator, "is not registered"), (ratna, "is not registered in your hospitals")):
        page = empty_page(client, "?q=b0-49-5f-4d-ca-18")
        assert re.findall(r"<h2[^>]*>\s*(.*?)\s*</h2>", page, re.DOTALL) == [f"b0-49-5f-4d-ca-18 {words}"]
        assert links(page)["Register it"] == f"{LIST}add/?device_mac=b0-49-5f-4d-ca-18"
        assert links(page)["Clear the search"] == "?"


def test_mac_in_another_hospital_looks_like_one_that_is_not_registered(
    ratna: Client, devices: dict[str, Device]
) -> None:
    pages = [
        empty_page(ratna, f"?q={address}").replace(address, "-").replace(address.replace(":", "%3A"), "-")
        for address in (devices["b"].device_mac, "00:00:00:00:00:99")
    ]
    assert pages[0] == pages[1]


def test_letter_instead_of_a_digit_is_pointed_out(operator: Client) -> None:
    page = empty_page(operator, "?q=BO:49:5F:4D:CA:I8")
    assert links(page)["Search for B0:49:5F:4D:CA:18"] == "?q=B0%3A49%3A5F%3A4D%3ACA%3A18"


@pytest.mark.parametrize(
    ("query", "offered"),
    [
        ("?q=zzz", {"Clear the search"}),
        ("?device_type__exact=CONSUMER", {"Reset filters"}),
        ("?q=zzz&device_type__exact=CONSUMER", {"Clear the search", "Reset filters"}),
        ("?q=b0495f4dca18&device_type__exact=CONSUMER", {"Clear the search", "Reset filters"}),
        ("", {"Add device"}),
    ],
)
def test_empty_list_offers_only_steps_that_help(operator: Client, query: str, offered: set[str]) -> None:
    assert links(empty_page(operator, query)).keys() == offered


def test_links_of_an_empty_list_remove_one_thing_each(operator: Client) -> None:
    found = links(empty_page(operator, "?q=zzz&device_type__exact=CONSUMER&o=1"))
    assert found["Clear the search"] == "?device_type__exact=CONSUMER&o=1"
    assert found["Reset filters"] == "?q=zzz&o=1"


def test_search_text_is_escaped(operator: Client) -> None:
    assert "<script>alert" not in empty_page(operator, "?q=%3Cscript%3Ealert(1)")


def test_time_of_a_change_is_short_and_exact_on_hover(operator: Client) -> None:
    register(device_payload(1))
    [row] = re.findall(r"field-changed.*?</td>", operator.get(LIST).content.decode(), re.DOTALL)
    assert re.search(r'<time datetime="20[^"]+" title="[^"]+"', row)


def test_number_of_queries_of_the_list_does_not_depend_on_its_length(operator: Client) -> None:
    counts = set()
    for start, number in ((0, 3), (100, 40)):
        register(*(device_payload(start + n, device_holder=f"RS {start + n}") for n in range(number)))
        for query in ("", "?q=cuff", "?q=cuff+rs"):
            with CaptureQueriesContext(connection) as queries:
                operator.get(LIST + query)
            counts.add((query, len(queries)))
    assert len(counts) == 3
