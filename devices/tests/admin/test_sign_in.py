"""Sign in to the admin: lockouts, the list of sign-ins, and the end of sessions."""

from datetime import timedelta
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from devices.accounts.sessions import BEGAN_AT

PASSWORD = "correct horse battery"
AUDIT = "/admin/devices/auditevent/"


@pytest.fixture
def operator(db: None) -> Any:
    return get_user_model().objects.create_superuser("operator", password=PASSWORD)


def sign_in(client: Client, password: str, address: str = "192.0.2.1", username: str = "operator") -> int:
    data = {"username": username, "password": password, "next": "/admin/"}
    headers = {"user-agent": "Firefox"}
    return client.post("/admin/login/", data, REMOTE_ADDR=address, headers=headers).status_code


def test_five_failures_lock_the_user_from_that_address(operator: Any, client: Client) -> None:
    assert [sign_in(client, "wrong") for _ in range(5)] == [200, 200, 200, 200, 429]
    assert sign_in(client, PASSWORD) == 429
    assert sign_in(client, PASSWORD, address="192.0.2.2") == 302


def test_user_is_locked_out_from_a_whole_ipv6_network(operator: Any, client: Client) -> None:
    statuses = [sign_in(client, "wrong", address=f"2001:db8::{number}") for number in range(1, 6)]
    assert statuses == [200, 200, 200, 200, 429]
    assert sign_in(client, PASSWORD, address="2001:db8:0:1::1") == 302


def test_ipv4_mapped_address_counts_as_ipv4_address(operator: Any, client: Client) -> None:
    assert [sign_in(client, "wrong", address="::ffff:192.0.2.1") for _ in range(5)][-1] == 429
    assert sign_in(client, PASSWORD, address="192.0.2.1") == 429
    assert sign_in(client, PASSWORD, address="::ffff:192.0.2.2") == 302


def test_another_user_of_the_address_is_not_locked(operator: Any, client: Client) -> None:
    get_user_model().objects.create_superuser("colleague", password=PASSWORD)
    for _ in range(5):
        sign_in(client, "wrong")
    assert sign_in(client, PASSWORD, username="colleague") == 302


def test_lockout_ends_after_fifteen_minutes_despite_further_attempts(
    operator: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = timezone.now()

    def at(minute: int, password: str) -> int:
        monkeypatch.setattr("axes.handlers.proxy.now", lambda: begin + timedelta(minutes=minute))
        return sign_in(client, password)

    for minute in (0, 0, 0, 0, 0, 7, 14):
        at(minute, "wrong")
    assert at(14, PASSWORD) == 429
    assert at(16, PASSWORD) == 302


@pytest.mark.parametrize(("hops", "status"), [(0, 429), (1, 302)])
def test_forwarded_address_is_trusted_only_from_trusted_proxies(
    operator: Any, client: Client, settings: Any, hops: int, status: int
) -> None:
    settings.TRUSTED_PROXIES = hops
    data = {"username": "operator", "password": "wrong"}
    for number in range(5):
        client.post("/admin/login/", data, headers={"x-forwarded-for": f"198.51.100.{number}"})
    response = client.post("/admin/login/", {**data, "password": PASSWORD}, headers={"x-forwarded-for": "198.51.100.9"})
    assert response.status_code == status


def test_lockout_page_shows_the_duration_in_both_languages(operator: Any, client: Client) -> None:
    for _ in range(5):
        sign_in(client, "wrong")
    data = {"username": "operator", "password": PASSWORD}
    for language, text in (("en", "locked out from your network for 15 minutes"), ("id", "selama 15 menit")):
        response = client.post("/admin/login/", data, REMOTE_ADDR="192.0.2.1", headers={"accept-language": language})
        assert text in response.content.decode()


def test_only_operators_see_the_list_of_sign_ins(operator: Any, client: Client) -> None:
    for _ in range(5):
        sign_in(client, "wrong password, in clear")
    assert sign_in(client, PASSWORD, address="192.0.2.2") == 302
    for action, address in (
        ("signed_in", "192.0.2.2"),
        ("sign_in_failed", "192.0.2.1"),
        ("sign_in_locked", "192.0.2.1"),
    ):
        for query in ("", f"&user={operator.pk}", f"&q={address}"):
            rows = client.get(f"{AUDIT}?action__exact={action}{query}").context["cl"].result_list
            assert {(event.action, event.ip_address) for event in rows} == {(action, address)}, query
    page = client.get(f"{AUDIT}?action__exact=sign_in_failed").content.decode()
    assert "failed to sign in as" in page
    assert "browser: Firefox" in page
    assert "in clear" not in page
    assert not AccessAttempt.objects.filter(post_data__contains="in clear").exists()
    client.force_login(get_user_model().objects.create_user("nurse", is_staff=True))
    assert client.get(AUDIT).status_code == 403


def test_the_audit_log_is_the_only_list_of_sign_ins(operator: Any, client: Client) -> None:
    for _ in range(6):
        sign_in(client, "wrong")
    assert sign_in(client, PASSWORD, address="192.0.2.2") == 302
    assert client.post("/admin/logout/").status_code == 200
    assert not AccessLog.objects.exists()
    assert not AccessFailureLog.objects.exists()


def test_history_of_a_user_is_a_filtered_audit_log(operator: Any, client: Client) -> None:
    sign_in(client, PASSWORD)
    other = get_user_model().objects.create_superuser("other")
    client.post(f"/admin/devices/staffuser/{other.pk}/change/", {"first_name": "Other", "email": "o@vendor.example"})
    page = client.get(f"/admin/devices/staffuser/{other.pk}/history/", follow=True)
    events = page.context["cl"].result_list
    assert [(event.action, event.username, event.object_id) for event in events] == [
        ("user_changed", "operator", other.pk),
        ("user_added", "", other.pk),
    ]
    assert not LogEntry.objects.exists()


def test_an_idle_session_ends_after_thirty_minutes(operator: Any, client: Client) -> None:
    sign_in(client, PASSWORD)
    response = client.get("/admin/")
    assert response.cookies["sessionid"]["max-age"] == 30 * 60


def test_a_busy_session_ends_after_twelve_hours(operator: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(client, PASSWORD)
    assert client.get("/admin/").status_code == 200
    session = client.session
    session[BEGAN_AT] -= 12 * 60 * 60 - 60
    session.save()
    assert client.get("/admin/").status_code == 200
    session[BEGAN_AT] -= 120
    session.save()
    assert client.get("/admin/").status_code == 302


def test_api_sets_no_session_cookie(operator: Any, client: Client) -> None:
    response = client.get("/api/devices")
    assert "sessionid" not in response.cookies
