"""Sessions of the back office."""

from django.conf import settings as django_settings
from django.test import Client

LIST, SESSIONS, USERS = "/admin/devices/device/", "/admin/sessions/", "/admin/devices/staffuser/"


def key_of(client: Client) -> str:
    return str(client.cookies[django_settings.SESSION_COOKIE_NAME].value)


def is_open(client: Client) -> bool:
    return client.get(LIST).status_code == 200
