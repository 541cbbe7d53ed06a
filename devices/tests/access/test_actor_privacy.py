"""Hospital admins see the name and address of an actor only if the actor belongs to one of their hospitals."""

from itertools import count
from typing import Any, NamedTuple

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import translation

from devices import registry
from devices.access.actor import SYSTEM, Actor
from devices.accounts import users
from devices.admin import actors as shown_actors
from devices.models import ApiKey, Channel, Device, Hospital
from devices.tests.support.admin.routes import url_for, walk
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register

pytestmark = pytest.mark.django_db

CHANGES = "/admin/devices/historicaldevice/"


class Expected(NamedTuple):
    actor: Actor
    shown_name: str
    is_address_shown: bool


@pytest.fixture
def actors(rs_a: Hospital, rs_b: Hospital, ratna: Client, operator: Client) -> dict[str, Expected]:
    """One actor of each kind with a different IP address, and what an admin of RS Harapan sees of it."""
    rs_c = register(device_payload(99, device_holder="RS Ketiga"))[0].device_holder
    other_admin, other_app = "administrator of another hospital", "application of another hospital"
    operator_and_admin = operator_user("op-both")
    rs_a.admins.add(operator_and_admin)
    admins: dict[str, tuple[User, str, bool]] = {
        "colleague": (hospital_admin("colleague", rs_a), "colleague@rs.example", True),
        "colleague who left": (hospital_admin("inactive", rs_a, is_active=False), "inactive@rs.example", True),
        "admin of both": (hospital_admin("both", rs_a, rs_b), "both@rs.example", False),
        "admin of another": (hospital_admin("sari", rs_b), other_admin, False),
        "admin of none": (hospital_admin("former"), other_admin, False),
        "inactive of another": (hospital_admin("gone", rs_b, is_active=False), other_admin, False),
        "operator": (User.objects.get(username="operator"), "operator", False),
        "operator who left": (operator_user("op-left", is_active=False), "operator", False),
        "operator and admin": (operator_and_admin, "operator", False),
    }
    keys: dict[str, tuple[ApiKey, str, bool]] = {
        "own key": (issue("ward app", hospitals=[rs_a]).key, "API key ward app", True),
        "key of both": (issue("group app", hospitals=[rs_a, rs_b]).key, "API key group app", False),
        "another's key": (issue("hidden app of B", hospitals=[rs_b]).key, other_app, False),
        "third's key": (issue("hidden app of C", hospitals=[rs_c]).key, other_app, False),
        "vendor's key": (issue("hidden vendor app").key, "operator's application", False),
    }
    addresses = (f"192.0.2.{number}" for number in count(100))
    expected = {
        kind: Expected(Actor(Channel.ADMIN, user_id=user.pk, ip_address=next(addresses)), name, is_shown)
        for kind, (user, name, is_shown) in admins.items()
    }
    return expected | {
        kind: Expected(Actor(Channel.API, api_key=key, ip_address=next(addresses)), name, is_shown)
        for kind, (key, name, is_shown) in keys.items()
    }


def hospital_admin(name: str, *hospitals: Hospital, is_active: bool = True) -> User:
    user = users.invite(name, f"{name}@rs.example", hospitals)
    User.objects.filter(pk=user.pk).update(is_active=is_active)
    return user


def operator_user(name: str, is_active: bool = True) -> User:
    return User.objects.create_superuser(name, is_active=is_active)


@pytest.fixture
def device(actors: dict[str, Expected], rs_a: Hospital, operator: Client) -> Device:
    """A device of RS Harapan that each actor has changed. An operator has renamed the hospital."""
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    for number, (kind, actor) in enumerate(actors.items()):
        registry.update(Device.objects.filter(pk=device.pk), {"device_name": f"{number} {kind}"}, actor.actor)
    operator.post(f"/admin/devices/hospital/{rs_a.pk}/change/", {"name": "RS Harapan Baru"})
    assert LogEntry.objects.filter(user__username="operator").exists()
    return device


def shown(client: Client, **query: Any) -> dict[str, tuple[str, str]]:
    """Return the actor and address in the list of changes, by the device name that the change set."""
    response = client.get(CHANGES, query)
    return {
        row.device_name: (str(shown_actors.user(row)), shown_actors.ip_address(row))
        for row in response.context["cl"].result_list
        if row.history_type == "~"
    }


def name_of(actor: Actor) -> str:
    """Return the user name of the actor, or an empty string for an API key."""
    return User.objects.get(pk=actor.user_id).username if actor.user_id else ""


def hidden(actors: dict[str, Expected]) -> set[str]:
    """Return each name and address that an admin of RS Harapan must not see."""
    names = set()
    for actor in actors.values():
        name = name_of(actor.actor) or str(actor.actor.api_key)
        names |= {name} if name not in actor.shown_name else set()
        names |= set() if actor.is_address_shown else {str(actor.actor.ip_address)}
    return names - {"operator"}  # it is also the label


def test_hospital_admin_sees_only_names_and_addresses_of_own_hospitals(
    ratna: Client, device: Device, actors: dict[str, Expected]
) -> None:
    assert shown(ratna) == {
        f"{number} {kind}": (actor.shown_name, actor.actor.ip_address if actor.is_address_shown else "–")
        for number, (kind, actor) in enumerate(actors.items())
    }


def test_an_operator_sees_all_names_and_addresses(
    operator: Client, device: Device, actors: dict[str, Expected]
) -> None:
    for number, (kind, actor) in enumerate(actors.items()):
        name = name_of(actor.actor) or f"API key {actor.actor.api_key}"
        assert shown(operator)[f"{number} {kind}"] == (name, actor.actor.ip_address)


