"""Limits of the checks of passwords and codes, and of concurrent hashing."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import PBKDF2PasswordHasher, make_password
from django.contrib.auth.models import User
from django.db import DatabaseError, connection
from django.test import Client

from devices.accounts import password_hashing
from devices.audit import audit_log
from devices.audit.audit_log import Action
from devices.models import AuditEvent, AuthenticatorApp
from devices.ratelimit import stores
from devices.tests.support.admin.sign_in import WRONG, send_code, sign_in
from devices.tests.support.admin.two_factor import CHECK, next_code_of, set_up, sign_in_again
from devices.tests.support.admin.users import PASSWORD, add_user, set_password, shown_link
from devices.tests.support.concurrency import at_once

CHANGE = "/admin/password_change/"


@pytest.fixture
def no_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the shared counter fail, as it does while another transaction writes to SQLite."""

    def fail(*_args: Any, **_kwargs: Any) -> None:
        raise DatabaseError("busy")

    monkeypatch.setattr(stores.DatabaseStore, "reserve", fail)


@pytest.fixture
def no_free_slot() -> Iterator[None]:
    assert password_hashing.lock.acquire(blocking=False)
    yield
    password_hashing.lock.release()


def change_password(client: Client, old: str, new: str = "pagi-cerah-7") -> Any:
    return client.post(CHANGE, {"old_password": old, "new_password1": new, "new_password2": new})


def recorded(action: str) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action))


# --- Hashing


@pytest.mark.parametrize("name", ["keeper", "nobody"])
def test_sign_in_returns_503_at_once_if_no_slot_is_free(
    user: User, hashes: list[str], no_free_slot: None, name: str
) -> None:
    response = sign_in(name, PASSWORD)
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert "has not checked yours" in response.content.decode()
    assert hashes == []


@pytest.mark.parametrize("name", ["keeper", "nobody"])
def test_known_and_unknown_names_take_one_hash(user: User, hashes: list[str], name: str) -> None:
    assert sign_in(name).status_code == 200
    assert hashes == [WRONG]


def test_503_is_not_counted_as_a_failed_sign_in(user: User, no_free_slot: None) -> None:
    for _ in range(6):
        sign_in("keeper", PASSWORD)
    assert not AccessAttempt.objects.exists()
    assert recorded(Action.SIGN_IN_FAILED) == []


def test_password_change_returns_503_if_no_slot_is_free(user: User, no_free_slot: None) -> None:
    assert change_password(sign_in_again(user), PASSWORD).status_code == 503
    assert recorded(Action.PASSWORD_REJECTED) == []


def test_link_stays_valid_if_no_slot_is_free(operator: Client, rs_a: Any, hashes: list[str]) -> None:
    path = shown_link(add_user(operator, rs_a))
    password_hashing.lock.acquire()
    try:
        assert set_password(Client(), path, "pagi-cerah-7").status_code == 503
    finally:
        password_hashing.lock.release()
    assert "Your password is set." in set_password(Client(), path, "pagi-cerah-7").content.decode()


