"""Check every endpoint and every page for every kind of caller, with an object of RS Harapan in the URL.

The tables are complete: a test walks the URL resolver and fails for a URL that is in no table. A row has the status
of each response. A rejected request writes nothing, and its response discloses nothing: it is the same as for an object
that does not exist.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import URLResolver, path
from django.urls.resolvers import RegexPattern
from django.utils import timezone

from devices.access import scopes
from devices.access.actor import SYSTEM, Actor
from devices.accounts import api_keys, users
from devices.db import queries
from devices.history import feed
from devices.imports import preview
from devices.models import (
    ApiKey,
    AuditEvent,
    AuthenticatorApp,
    Channel,
    Device,
    Hospital,
    ImportPreview,
    RateLimitCounter,
    Session,
)
from devices.registry import hospitals
from devices.tests.support.admin.routes import PAGES, PUBLIC, Ids, rows, url_for, walk
from devices.tests.support.client import Api, issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.pages import without_varying_parts

# The first status in the table applies to all five invalid keys.
INVALID_KEYS = ("none", "wrong", "malformed", "revoked", "expired")
KEYS = (*INVALID_KEYS, "read-only", "RS Sehat", "RS Harapan", "unbound")

# Further kinds of keys, and the column whose statuses they have. They are tested with FULLY_TESTED only.
LIKE = {
    "RS Harapan and RS Sehat": "RS Harapan",
    "RS Sehat and RS Jauh": "RS Sehat",
    "no hospital": "RS Sehat",
    "sandbox": "RS Sehat",
}
FULLY_TESTED = ("GET", "POST", "PUT", "PATCH", "DELETE")
OUTSIDE = (*INVALID_KEYS, "other network", *(name for name in ("RS Sehat", *LIKE) if LIKE.get(name) != "RS Harapan"))

# endpoint, method: invalid key, read-only, RS Sehat's, RS Harapan's, unbound
API = """
api/devices                GET     401 200 200 200 200
api/devices                HEAD    401 200 200 200 200
api/devices                POST    401 403 403 201 201
api/devices                PUT     401 403 405 405 405
api/devices                PATCH   401 403 405 405 405
api/devices                DELETE  401 403 405 405 405
api/devices                OPTIONS 401 405 405 405 405
api/devices                TRACE   401 403 405 405 405
api/devices/batch          GET     401 405 405 405 405
api/devices/batch          HEAD    401 405 405 405 405
api/devices/batch          POST    401 403 207 207 207
api/devices/batch          PUT     401 403 405 405 405
api/devices/batch          PATCH   401 403 405 405 405
api/devices/batch          DELETE  401 403 405 405 405
api/devices/batch          OPTIONS 401 405 405 405 405
api/devices/batch          TRACE   401 403 405 405 405
api/devices/changes        GET     401 200 200 200 200
api/devices/changes        HEAD    401 200 200 200 200
api/devices/changes        POST    401 403 405 405 405
api/devices/changes        PUT     401 403 405 405 405
api/devices/changes        PATCH   401 403 405 405 405
api/devices/changes        DELETE  401 403 405 405 405
api/devices/changes        OPTIONS 401 405 405 405 405
api/devices/changes        TRACE   401 403 405 405 405
api/device                 GET     401 405 405 405 405
api/device                 HEAD    401 405 405 405 405
api/device                 POST    401 403 403 201 201
api/device                 PUT     401 403 404 200 200
api/device                 PATCH   401 403 405 405 405
api/device                 DELETE  401 403 405 405 405
api/device                 OPTIONS 401 405 405 405 405
api/device                 TRACE   401 403 405 405 405
api/device/<int:id_device> GET     401 200 404 200 200
api/device/<int:id_device> HEAD    401 200 404 200 200
api/device/<int:id_device> POST    401 403 405 405 405
api/device/<int:id_device> PUT     401 403 404 200 200
api/device/<int:id_device> PATCH   401 403 404 200 200
api/device/<int:id_device> DELETE  401 403 404 200 200
api/device/<int:id_device> OPTIONS 401 405 405 405 405
api/device/<int:id_device> TRACE   401 403 405 405 405
api/hospitals              GET     401 200 200 200 200
api/hospitals              HEAD    401 200 200 200 200
api/hospitals              POST    401 403 405 405 405
api/hospitals              PUT     401 403 405 405 405
api/hospitals              PATCH   401 403 405 405 405
api/hospitals              DELETE  401 403 405 405 405
api/hospitals              OPTIONS 401 405 405 405 405
api/hospitals              TRACE   401 403 405 405 405
api/hospital/<int:hospital_id> GET     401 200 404 200 200
api/hospital/<int:hospital_id> HEAD    401 200 404 200 200
api/hospital/<int:hospital_id> POST    401 403 405 405 405
api/hospital/<int:hospital_id> PUT     401 403 405 405 405
api/hospital/<int:hospital_id> PATCH   401 403 405 405 405
api/hospital/<int:hospital_id> DELETE  401 403 405 405 405
api/hospital/<int:hospital_id> OPTIONS 401 405 405 405 405
api/hospital/<int:hospital_id> TRACE   401 403 405 405 405
api/key                    GET     401 200 200 200 200
api/key                    HEAD    401 200 200 200 200
api/key                    POST    401 403 405 405 405
api/key                    PUT     401 403 405 405 405
api/key                    PATCH   401 403 405 405 405
api/key                    DELETE  401 403 405 405 405
api/key                    OPTIONS 401 405 405 405 405
api/key                    TRACE   401 403 405 405 405
api                        GET     401 200 200 200 200
api                        HEAD    401 200 200 200 200
api                        POST    401 403 405 405 405
api                        PUT     401 403 405 405 405
api                        PATCH   401 403 405 405 405
api                        DELETE  401 403 405 405 405
api                        OPTIONS 401 405 405 405 405
api                        TRACE   401 403 405 405 405
api/devices/lookup         GET     401 405 405 405 405
api/devices/lookup         HEAD    401 405 405 405 405
api/devices/lookup         POST    401 200 200 200 200
api/devices/lookup         PUT     401 403 405 405 405
api/devices/lookup         PATCH   401 403 405 405 405
api/devices/lookup         DELETE  401 403 405 405 405
api/devices/lookup         OPTIONS 401 405 405 405 405
api/devices/lookup         TRACE   401 403 405 405 405
api/device/<int:id_device>/changes GET     401 200 404 200 200
api/device/<int:id_device>/changes HEAD    401 200 404 200 200
api/device/<int:id_device>/changes POST    401 403 405 405 405
api/device/<int:id_device>/changes PUT     401 403 405 405 405
api/device/<int:id_device>/changes PATCH   401 403 405 405 405
api/device/<int:id_device>/changes DELETE  401 403 405 405 405
api/device/<int:id_device>/changes OPTIONS 401 405 405 405 405
api/device/<int:id_device>/changes TRACE   401 403 405 405 405
"""

# `half` is an operator who has not entered the code of two-factor authentication, `nobody` an admin without a hospital.
ROLES = ("anonymous", "half", "nobody", "RS Sehat", "RS Harapan", "operator")
UNUSED_MAC = "00:00:00:00:00:EE"
BODIES: dict[tuple[str, str], Any] = {
    ("api/devices", "POST"): lambda ids: device_payload(9, device_holder="RS Harapan"),
    ("api/devices/batch", "POST"): lambda ids: [device_payload(9, device_holder="RS Harapan")],
    ("api/device", "POST"): lambda ids: device_payload(9, device_holder="RS Harapan"),
    ("api/device", "PUT"): lambda ids: device_payload(9, id=int(ids["device"])),
    ("api/device/<int:id_device>", "PUT"): lambda ids: device_payload(9),
    ("api/device/<int:id_device>", "PATCH"): lambda ids: {"device_name": "Changed"},
    ("api/devices/lookup", "POST"): lambda ids: {"device_mac": ["000000000001"]},
}
FORMS: dict[str, Any] = {
    "device": lambda ids: {**device_payload(9, device_mac=UNUSED_MAC), "device_holder": ids["hospital"]},
    "hospital": lambda ids: {"name": "Renamed"},
    "staffuser": lambda ids: {
        "first_name": "N",
        "email": "new@rs.example",
        "hospitals": ids["hospital"],
        "is_active": "1",
    },
    "apikey": lambda ids: {"name": "new", "naming": "snake_case", "hospital": ids["hospital"]},
}
ACTIONS: dict[str, dict[str, str]] = {
    "device": {"action": "retire"},
    "historicaldevice": {"action": "restore"},
    "hospital": {"action": "merge"},
    "staffuser": {"action": "reset_two_factor"},
    "apikey": {"action": "revoke"},
    "auditevent": {"action": "delete_selected"},
}


@dataclass
class Case:
    """The callers' keys, the id of an object of each kind of RS Harapan, and texts that disclose these objects."""

    keys: dict[str, str | None]
    ids: Ids
    secrets: list[str]


