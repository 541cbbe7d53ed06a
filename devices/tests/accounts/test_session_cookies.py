"""When a session ends, its data in the browser is deleted."""

import time
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages.storage import default_storage
from django.test import Client, RequestFactory

from devices.accounts.sessions import BEGAN_AT

CLEARED = '"cache", "storage"'


def test_signing_out_clears_the_browser_cache_and_storage(operator: Client) -> None:
    response = operator.post("/admin/logout/")
    assert response["Clear-Site-Data"] == CLEARED
    assert response.cookies["sessionid"]["max-age"] == 0
    assert operator.get("/admin/login/").status_code == 200


def test_expired_session_is_cleared_too(operator: Client) -> None:
    session = operator.session
    session[BEGAN_AT] = time.time() - 13 * 60 * 60
    session.save()
    response = operator.get("/admin/")
    assert (response.status_code, response["Clear-Site-Data"]) == (302, CLEARED)


def test_session_ended_by_a_new_password_is_cleared_too(operator: Client) -> None:
    user = User.objects.get()
    user.set_password("another one")
    user.save()
    assert operator.get("/admin/")["Clear-Site-Data"] == CLEARED


def test_cookie_of_an_unknown_session_is_deleted_and_cleared_too(client: Client, db: None) -> None:
    response = client.get("/admin/login/", headers={"cookie": "sessionid=unknown"})
    assert (response["Clear-Site-Data"], response.cookies["sessionid"]["max-age"]) == (CLEARED, 0)


def test_no_other_response_clears_anything(operator: Client, client: Client) -> None:
    for response in (
        operator.get("/admin/"),
        client.get("/admin/"),
        client.post("/admin/logout/"),
        client.get("/admin/login/"),
    ):
        assert "Clear-Site-Data" not in response


def test_signing_in_works_right_after_signing_out(db: None) -> None:
    User.objects.create_superuser("root", password="correct horse battery")
    client = Client(enforce_csrf_checks=True)
    for _ in range(2):
        token = client.get("/admin/login/").context["csrf_token"]
        form = {"username": "root", "password": "correct horse battery", "csrfmiddlewaretoken": str(token)}
        assert client.post("/admin/login/", form).status_code == 302
        token = client.get("/admin/").context["csrf_token"]
        assert "Clear-Site-Data" in client.post("/admin/logout/", {"csrfmiddlewaretoken": str(token)})


def test_messages_set_no_cookie() -> None:
    request: Any = RequestFactory().get("/")
    request.session = {}
    assert type(default_storage(request)).__name__ == "SessionStorage"


@pytest.mark.usefixtures("db")
def test_a_message_is_shown_once(operator: Client) -> None:
    response = operator.post(
        "/admin/devices/staffuser/", {"action": "send_link", "_selected_action": ["0"]}, follow=True
    )
    assert "messages" not in operator.cookies
    shown = [str(message) for message in response.context["messages"]]
    assert len(shown) == 1
    assert list(operator.get("/admin/").context["messages"]) == []