@pytest.mark.django_db(transaction=True)
def test_process_hashes_at_most_one_password_at_a_time(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = [0], [0]
    encode = PBKDF2PasswordHasher.encode

    def slow(hasher: Any, *args: Any) -> str:
        running[0] += 1
        most[0] = max(most[0], running[0])
        done.wait(60)
        running[0] -= 1
        return str(encode(hasher, *args))

    done = threading.Event()
    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", slow)
    statuses: list[int] = []

    def attempt(n: int) -> int:
        status = int(sign_in(f"name {n}").status_code)
        statuses.append(status)
        if len(statuses) == 7:  # all but the one that hashes have returned
            done.set()
        return status

    assert sorted(at_once(8, attempt)) == [200] + [503] * 7
    assert most == [1]


def test_command_waits_for_a_slot(hashes: list[str], no_free_slot: None) -> None:
    hashed: list[str] = []
    command = threading.Thread(target=lambda: hashed.append(make_password(PASSWORD)))
    command.start()
    password_hashing.lock.release()
    command.join(10)
    assert len(hashed) == 1
    password_hashing.lock.acquire()


def test_stored_hashes_stay_valid(db: None, client: Client) -> None:
    encoded = PBKDF2PasswordHasher().encode(PASSWORD, "salt")
    User.objects.create(username="keeper", password=encoded, is_staff=True)
    assert sign_in("keeper", PASSWORD).status_code == 302


# --- Rates


def test_network_over_its_rate_returns_429_without_hash(user: User, hashes: list[str], settings: Any) -> None:
    settings.SIGN_IN_RATE = "3/h"
    assert [sign_in(f"name {n}").status_code for n in range(3)] == [200] * 3
    hashes.clear()
    response = sign_in("keeper", PASSWORD)
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 3600
    assert "Too many attempts" in response.content.decode()
    assert hashes == []
    assert sign_in("keeper", PASSWORD, "192.0.2.2").status_code == 302


def test_limited_sign_in_is_recorded_once_a_minute(user: User, settings: Any) -> None:
    settings.SIGN_IN_RATE = "1/h"
    for n in range(10):
        sign_in(f"name {n}")
    [event] = recorded(Action.SIGN_IN_LIMITED)
    assert event.ip_address == "192.0.2.1"
    assert recorded(Action.DENIED) == []


def test_refused_sign_in_takes_no_query(user: User, settings: Any, django_assert_num_queries: Any) -> None:
    settings.SIGN_IN_RATE = "1/h"
    for _ in range(3):
        sign_in("nobody")
    with django_assert_num_queries(0):
        assert sign_in("nobody").status_code == 429


def test_ipv6_site_has_four_times_the_rate_of_its_networks(user: User, settings: Any) -> None:
    for n in range(9):
        assert sign_in("keeper", PASSWORD, f"2001:db8:0:{n}::1").status_code == 302
    settings.SIGN_IN_RATE = "2/h"
    statuses = [sign_in(f"name {n}", address=f"2001:db8:0:{n}::1").status_code for n in range(9)]
    assert statuses == [200] * 8 + [429]
    assert sign_in("nobody", address="2001:db8:1::1").status_code == 200


def test_limit_of_new_networks_does_not_affect_networks_in_use(user: User, hashes: list[str], settings: Any) -> None:
    assert sign_in("keeper", PASSWORD, "198.51.100.1").status_code == 302
    settings.SIGN_IN_RATE_ALL = "4/h"
    hashes.clear()
    statuses = [sign_in(f"name {n}", address=f"192.0.2.{n}").status_code for n in range(1, 10)]
    assert statuses == [200] * 4 + [429] * 5
    assert len(hashes) == 4
    assert sign_in("keeper", PASSWORD, "198.51.100.1").status_code == 302


@pytest.fixture
def one_hash_of_new_networks(user: User, settings: Any) -> None:
    settings.SIGN_IN_RATE_ALL = "1/h"


@pytest.mark.parametrize(("name", "password"), [("", ""), ("keeper", ""), ("  ", "x")])
def test_form_without_hash_does_not_count_for_new_networks(
    one_hash_of_new_networks: None, name: str, password: str
) -> None:
    for n in range(3):
        assert sign_in(name, password, f"192.0.2.{n}").status_code == 200
    assert sign_in("keeper", PASSWORD, "203.0.113.1").status_code == 302


def test_locked_user_does_not_count_for_new_networks(user: User, settings: Any) -> None:
    for _ in range(5):
        sign_in("nobody")
    settings.SIGN_IN_RATE_ALL = "1/h"
    assert [sign_in("nobody").status_code for _ in range(3)] == [429] * 3
    assert sign_in("keeper", PASSWORD, "203.0.113.1").status_code == 302


def test_503_does_not_count_for_new_networks(one_hash_of_new_networks: None) -> None:
    password_hashing.lock.acquire()
    try:
        assert [sign_in("nobody", address=f"192.0.2.{n}").status_code for n in range(3)] == [503] * 3
    finally:
        password_hashing.lock.release()
    assert sign_in("keeper", PASSWORD, "203.0.113.1").status_code == 302


def test_password_link_is_not_limited_with_new_networks(
    operator: Client, rs_a: Any, one_hash_of_new_networks: None
) -> None:
    path = shown_link(add_user(operator, rs_a))
    assert [sign_in("nobody", address=f"192.0.2.{n}").status_code for n in range(2)] == [200, 429]
    assert "Your password is set." in set_password(Client(), path, "pagi-cerah-7").content.decode()


@pytest.mark.parametrize("path", [CHANGE, CHECK])
def test_sessions_are_not_limited_with_new_networks(one_hash_of_new_networks: None, user: User, path: str) -> None:
    client = sign_in_again(user)
    set_up(client, user)
    assert [sign_in("nobody", address=f"192.0.2.{n}").status_code for n in range(2)] == [200, 429]
    if path == CHECK:
        assert sign_in_again(user).post(path, {"code": next_code_of(user)}).status_code == 302
    else:
        assert change_password(client, PASSWORD).status_code == 302


def test_new_ipv6_site_has_the_rate_of_one_network(user: User, settings: Any) -> None:
    settings.SIGN_IN_RATE = "3/h"
    statuses = [sign_in(f"name {n}", address=f"2001:db8:0:{n}::1").status_code for n in range(5)]
    assert statuses == [200] * 3 + [429] * 2
    assert sign_in("keeper", PASSWORD, "2001:db8:1::1").status_code == 302


def test_network_used_long_ago_counts_as_new(user: User, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in("keeper", PASSWORD, "198.51.100.1")
    monkeypatch.setattr(audit_log, "KNOWN_FOR", timedelta(0))
    settings.SIGN_IN_RATE_ALL = "1/h"
    sign_in("nobody")
    assert sign_in("keeper", PASSWORD, "198.51.100.1").status_code == 429


def test_spraying_stops_after_twenty_failures(user: User, hashes: list[str]) -> None:
    statuses = [sign_in(f"name {n}").status_code for n in range(30)]
    assert statuses == [200] * 20 + [429] * 10
    assert len(hashes) == 20
    assert sign_in("keeper", PASSWORD).status_code == 429
    assert sign_in("keeper", PASSWORD, "192.0.2.2").status_code == 302


def test_spraying_does_not_affect_sessions_of_the_network(user: User) -> None:
    client = Client()
    sign_in("keeper", PASSWORD, client=client)
    for n in range(21):
        sign_in(f"name {n}")
    assert client.get("/admin/", REMOTE_ADDR="192.0.2.1").status_code == 200


@pytest.mark.parametrize("page", ["login/", "password_change/", "two-factor/", "two-factor/set-up/"])
def test_every_page_that_checks_a_secret_is_limited(user: User, settings: Any, page: str) -> None:
    settings.SIGN_IN_RATE = "1/h"
    client = sign_in_again(user)
    if page == "two-factor/":
        set_up(client, user)
        client = sign_in_again(user)
        Client().post("/admin/login/")
    for _ in range(3):
        response = client.post(f"/admin/{page}", {"username": "x", "password": "y", "code": "000000"})
    assert response.status_code == 429


def test_link_page_is_limited(operator: Client, rs_a: Any, settings: Any) -> None:
    path = shown_link(add_user(operator, rs_a))
    settings.SIGN_IN_RATE = "1/h"
    assert set_password(Client(), path, "too short").status_code == 200
    assert set_password(Client(), path, "pagi-cerah-7").status_code == 429


def test_form_without_csrf_token_is_not_counted(user: User, settings: Any) -> None:
    settings.SIGN_IN_RATE = "1/h"
    for _ in range(3):
        sign_in("nobody", client=Client(enforce_csrf_checks=True))
    assert sign_in("keeper", PASSWORD).status_code == 302


def test_limit_page_is_translated(user: User, settings: Any) -> None:
    settings.SIGN_IN_RATE = "1/h"
    sign_in("nobody")
    form = {"username": "keeper", "password": PASSWORD}
    page = Client().post("/admin/login/", form, REMOTE_ADDR="192.0.2.1", headers={"accept-language": "id"})
    assert "Terlalu banyak percobaan" in page.content.decode()


# --- The current password


def test_wrong_current_passwords_are_refused_after_five(user: User, hashes: list[str]) -> None:
    client = sign_in_again(user)
    assert [change_password(client, "wrong").status_code for _ in range(6)] == [200] * 5 + [429]
    hashes.clear()
    assert change_password(client, PASSWORD).status_code == 429
    assert hashes == []
    assert User.objects.get().check_password(PASSWORD)


def test_wrong_current_password_is_recorded(user: User) -> None:
    client = sign_in_again(user)
    for _ in range(5):
        change_password(client, "wrong")
    assert [event.object_id for event in recorded(Action.PASSWORD_REJECTED)] == [user.pk] * 5


def test_guessing_in_one_session_does_not_limit_other_sessions(user: User) -> None:
    stolen = sign_in_again(user)
    for _ in range(6):
        change_password(stolen, "wrong")
    assert change_password(sign_in_again(user), PASSWORD).status_code == 302


def test_current_password_changes_the_password(user: User) -> None:
    client = sign_in_again(user)
    assert change_password(client, PASSWORD).headers["Location"] == "/admin/"
    assert User.objects.get().check_password("pagi-cerah-7")
    assert client.get("/admin/").status_code == 200


def test_session_key_is_not_stored_with_the_count(user: User) -> None:
    client = sign_in_again(user)
    change_password(client, "wrong")
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM devices_ratelimitcounter")
        names = [name for (name,) in cursor.fetchall()]
    assert [name for name in names if name.startswith("password:")]
    assert not [name for name in names if str(client.session.session_key) in name]


# --- Codes


def test_five_wrong_codes_limit_their_network(protected: User) -> None:
    assert [send_code(protected, "000000") for _ in range(6)] == ["wrong"] * 5 + ["wait"]
    assert send_code(protected, next_code_of(protected)) == "wait"


@pytest.mark.parametrize("address", ["198.51.100.1", "203.0.113.1"])
def test_wrong_codes_from_elsewhere_do_not_lock_out_the_user(protected: User, address: str) -> None:
    for _ in range(10):
        send_code(protected, "000000")
    assert send_code(protected, next_code_of(protected), address) == "in"


def test_right_code_is_not_counted(protected: User) -> None:
    assert [send_code(protected, next_code_of(protected)) for _ in range(8)] == ["in"] * 8


def test_codes_from_new_networks_share_twenty_a_day(protected: User) -> None:
    results = [send_code(protected, "000000", f"192.0.2.{n}") for n in range(25)]
    assert results == ["wrong"] * 20 + ["wait"] * 5
    assert send_code(protected, next_code_of(protected), "203.0.113.1") == "wait"
    assert send_code(protected, next_code_of(protected), "198.51.100.1") == "in"


def test_known_network_has_twenty_wrong_codes_a_day(protected: User, monkeypatch: pytest.MonkeyPatch) -> None:
    began_at = stores.limiter().clock()
    results = []
    for quarter in range(5):
        monkeypatch.setattr(stores.limiter(), "clock", partial(float, began_at + quarter * 900))
        results += [send_code(protected, "000000", "198.51.100.1") for _ in range(5)]
    assert results == ["wrong"] * 20 + ["wait"] * 5


def test_new_password_resets_the_limit_of_codes(protected: User) -> None:
    for _ in range(5):
        send_code(protected, "000000")
    protected.set_password("pagi-cerah-7")
    protected.save()
    assert send_code(protected, next_code_of(protected)) == "in"


def test_wrong_recovery_codes_are_counted_with_the_others(protected: User) -> None:
    codes = ["aaaaaaaa", "000000", "bbbbbbbb", "111111", "cccccccc"]
    assert [send_code(protected, code) for code in codes] == ["wrong"] * 5
    assert send_code(protected, "dddddddd") == "wait"


@pytest.mark.django_db(transaction=True)
def test_codes_sent_at_once_are_counted(protected: User) -> None:
    clients = [sign_in_again(protected) for _ in range(8)]
    at_once(8, lambda n: clients[n].post(CHECK, {"code": "000000"}))
    assert send_code(protected, "000000", "127.0.0.1") == "wait"
    assert AuthenticatorApp.objects.get().throttling_failure_count == 5


# --- A counter that fails


def test_sign_ins_are_limited_without_a_counter(user: User, settings: Any, hashes: list[str], no_counter: None) -> None:
    settings.SIGN_IN_RATE = "3/h"
    assert [sign_in(f"name {n}").status_code for n in range(5)] == [200] * 3 + [429] * 2
    assert len(hashes) == 3


def test_spraying_stops_without_a_counter(user: User, no_counter: None) -> None:
    assert [sign_in(f"name {n}").status_code for n in range(22)] == [200] * 20 + [429] * 2


def test_current_passwords_are_limited_without_a_counter(user: User, no_counter: None) -> None:
    client = sign_in_again(user)
    assert [change_password(client, WRONG).status_code for _ in range(7)] == [200] * 5 + [429] * 2


def test_codes_are_limited_without_a_counter(protected: User, no_counter: None) -> None:
    assert [send_code(protected, "000000") for _ in range(7)] == ["wrong"] * 5 + ["wait"] * 2