def test_an_admin_of_both_hospitals_sees_both(device: Device, actors: dict[str, Expected], rs_b: Hospital) -> None:
    client = Client()
    client.force_login(User.objects.get(username="both@rs.example"))
    seen = {name.split(" ", 1)[1]: both for name, both in shown(client).items()}
    assert seen["admin of another"] == ("sari@rs.example", actors["admin of another"].actor.ip_address)
    assert seen["admin of both"] == ("both@rs.example", actors["admin of both"].actor.ip_address)
    assert seen["key of both"] == ("API key group app", actors["key of both"].actor.ip_address)
    assert seen["another's key"] == ("API key hidden app of B", actors["another's key"].actor.ip_address)
    assert seen["third's key"] == ("application of another hospital", "–")
    assert seen["operator"] == ("operator", "–")


def test_a_command_has_no_actor(ratna: Client, rs_a: Hospital) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    registry.update(Device.objects.filter(pk=device.pk), {"device_name": "New"}, SYSTEM)
    assert shown(ratna) == {"New": ("–", "–")}


def test_no_page_shows_a_hidden_name_or_address(
    ratna: Client, device: Device, actors: dict[str, Expected], rs_a: Hospital
) -> None:
    """Request every route with the ids of RS Harapan."""
    change = Device.history.filter(id=device.pk).latest("pk")
    names = ("staffuser", "apikey", "auditevent", "content_type", "session")
    ids = dict.fromkeys(names, "1") | {"upload": "0b2ff5a0-6a3a-4a47-9d0a-3b8a4a9a0a11"}
    ids |= {"device": str(device.pk), "historicaldevice": str(change.pk), "hospital": str(rs_a.pk)}
    pages = {url_for(route, ids) for route in walk() if route.startswith("admin/")} - {"/admin/logout/"}
    pages |= {f"/admin/search/?s={name}" for name in ("op-left", "hidden", "192.0.2")}
    pages |= {f"{CHANGES}?id={device.pk}", f"{CHANGES}?history_channel__exact=admin", f"{CHANGES}?o=6"}
    assert len(pages) > 50
    for page in pages:
        text = ratna.get(page, follow=True).content.decode()
        found = {secret for secret in hidden(actors) if secret in text}
        assert found <= set(page.split("=")), page  # a search page repeats the query


def test_the_log_of_django_is_for_operators_only(
    ratna: Client, operator: Client, device: Device, rs_a: Hospital, rs_b: Hospital
) -> None:
    for client in (operator, ratna):
        page = client.get(f"/admin/devices/hospital/{rs_a.pk}/history/")
        assert page.templates[0].name == "admin/object_changes.html"
    key = issue("ward app", hospitals=[rs_a]).key
    assert operator.get(f"/admin/devices/apikey/{key.pk}/history/").status_code == 200
    assert ratna.get(f"/admin/devices/apikey/{key.pk}/history/").status_code == 403
    assert ratna.get(f"/admin/devices/hospital/{rs_b.pk}/history/").status_code == 404


@pytest.mark.parametrize("name", ["op-left", "hidden vendor app", "192.0.2.106", "sari@rs.example"])
def test_a_search_does_not_find_an_actor(ratna: Client, device: Device, name: str) -> None:
    assert shown(ratna, q=name) == {}


@pytest.mark.parametrize(
    "lookup",
    [
        "history_user__username__startswith",
        "history_user__email__contains",
        "history_user__is_superuser__exact",
        "history_api_key__name__startswith",
        "history_ip_address__startswith",
        "sees_name",
    ],
)
@pytest.mark.parametrize("guess", ["op", "hidden", "192", "1", "zzz"])
def test_actor_cannot_be_guessed_with_a_filter_in_the_url(
    ratna: Client, device: Device, lookup: str, guess: str
) -> None:
    assert ratna.get(CHANGES, {lookup: guess}).status_code == 400


def test_list_cannot_be_sorted_by_actor_in_the_url(ratna: Client, device: Device) -> None:
    orders = [list(shown(ratna, o=str(column))) for column in (1, 6, -6, 8, -8)]
    assert all(order == orders[0] for order in orders)


def test_the_dashboard_shows_actors_as_the_changes_do(
    ratna: Client, device: Device, actors: dict[str, Expected]
) -> None:
    latest = ratna.get("/admin/").context["changes"]
    seen = [*(actor.shown_name for actor in actors.values()), "operator"]  # renamed the hospital
    assert [str(change["user"]) for change in latest] == seen[::-1][: len(latest)]


def test_the_labels_are_translated(ratna: Client, device: Device) -> None:
    ratna.cookies["django_language"] = "id"
    with translation.override("id"):
        names = {name for name, _address in shown(ratna).values()}
    assert {"operator", "aplikasi operator", "admin rumah sakit lain", "aplikasi rumah sakit lain"} <= names


def test_the_number_of_queries_does_not_grow_with_the_actors(ratna: Client, rs_a: Hospital) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    ratna.get("/admin/")  # fills the cache of weekly numbers
    numbers = []
    for batch in range(2):
        for number in range(10):
            user, key = hospital_admin(f"p{batch}-{number}", rs_a), issue("app", hospitals=[rs_a]).key
            for by in (Actor(Channel.ADMIN, user_id=user.pk), Actor(Channel.API, api_key=key)):
                name = f"{batch}-{number}-{by.channel}"
                registry.update(Device.objects.filter(pk=device.pk), {"device_name": name}, by)
        for page in (CHANGES, "/admin/"):
            with CaptureQueriesContext(connection) as queries:
                assert ratna.get(page).status_code == 200
            numbers.append(len(queries))
    assert numbers[:2] == numbers[2:]
    assert ApiKey.objects.count() == 20