@pytest.fixture
def case(rs_a: Hospital, rs_b: Hospital) -> Case:
    device, _other = register(device_payload(1, device_holder=rs_a.name), device_payload(2, device_holder=rs_b.name))
    ratna = users.invite("Ibu Ratna", "ratna@rs.example", [rs_a])
    feed.state()
    users.invite("Ibu Sari", "sari@rs.example", [rs_b])
    User.objects.create_user("nobody", is_staff=True)
    User.objects.create_superuser("operator")
    AuthenticatorApp.objects.create(user=User.objects.create_superuser("half"), confirmed=True)
    key = issue("Ward app of Harapan", hospitals=[rs_a])
    ids = {
        "device": device.pk,
        "historicaldevice": Device.history.get(id=device.pk).pk,
        "hospital": rs_a.pk,
        "staffuser": ratna.pk,
        "apikey": key.key.pk,
        "auditevent": AuditEvent.objects.latest("pk").pk,
        "upload": import_preview(ratna).pk,
        "content_type": ContentType.objects.get_for_model(Device).pk,
    }
    secrets = [device.device_name, device.device_mac, rs_a.name, "Ratna", "ratna@", key.key.name, key.key.prefix]
    return Case(
        {"RS Harapan": key.text, **other_keys(rs_b), **further_keys(rs_a, rs_b)},
        {name: str(pk) for name, pk in ids.items()},
        [*secrets, "192.0.2.7", "harapan.csv", "Chosen"],
    )


