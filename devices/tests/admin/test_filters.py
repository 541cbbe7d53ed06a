"""The filters of all lists: what is filtered is shown, and an invalid filter never shows the full list."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from devices.models import ApiKey, Device, Hospital
from devices.tests.support.client import issue

LIST, CHANGES = "/admin/devices/device/", "/admin/devices/historicaldevice/"
DATES = [(LIST, "created_at"), (LIST, "updated_at"), (CHANGES, "history_date")]


def shown(response: Any) -> list[Any]:
    return list(response.context["cl"].result_list)


def active(response: Any) -> list[tuple[str, str]]:
    return [(one.title, one.value) for one in response.context["cl"].active_filters]


@pytest.mark.parametrize(("path", "field"), DATES)
@pytest.mark.parametrize("end", ["from", "to"])
@pytest.mark.parametrize("day", ["27/11/2026", "11/12/2026", "27-11-2026", "Nov 27", "2026-02-30", "0001-01-01", "x"])
def test_date_in_another_notation_is_an_error_at_its_field_and_shows_no_rows(
    operator: Client, devices: Any, path: str, field: str, end: str, day: str
) -> None:
    response = operator.get(path, {f"{field}_{end}": day})
    assert response.status_code == 200
    assert shown(response) == []
    [filtered] = response.context["cl"].active_filters
    assert day in filtered.value
    assert filtered.errors
    page = response.content.decode()
    assert page.count(filtered.errors[0]) == 2  # above the list, and at the field
    assert f'value="{day}"' in page


@pytest.mark.parametrize(("path", "field"), DATES)
def test_days_are_chosen_in_a_date_field_of_the_browser(operator: Client, devices: Any, path: str, field: str) -> None:
    today, tomorrow = str(timezone.localdate()), str(timezone.localdate() + timedelta(days=1))
    response = operator.get(path, {f"{field}_from": today, f"{field}_to": today})
    assert len(shown(response)) == 3
    page = response.content.decode()
    for end in ("from", "to"):
        assert f'<input type="date" name="{field}_{end}" value="{today}"' in page
    assert not shown(operator.get(path, {f"{field}_from": tomorrow}))
    assert [title for title, _value in active(response)] in (["changed at"], ["registered at"], ["time"])


@pytest.mark.parametrize(
    "query",
    [
        "device_holder__id__exact=abc",
        "action=taken_out",
        "state=revived",
        "user=999999",
        "user=x",
        "read_only__exact=maybe",
        "is_active__exact=maybe",
        "hospitals__id__exact=x",
        "last_login__gte=x",
        "action__exact=x",
        "history_channel__exact=x",
        "device_type__exact=PHONE",
    ],
)
def test_unknown_value_of_a_filter_never_shows_the_full_list(operator: Client, devices: Any, query: str) -> None:
    issue("ward app")
    names = ("device", "historicaldevice", "apikey", "staffuser", "auditevent")
    for path in (f"/admin/devices/{name}/" for name in names):
        response = operator.get(f"{path}?{query}", follow=True)
        assert response.status_code == 400 or shown(response) == [], path


def test_each_active_filter_is_shown_with_a_link_that_removes_only_this_one(
    operator: Client, devices: dict[str, Device], rs_a: Hospital
) -> None:
    query = {"device_type__exact": "CONSUMER", "updated_at_from": "2026-01-31"}
    response = operator.get(LIST, query | {"device_holder__id__exact": str(rs_a.pk), "q": "cuff"})
    assert active(response) == [
        ("hospital", "RS Harapan"),
        ("type", "Consumer"),
        ("changed at", "from Jan. 31, 2026"),
    ]
    page = response.content.decode()
    for number, filtered in enumerate(response.context["cl"].active_filters):
        assert filtered.url.replace("&", "&amp;") in page
        rest = operator.get(f"{LIST}{filtered.url}")
        assert active(rest) == [pair for index, pair in enumerate(active(response)) if index != number]
        assert rest.context["cl"].query == "cuff"


@pytest.mark.parametrize(
    ("path", "query", "expected"),
    [
        (LIST, "device_holder__isnull=True", ("hospital", "No hospital")),
        (CHANGES, "action=retired", ("change", "retired")),
        (CHANGES, "history_channel__exact=import", ("source", "Import")),
        (CHANGES, "id=1", ("Device ID", "1")),
        ("/admin/devices/apikey/", "state=expiring", ("status", "expires within 30 days")),
        ("/admin/devices/apikey/", "read_only__exact=1", ("read-only", "Yes")),
        ("/admin/devices/staffuser/", "is_active__exact=0", ("active", "No")),
        ("/admin/devices/auditevent/", "channel__exact=admin", ("source", "Admin")),
    ],
)
def test_active_filter_has_the_words_of_the_page(
    operator: Client, devices: Any, path: str, query: str, expected: tuple[str, str]
) -> None:
    assert active(operator.get(f"{path}?{query}")) == [expected]


def test_list_without_filters_shows_none(operator: Client, devices: Any) -> None:
    for query in ("", "q=cuff", "updated_at_from=&updated_at_to=", "p=1", "device_type__exact="):
        response = operator.get(f"{LIST}?{query}")
        assert active(response) == [], query
        assert "Filtered by" not in response.content.decode()


def test_hospital_outside_the_scope_is_not_named_as_a_filter(ratna: Client, rs_b: Hospital) -> None:
    response = ratna.get(LIST, {"device_holder__id__exact": rs_b.pk})
    assert active(response) == [("hospital", str(rs_b.pk))]
    assert "RS Sehat" not in response.content.decode()


@pytest.mark.parametrize(("language", "prefix"), [("en", "By "), ("id", "Berdasarkan ")])
def test_labels_of_filters_are_the_names_of_the_columns(
    operator: Client, devices: Any, language: str, prefix: str
) -> None:
    ApiKey.objects.filter(pk=issue("ward app").key.pk).update(expires_at=timezone.now())
    for name in ("device", "historicaldevice", "staffuser", "apikey", "auditevent"):
        page = operator.get(f"/admin/devices/{name}/", headers={"accept-language": language}).content.decode()
        sheet = page.partition('id="changelist-filter"')[2]
        assert prefix not in sheet, name
