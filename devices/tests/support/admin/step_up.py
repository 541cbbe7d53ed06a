"""Users whose sign-in is changed, and the confirmation of the identity that this needs."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from devices.accounts import sessions
from devices.audit.audit_log import Action
from devices.models import ApiKey, AuditEvent, AuthenticatorApp, Hospital, StaffUser


@pytest.fixture
def operator_user(operator: Client) -> User:
    return User.objects.get(username="operator")


@pytest.fixture
def user(ratna: Client) -> StaffUser:
    return StaffUser.objects.get(first_name="Ibu Ratna")


@pytest.fixture
def colleague(db: None) -> StaffUser:
    """Another operator."""
    user = User.objects.create_superuser("colleague", "colleague@vendor.example")
    return StaffUser.objects.get(pk=user.pk)


@pytest.fixture
def stale(operator: Client) -> Client:
    """An operator's client whose confirmation has expired."""
    return make_stale(operator)


def make_stale(client: Client) -> Client:
    """Let the confirmation of the session expire."""
    session = client.session
    session[sessions.CONFIRMED_AT] -= sessions.FRESH_FOR + 1
    session.save()
    return client


def user_form(*hospitals: Hospital, **fields: Any) -> dict[str, Any]:
    form = {"first_name": "Ibu Sari", "email": "sari@rs.example", "is_active": "on", **fields}
    return form | {"hospitals": [hospital.pk for hospital in hospitals]}


def sign_in_state() -> Any:
    """Return the stored data that determines which users and keys can sign in, and how."""
    users = list(User.objects.order_by("pk").values("pk", "username", "email", "password", "is_active", "is_superuser"))
    admins = list(Hospital.admins.through.objects.order_by("pk").values())
    keys = list(ApiKey.objects.order_by("pk").values("pk", "hospitals", "revoked_at", "expires_at"))
    links = AuditEvent.objects.filter(action=Action.PASSWORD_LINK_CREATED).count()
    return users, admins, keys, links, list(AuthenticatorApp.objects.order_by("pk").values("pk", "key", "confirmed"))
