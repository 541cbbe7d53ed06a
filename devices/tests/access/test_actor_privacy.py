"""A hospital admin sees who made a change only as far as the actor belongs to a hospital of theirs."""

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
from devices.tests.support.client import issue
from devices.tests.support.factories import device_payload, register
from devices.tests.support.routes import address, walk

pytestmark = pytest.mark.django_db

CHANGES = "/admin/devices/historicaldevice/"


class Cast(NamedTuple):
    actor: Actor
    seen_as: str
    address_is_seen: bool


@pytest.fixture
def actors(rs_a: Hospital, rs_b: Hospital, ratna: Client, operator: Client) -> dict[str, Cast]:
    """One actor of each kind, with an IP address of its own, and what an admin of RS Harapan sees of it."""
    rs_c = register(device_payload(99, device_holder="RS Ketiga"))[0].device_holder
    users = {
        "colleague": (person("colleague", rs_a), "colleague@rs.example", True),
        "colleague who left": (person("inactive", rs_a, is_active=False), "inactive@rs.example", True),
        "admin of both": (person("both", rs_a, rs_b), "both@rs.example", False),
        "admin of another": (person("sari", rs_b), "administrator of another hospital", False),
        "admin of none": (person("former"), "administrator of another hospital", False),
        "inactive of another": (person("gone", rs_b, is_active=False), "administrator of another hospital", False),
        "operator": (User.objects.get(username="operator"), "operator", False),
        "operator who left": (superuser("op-left", is_active=False), "operator", False),
        "operator and admin": (superuser("op-both"), "operator", False),
    }
    rs_a.admins.add(users["operator and admin"][0])
    keys = {
        "own key": (issue("ward app", hospital=rs_a), "API key ward app", True),
        "another's key": (issue("hidden app of B", hospital=rs_b), "application of another hospital", False),
        "third's key": (issue("hidden app of C", hospital=rs_c), "application of another hospital", False),
        "vendor's key": (issue("hidden vendor app"), "operator's application", False),
    }
    everybody = {kind: (Actor(Channel.ADMIN, user_id=user.pk), *rest) for kind, (user, *rest) in users.items()}
    everybody |= {kind: (Actor(Channel.API, api_key=key.key), *rest) for kind, (key, *rest) in keys.items()}
    return {
        kind: Cast(Actor(by.channel, by.user_id, by.api_key, f"192.0.2.{number}"), seen_as, address_is_seen)
        for number, (kind, (by, seen_as, address_is_seen)) in enumerate(everybody.items(), 100)
    }


def person(name: str, *hospitals: Hospital, is_active: bool = True) -> User:
    user = users.invite(name, f"{name}@rs.example", hospitals)
    User.objects.filter(pk=user.pk).update(is_active=is_active)
    return user


def superuser(name: str, is_active: bool = True) -> User:
    return User.objects.create_superuser(name, is_active=is_active)


@pytest.fixture
def device(actors: dict[str, Cast], rs_a: Hospital, operator: Client) -> Device:
    """A device of RS Harapan that each of them has changed, in a hospital that an operator has renamed."""
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    for number, (kind, actor) in enumerate(actors.items()):
        registry.update(Device.objects.filter(pk=device.pk), {"device_name": f"{number} {kind}"}, actor.actor)
    operator.post(f"/admin/devices/hospital/{rs_a.pk}/change/", {"name": "RS Harapan Baru"})
    assert LogEntry.objects.filter(user__username="operator").exists()
    return device


def shown(client: Client, **query: Any) -> dict[str, tuple[str, str]]:
    """Return who and which address the list of changes shows, by the name that the device was given."""
    response = client.get(CHANGES, query)
    return {
        row.device_name: (str(shown_actors.user(row)), shown_actors.ip_address(row))
        for row in response.context["cl"].result_list
        if row.history_type == "~"
    }


def hidden(actors: dict[str, Cast]) -> set[str]:
    """Return each name and address that an admin of RS Harapan must not see."""
    names = set()
    for actor in actors.values():
        user = User.objects.filter(pk=actor.actor.user_id).first()
        name = user.username if user else str(actor.actor.api_key)
        names |= {name} if name not in actor.seen_as else set()
        names |= set() if actor.address_is_seen else {str(actor.actor.ip_address)}
    return names - {"operator"}  # also what they are called


def test_a_hospital_admin_sees_names_and_addresses_of_their_own_hospitals_only(
    ratna: Client, device: Device, actors: dict[str, Cast]
) -> None:
    assert shown(ratna) == {
        f"{number} {kind}": (actor.seen_as, actor.actor.ip_address if actor.address_is_seen else "–")
        for number, (kind, actor) in enumerate(actors.items())
    }


def test_an_operator_sees_all_names_and_addresses(operator: Client, device: Device, actors: dict[str, Cast]) -> None:
    for number, (kind, actor) in enumerate(actors.items()):
        user = User.objects.filter(pk=actor.actor.user_id).first()
        name = user.username if user else f"API key {actor.actor.api_key}"
        assert shown(operator)[f"{number} {kind}"] == (name, actor.actor.ip_address)


