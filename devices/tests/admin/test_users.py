"""Operators add hospital admins, who set a password with a link and sign in."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from devices.models import Hospital, StaffUser
from devices.tests.support.admin.users import USERS, add_user, set_password, shown_link
from devices.tests.support.concurrency import at_once


def test_added_hospital_admin_sets_a_password_and_signs_in(operator: Client, rs_a: Hospital) -> None:
    path = shown_link(add_user(operator, rs_a))
    ratna = Client()
    page = set_password(ratna, path, "pagi-cerah-7").content.decode()
    assert "Your password is set." in page
    signed_in = ratna.post("/admin/login/", {"username": "RATNA@rs-harapan.example", "password": "pagi-cerah-7"})
    assert signed_in.status_code == 302
    assert ratna.get("/admin/devices/device/").status_code == 200


def test_the_link_works_once(operator: Client, rs_a: Hospital) -> None:
    path = shown_link(add_user(operator, rs_a))
    set_password(Client(), path, "pagi-cerah-7")
    page = Client().get(path, follow=True).content.decode()
    assert "This link was already used" in page
    assert "new_password1" not in page


@pytest.mark.django_db(transaction=True)
def test_only_one_of_concurrent_requests_sets_the_password(operator: Client, rs_a: Hospital) -> None:
    path = shown_link(add_user(operator, rs_a))
    clients = [Client() for _ in range(4)]
    forms = [client.get(path, follow=True).request["PATH_INFO"] for client in clients]
    words = [f"pagi-cerah-{number}" for number in range(4)]
    sent = [{"new_password1": word, "new_password2": word} for word in words]
    statuses = at_once(4, lambda n: clients[n].post(forms[n], sent[n]).status_code)
    assert sorted(statuses) == [200, 200, 200, 302]
    assert User.objects.get(first_name="Ibu Ratna").check_password(words[statuses.index(302)])


def test_weak_password_is_rejected(operator: Client, rs_a: Hospital) -> None:
    path = shown_link(add_user(operator, rs_a))
    assert "too common" in set_password(Client(), path, "password123").content.decode()
    assert not User.objects.get(username="ratna@rs-harapan.example").has_usable_password()


def test_new_link_sets_a_lost_password(operator: Client, ratna: Client) -> None:
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    response = operator.post(USERS, {"action": "send_link", "_selected_action": user.pk}, follow=True)
    assert "Your password is set." in set_password(Client(), shown_link(response), "sore-teduh-8").content.decode()


def test_new_link_invalidates_the_previous_one(operator: Client, rs_a: Hospital) -> None:
    first = shown_link(add_user(operator, rs_a))
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    second = shown_link(operator.post(USERS, {"action": "send_link", "_selected_action": user.pk}, follow=True))
    assert "new_password1" not in Client().get(first, follow=True).content.decode()
    assert "Your password is set." in set_password(Client(), second, "sore-teduh-8").content.decode()


def test_link_of_a_deactivated_user_is_invalid(operator: Client, rs_a: Hospital) -> None:
    path = shown_link(add_user(operator, rs_a))
    browser = Client()
    form_url = browser.get(path, follow=True).request["PATH_INFO"]
    User.objects.filter(first_name="Ibu Ratna").update(is_active=False)
    browser.post(form_url, {"new_password1": "sore-teduh-8", "new_password2": "sore-teduh-8"})
    assert "new_password1" not in Client().get(path, follow=True).content.decode()
    assert not User.objects.get(first_name="Ibu Ratna").has_usable_password()


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"first_name": " "}, "first_name"), ({"email": "ratna"}, "email"), ({"email": "RATNA@rs.example"}, "email")],
)
def test_errors_are_shown_next_to_their_fields(
    operator: Client, ratna: Client, rs_a: Hospital, fields: dict[str, str], field: str
) -> None:
    response = add_user(operator, rs_a, **fields)
    assert list(response.context["adminform"].form.errors) == [field]


def test_a_hospital_admin_has_a_hospital(operator: Client, db: None) -> None:
    assert list(add_user(operator).context["adminform"].form.errors) == ["hospitals"]


def test_deactivated_user_loses_access(operator: Client, ratna: Client, rs_a: Hospital) -> None:
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    form = {"first_name": "Ibu Ratna", "email": "ratna@rs.example", "hospitals": [rs_a.pk]}
    assert operator.post(f"{USERS}{user.pk}/change/", form).status_code == 302
    assert ratna.get("/admin/devices/device/").status_code == 302
    assert operator.get(f"{USERS}{user.pk}/delete/").status_code == 403


def test_user_moved_to_another_hospital_sees_only_that_one(
    operator: Client, ratna: Client, rs_b: Hospital, devices: Any
) -> None:
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    form = {"first_name": "Ibu Ratna", "email": "ratna@rs.example", "hospitals": [rs_b.pk], "is_active": "on"}
    operator.post(f"{USERS}{user.pk}/change/", form)
    page = ratna.get("/admin/devices/device/").content.decode()
    assert ("Cuff 1" in page, "Cuff 2" in page) == (False, True)


def test_admin_has_no_pages_of_permissions(ratna: Client) -> None:
    assert not {User, Group, Permission} & set(admin.site._registry)


def test_permissions_in_the_database_grant_no_access_to_operator_pages(ratna: Client) -> None:
    User.objects.get(first_name="Ibu Ratna").user_permissions.set(Permission.objects.all())
    for page in ("apikey", "staffuser"):
        assert ratna.get(f"/admin/devices/{page}/").status_code == 403
    assert ratna.get("/admin/devices/auditevent/").status_code == 403


def test_users_are_filtered_by_hospital(operator: Client, ratna: Client, rs_a: Hospital, rs_b: Hospital) -> None:
    for hospital, names in ((rs_a, ["Ibu Ratna"]), (rs_b, [])):
        response = operator.get(f"{USERS}?hospitals__id__exact={hospital.pk}")
        assert [str(user) for user in response.context["cl"].result_list] == names
        assert 'name="hospitals__id__exact"' in response.content.decode()


@pytest.mark.parametrize("hospital", ["x", "\0", "-1", "1,2", "9" * 30])
def test_filter_by_a_malformed_hospital_causes_no_server_error(operator: Client, rs_a: Hospital, hospital: str) -> None:
    assert operator.get(USERS, {"hospitals__id__exact": hospital}, follow=True).status_code in (200, 400)


def test_new_password_ends_a_lockout(operator: Client, ratna: Client) -> None:
    user = StaffUser.objects.get(first_name="Ibu Ratna")
    browser, form = Client(), {"username": "ratna@rs.example", "password": "wrong"}
    assert [browser.post("/admin/login/", form).status_code for _ in range(5)][-1] == 429
    path = shown_link(operator.post(USERS, {"action": "send_link", "_selected_action": user.pk}, follow=True))
    set_password(browser, path, "sore-teduh-8")
    assert browser.post("/admin/login/", form | {"password": "sore-teduh-8"}).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_page_of_a_password_link_opens_no_transaction(client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/admin/set-password/MQ/abc-def/").status_code == 200
    assert not [query for query in queries if query["sql"].startswith(("BEGIN", "SAVEPOINT"))]
