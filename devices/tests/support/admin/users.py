"""Users of the back office."""

import re
from functools import cache
from typing import Any

from django.contrib.auth.hashers import make_password
from django.test import Client

from devices.models import Hospital

PASSWORD = "pagi-cerah-7"  # of the signed-in users
USERS = "/admin/devices/staffuser/"


@cache
def password_hash() -> str:
    """Return the hash of PASSWORD. It is computed once for all tests, because hashing is slow on purpose."""
    return make_password(PASSWORD)


def add_user(client: Client, *hospitals: Hospital, **fields: Any) -> Any:
    form = {"first_name": "Ibu Ratna", "email": "Ratna@RS-Harapan.example", **fields}
    return client.post(f"{USERS}add/", form | {"hospitals": [hospital.pk for hospital in hospitals]}, follow=True)


def shown_link(response: Any) -> str:
    """Return the path of the link on the page to which the response redirects."""
    if response.status_code == 302:
        response = response.client.get(response.headers["Location"])
    match = re.search(r"http://testserver(/admin/set-password/[^<\s]+)", response.content.decode())
    assert match
    return match[1]


def set_password(client: Client, path: str, password: str) -> Any:
    form_url = client.get(path, follow=True).request["PATH_INFO"]
    return client.post(form_url, {"new_password1": password, "new_password2": password}, follow=True)