def test_an_admin_of_both_hospitals_sees_both(device: Device, actors: dict[str, Cast], rs_b: Hospital) -> None:
    client = Client()
    client.force_login(User.objects.get(username="both@rs.example"))
    seen = {name.split(" ", 1)[1]: both for name, both in shown(client).items()}
    assert seen["admin of another"] == ("sari@rs.example", actors["admin of another"].actor.ip_address)
    assert seen["admin of both"] == ("both@rs.example", actors["admin of both"].actor.ip_address)
    assert seen["another's key"] == ("API key hidden app of B", actors["another's key"].actor.ip_address)
    assert seen["third's key"] == ("application of another hospital", "–")
    assert seen["operator"] == ("operator", "–")


def test_a_command_has_no_actor(ratna: Client, rs_a: Hospital) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    registry.update(Device.objects.filter(pk=device.pk), {"device_name": "New"}, SYSTEM)
    assert shown(ratna) == {"New": ("–", "–")}


def test_no_page_shows_a_hidden_name_or_address(
    ratna: Client, device: Device, actors: dict[str, Cast], rs_a: Hospital
) -> None:
    """Walk every route with the ids of RS Harapan."""
    change = Device.history.filter(id=device.pk).latest("pk")
    names = ("staffuser", "apikey", "auditevent", "content_type", "session")
    ids = dict.fromkeys(names, "1") | {"upload": "0b2ff5a0-6a3a-4a47-9d0a-3b8a4a9a0a11"}
    ids |= {"device": str(device.pk), "historicaldevice": str(change.pk), "hospital": str(rs_a.pk)}
    pages = {address(route, ids) for route in walk() if route.startswith("admin/")} - {"/admin/logout/"}
    pages |= {f"/admin/search/?s={name}" for name in ("op-left", "hidden", "192.0.2")}
    pages |= {f"{CHANGES}?id={device.pk}", f"{CHANGES}?history_channel__exact=admin", f"{CHANGES}?o=6"}
    assert len(pages) > 50
    for page in pages:
        text = ratna.get(page, follow=True).content.decode()
        found = {secret for secret in hidden(actors) if secret in text}
        assert found <= set(page.split("=")), page  # what the search repeats


def test_the_log_of_django_is_for_operators_only(
    ratna: Client, operator: Client, device: Device, rs_a: Hospital, rs_b: Hospital
) -> None:
    page = f"/admin/devices/hospital/{rs_a.pk}/history/"
    for client in (operator, ratna):
        assert client.get(page).headers["Location"] == f"{CHANGES}?device_holder__id__exact={rs_a.pk}"
    key = issue("ward app", hospital=rs_a).key
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
def test_no_filter_of_a_url_guesses_an_actor(ratna: Client, device: Device, lookup: str, guess: str) -> None:
    assert ratna.get(CHANGES, {lookup: guess}).status_code == 400


def test_an_order_of_a_url_does_not_sort_by_actor(ratna: Client, device: Device) -> None:
    orders = [list(shown(ratna, o=str(column))) for column in (1, 6, -6, 8, -8)]
    assert all(order == orders[0] for order in orders)


def test_the_dashboard_shows_actors_as_the_changes_do(ratna: Client, device: Device, actors: dict[str, Cast]) -> None:
    latest = ratna.get("/admin/").context["changes"]
    seen = [*(actor.seen_as for actor in actors.values()), "operator"]  # who renamed the hospital
    assert [str(change["user"]) for change in latest] == seen[::-1][: len(latest)]


def test_the_labels_are_translated(ratna: Client, device: Device) -> None:
    ratna.cookies["django_language"] = "id"
    with translation.override("id"):
        whos = {who for who, _address in shown(ratna).values()}
    assert {"operator", "aplikasi operator", "admin rumah sakit lain", "aplikasi rumah sakit lain"} <= whos


def test_the_number_of_queries_does_not_grow_with_the_actors(ratna: Client, rs_a: Hospital) -> None:
    [device] = register(device_payload(1, device_holder="RS Harapan"))
    ratna.get("/admin/")  # which caches the numbers of the weeks
    numbers = []
    for batch in range(2):
        for number in range(10):
            user, key = person(f"p{batch}-{number}", rs_a), issue("app", hospital=rs_a).key
            for by in (Actor(Channel.ADMIN, user_id=user.pk), Actor(Channel.API, api_key=key)):
                name = f"{batch}-{number}-{by.channel}"
                registry.update(Device.objects.filter(pk=device.pk), {"device_name": name}, by)
        for page in (CHANGES, "/admin/"):
            with CaptureQueriesContext(connection) as queries:
                assert ratna.get(page).status_code == 200
            numbers.append(len(queries))
    assert numbers[:2] == numbers[2:]
    assert ApiKey.objects.count() == 20