def import_preview(admin: User) -> ImportPreview:
    by = Actor(Channel.IMPORT, user_id=admin.pk, scope=scopes.scope_for_user(admin))
    file = BytesIO(b"device_name,device_mac,device_type\nChosen,0000000000C0,CONSUMER\n")
    return preview.create_preview(file, "harapan.csv", by)


def other_keys(rs_b: Hospital) -> dict[str, str | None]:
    wrong, revoked, expired = (issue(name) for name in ("wrong", "revoked", "expired"))
    wrong.key.delete()
    api_keys.revoke(revoked.key, SYSTEM)
    ApiKey.objects.filter(pk=expired.key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    return {
        "none": None,
        "wrong": wrong.text,
        "malformed": "cxp_x",
        "revoked": revoked.text,
        "expired": expired.text,
        "read-only": issue("reader", read_only=True).text,
        "RS Sehat": issue("ward app of RS Sehat", hospitals=[rs_b]).text,
        "unbound": issue("unbound").text,
    }


def further_keys(rs_a: Hospital, rs_b: Hospital) -> dict[str, str | None]:
    far = hospitals.get_or_create(["RS Jauh"], SYSTEM)["rs jauh"]
    return {
        "RS Harapan and RS Sehat": issue("group", hospitals=[rs_a, rs_b]).text,
        "RS Sehat and RS Jauh": issue("another group", hospitals=[rs_b, far]).text,
        "no hospital": issue("nothing", hospitals=[]).text,
        "sandbox": issue("tries", sandbox=True).text,
        "other network": issue("elsewhere", allowed_networks="192.0.2.0/24").text,
    }


def signed_in(role: str) -> Client:
    names = {"RS Sehat": "sari@rs.example", "RS Harapan": "ratna@rs.example"}
    client = Client(raise_request_exception=False)
    if role != "anonymous":
        client.force_login(User.objects.get(username=names.get(role, role)))
    return client


MISSING = dict.fromkeys(
    (
        "device",
        "historicaldevice",
        "hospital",
        "staffuser",
        "apikey",
        "auditevent",
        "content_type",
    ),
    "999999",
)
MISSING["upload"] = "0b2ff5a0-6a3a-4a47-9d0a-3b8a4a9a0a11"
OWNERS = {"RS Harapan", "operator"}
WRITES_OWN_ROWS = {"admin/two-factor/", "admin/two-factor/set-up/"}  # a secret, a failed code


def snapshot() -> Any:
    """Return the number of rows of each table, and the objects, to compare them before and after a request."""
    automatic = (Session, AuditEvent, RateLimitCounter)  # written by the registry for any caller
    tables = [model for model in apps.get_models() if model not in automatic and not model._meta.proxy]
    counts = ", ".join(f"(SELECT count(*) FROM {connection.ops.quote_name(model._meta.db_table)})" for model in tables)
    objects = [Device, Hospital, ApiKey, User]
    values = [list(model.objects.order_by("pk").values()) for model in objects]  # type: ignore[attr-defined]
    for row in values[2]:
        del row["last_used_at"], row["last_used_ip_address"]
    return queries.fetch_one(f"SELECT {counts}"), values


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def normalized(response: Any, url: str) -> tuple[Any, ...]:
    """Return the response without parts that differ each time, and without the requested URL."""
    path, query = url.partition("?")[::2]
    body = re.sub(rb'(csrfmiddlewaretoken|_selected_action)" value="\w+"', rb"", response.content)
    body = without_varying_parts(body)
    body = re.sub(rb'("cursor":"|since=)[\w-]{60}', rb"", body)  # each cursor is different: test_hospitals_apart.py
    headers = {
        name: re.sub(r"since=[\w-]{60}", "", value)
        for name, value in response.headers.items()
        if name not in ("X-Request-ID", "Content-Length", "Expires")
    }
    return (
        response.status_code,
        body.replace(path.encode(), b"URL"),
        {name: value.replace(path, "URL") for name, value in headers.items()},
        query,
    )


def without_own_name(page: str) -> str:
    """Return the page without the lines for paper, which name the user who prints it."""
    return re.sub(r'<div class="print-header">.*?</div>', "", page, flags=re.DOTALL)


def test_every_route_is_in_a_table() -> None:
    routed = {"(root)" if route == "" else route for route in walk()}
    assert routed == {route for route, *_rest in rows(API) + rows(PAGES)} | PUBLIC.keys()


def test_a_new_route_is_noticed() -> None:
    def view(request: Any) -> HttpResponse:
        return HttpResponse()

    new = URLResolver(RegexPattern(""), [path("admin/devices/device/new/", view), path("api/new/", view)])
    assert set(walk(new)) == {"admin/devices/device/new/", "api/new"}


def test_every_page_of_the_admin_is_walked() -> None:
    walked = set(walk())
    for page in admin.site._registry.values():
        for pattern in page.get_urls():
            assert f"admin/{page.opts.app_label}/{page.opts.model_name}/{pattern.pattern}" in walked


@pytest.mark.parametrize(("route", "method", "statuses"), [(row[0], row[1], row[2:]) for row in rows(API)])
def test_endpoint_returns_the_status_of_the_table(case: Case, route: str, method: str, statuses: list[str]) -> None:
    expected = dict(zip(KEYS, [statuses[0]] * 5 + statuses[1:], strict=True))
    if method in FULLY_TESTED:
        expected |= {name: expected[column] for name, column in LIKE.items()} | {"other network": "403"}
    responses: dict[str, Any] = {}
    for ids in (case.ids, MISSING):
        body = BODIES[route, method](ids) if (route, method) in BODIES else None
        for role, key in case.keys.items():
            if role not in expected:
                continue
            before = snapshot()
            with rolled_back():
                response = Api(key)(method, url_for(route, ids), body)
                if response.status_code >= 400:
                    assert snapshot() == before
            responses.setdefault(role, []).append(response)
    assert {role: str(pair[0].status_code) for role, pair in responses.items()} == expected
    for role, (of_existing, of_missing) in responses.items():
        if role in OUTSIDE or of_existing.status_code >= 400:
            assert not [secret for secret in case.secrets if secret in of_existing.content.decode()]
            assert normalized(of_existing, url_for(route, case.ids)) == normalized(of_missing, url_for(route, MISSING))


@pytest.mark.parametrize(
    ("route", "method", "expected"), [(row[0], row[1], row[5]) for row in rows(API) if row[5] < "3"]
)
def test_key_of_several_hospitals_has_the_access_of_each(
    case: Case, rs_a: Hospital, rs_b: Hospital, route: str, method: str, expected: str
) -> None:
    """Its status is that of the key of RS Harapan, also if it registers no hospitals."""
    rs_c = hospitals.get_or_create(["RS Tiga"], SYSTEM)["rs tiga"]
    body = BODIES[route, method](case.ids) if (route, method) in BODIES else None
    for unknown_holder in ("register", "refuse"):
        both, others = (
            issue("several", hospitals=own, unknown_holder=unknown_holder).text for own in ([rs_a, rs_b], [rs_b, rs_c])
        )
        with rolled_back():
            assert str(Api(both)(method, url_for(route, case.ids), body).status_code) == expected
        with rolled_back():
            response = Api(others)(method, url_for(route, case.ids), body)
            assert not [secret for secret in case.secrets if secret in response.content.decode()]


def form(route: str, ids: Ids) -> dict[str, str]:
    """Return a form for the page that would change or delete the object, or run an action on it."""
    model = route.split("/")[2] if route.count("/") > 2 else ""
    if route.endswith("/delete/"):
        return {"post": "yes"}
    if route.endswith("/audit-trail/"):
        return {"format": "csv"}
    if route.endswith(("/add/", "/change/")) and model in FORMS:
        posted: dict[str, str] = FORMS[model](ids)
        return posted
    if route.endswith(f"/{model}/") and model in ACTIONS:
        return {**ACTIONS[model], "_selected_action": ids[model], "confirmed": "1"}
    return {}


@pytest.mark.parametrize(("route", "statuses"), [(row[0], row[1:]) for row in rows(PAGES)])
def test_page_returns_the_status_of_the_table(case: Case, route: str, statuses: list[str]) -> None:
    got = []
    for method in ("GET", "POST"):
        for role in ROLES:
            of_existing = visit(role, route, method, case.ids)
            got.append(str(of_existing.status_code))
            if role in OWNERS and of_existing.status_code < 400:
                continue
            text = without_own_name(b"".join(of_existing).decode())  # a CSV file is streamed
            assert [secret for secret in case.secrets if secret in text] == [], (method, role)
            if role not in OWNERS and (url_for(route, case.ids), form(route, case.ids)) != (
                url_for(route, MISSING),
                form(route, MISSING),
            ):
                of_missing = visit(role, route, method, MISSING)
                assert normalized(of_existing, url_for(route, case.ids)) == normalized(
                    of_missing, url_for(route, MISSING)
                ), role
    assert got == statuses


def visit(role: str, route: str, method: str, ids: Ids) -> Any:
    """Return the response to this role. Check that a role without access to the objects has written nothing else."""
    client, before = signed_in(role), snapshot()
    with rolled_back():
        response = client.generic(
            method, url_for(route, ids), urlencode(form(route, ids)), "application/x-www-form-urlencoded"
        )
        assert role in OWNERS or route in WRITES_OWN_ROWS or snapshot() == before
    return response


@pytest.mark.parametrize("route", PUBLIC)
def test_public_page_is_the_same_for_all_users(case: Case, route: str) -> None:
    responses = {role: normalized(visit(role, route, "GET", case.ids), "-")[:2] for role in ROLES}
    assert {role: response for role, response in responses.items() if response != responses["anonymous"]} == {}
    assert responses["anonymous"][0] == PUBLIC[route]
    if not route.startswith("api/guide"):  # whose examples have the same names
        assert not [secret for secret in case.secrets if secret.encode() in responses["anonymous"][1]]


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_of_a_page_show_no_more_than_get_and_write_nothing(case: Case, method: str) -> None:
    for route, *statuses in rows(PAGES):
        if "/device/" in route or "/hospital/" in route:
            response = visit("RS Sehat", route, method, case.ids)
            assert str(response.status_code) in (statuses[3], "403", "405"), route
            assert [secret for secret in case.secrets if secret in response.content.decode()] == [], route
