"""A rolling upgrade: servers of the last release and of this one use the same database, after `migrate`."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from cexup import __version__
from devices.tests.support.factories import device_payload
from devices.tests.support.services import former_release
from devices.tests.support.services.faults import (
    Registry,
    Response,
    Writers,
    copy_code,
    eventually,
    have_ended,
    new_database,
    times,
)

pytestmark = pytest.mark.skipif(
    not os.environ.get("TEST_DATABASE_URL"),
    reason="Several servers need PostgreSQL. On SQLite, an upgrade stops the server: docs/operations/upgrade.md.",
)
IMPORTS = """
from django.core.management import call_command
from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.crypto import keys
from devices.models import ApiKey, Hospital
from devices.registry import hospitals
"""
SIGN_IN = """
from django.contrib.auth.models import User
from django.test import Client
client = Client()
user = User.objects.filter(username="operator").first() or User.objects.create_superuser("operator")
client.force_login(user)
print(client.cookies["sessionid"].value)
"""
REVOKE = "api_keys.revoke(ApiKey.objects.get(digest=keys.digest('{}')), SYSTEM)"
MERGE = "hospitals.merge([Hospital.objects.get(name='{}')], Hospital.objects.get(name='{}'), SYSTEM)"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, Registry]]:
    """Servers of the last release and of this one. Clients write to the first while the second migrates."""
    folder = tmp_path_factory.mktemp("upgrade")
    code = folder / "former"
    former_release.extract(code)
    with new_database(folder) as url:
        former = Registry(url, folder / "former.log", root=code)
        new = Registry(url, folder / "new.log", former.key)
        try:
            former.start()
            with Writers(former) as writers:
                writers.wait_for(5)
                new.manage("migrate", "-v0")
                writers.wait_for(5)
            writers.check()
            assert set(writers.seen) <= {"503"}, writers.seen
            new.start()
            yield former, new
        finally:
            former.stop()
            new.stop()


def test_both_versions_write_and_read(both: tuple[Registry, Registry]) -> None:
    with Writers(both[0]) as former, Writers(both[1]) as new:
        former.wait_for(times(100, 10))
        new.wait_for(times(100, 10))
    for writers in (former, new):
        writers.check()
        assert set(writers.seen) <= {"503"}, writers.seen
    assert both[0].devices().keys() == both[1].devices().keys()


def test_reload_starts_the_new_version_in_place_of_the_last_release(tmp_path: Path) -> None:
    """The pages of 1.0 say to check the new code out, and to reload. Packages that changed need a restart."""
    code = tmp_path / "code"
    former_release.extract(code)
    with new_database(tmp_path) as url:
        registry = Registry(url, tmp_path / "log", root=code, WEB_CONCURRENCY="1")
        registry.start()
        try:
            for name in ("cexup", "devices", "templates"):
                shutil.rmtree(code / name)
            copy_code(code)
            version = code / "cexup/__init__.py"  # both releases may have the same version before a release
            version.write_text(version.read_text().replace(f'"{__version__}"', '"9.8.7"'))
            registry.manage("migrate", "-v0")
            before = registry.workers()
            os.kill(registry.pid, signal.SIGHUP)
            eventually(lambda: have_ended(before) and registry.is_up())
            assert registry.send("GET", "/healthz").body["data"] == {"version": "9.8.7"}
            assert registry.send("GET", "/api/devices").status == 200
        finally:
            registry.stop()


def test_cursors_of_either_version_are_valid_for_the_other(both: tuple[Registry, Registry]) -> None:
    posted = both[0].send("POST", "/api/devices", [device_payload(number) for number in range(9)])
    assert posted.status == 201, posted
    for first in both:
        for path in ("/api/devices?size=4", "/api/devices/changes?size=4"):
            page = first.send("GET", path)
            following = page.body["pagination"]["next"].partition(str(first.port))[2]
            rows = [common_part(registry.send("GET", following)) for registry in both]
            assert rows[0] == rows[1] != []


def common_part(response: Response) -> list[Any]:
    """Return the devices or changes of a page in the form that both versions have."""
    assert response.status == 200, response
    return [(row.get("action"), row.get("device", row)) for row in response.body["data"]]


def test_an_idempotency_key_counts_for_both_versions(both: tuple[Registry, Registry]) -> None:
    for number, (first, second) in enumerate((both, both[::-1])):
        body = [device_payload(500 + number)]
        stored = first.send("POST", "/api/devices", body, idempotency_key=f"upgrade-{number}")
        again = second.send("POST", "/api/devices", body, idempotency_key=f"upgrade-{number}")
        assert (stored.status, again.status) == (201, 201)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.body == stored.body


def test_keys_of_either_version_have_the_same_scope_in_the_other(both: tuple[Registry, Registry]) -> None:
    for number, (first, second) in enumerate((both, both[::-1])):
        names = register_one_each(first, 600 + 10 * number, "AB")
        limited, unlimited = issue(first, ["ward", "--hospital", names[0]], ["group"])
        for registry in (first, second):
            assert holders(registry, limited) == {names[0]}
            assert total(registry, unlimited) == total(registry, registry.key)
        run(second, REVOKE.format(limited))
        assert first.send("GET", "/api/devices", x_api_key=limited).status == 401


def test_a_merge_by_either_version_moves_the_keys(both: tuple[Registry, Registry]) -> None:
    for number, (first, second) in enumerate((both, both[::-1])):
        names = register_one_each(first, 700 + 10 * number, "CD")
        [key] = issue(second, ["ward", "--hospital", names[0]])
        run(first, MERGE.format(*names))
        assert [holders(registry, key) for registry in both] == [{names[1]}] * 2


@pytest.mark.skipif(former_release.last_version() != "1.0.0", reason="Later versions can limit these keys.")
def test_version_1_denies_keys_that_it_cannot_limit(both: tuple[Registry, Registry]) -> None:
    """A key of several hospitals or with networks must not become one for all hospitals, or from every address."""
    former, new = both
    names = register_one_each(new, 800, "EF")
    options = ["--hospital", names[0], "--hospital", names[1]]
    several, near = issue(new, ["several", *options], ["near", "--allow", "10.0.0.0/8"])
    assert holders(new, several) == {*names}
    assert new.send("GET", "/api/devices", x_api_key=near).status == 403
    for key in (several, near):
        assert holders(former, key) == set()
        assert former.send("POST", "/api/devices", [device_payload(890)], x_api_key=key).status >= 400
    assert not [row for row in new.devices().values() if row["device_mac"] == device_payload(890)["device_mac"]]


def test_a_session_of_either_version_is_valid_in_the_other(both: tuple[Registry, Registry]) -> None:
    query = urlencode({"app_label": "devices", "model_name": "device", "field_name": "device_holder", "term": ""})
    for first, second in (both, both[::-1]):
        cookies = f"sessionid={run(first, SIGN_IN).strip()}"
        for registry in (first, second):
            response = registry.send("GET", f"/admin/autocomplete/?{query}", cookie=cookies)
            assert (response.status, list(response.body)) == (200, ["results", "pagination"])


def register_one_each(registry: Registry, first: int, letters: str) -> list[str]:
    """Register a device of each of several new hospitals, and return their names."""
    names = [f"RS {first}{letter}" for letter in letters]
    posted = [device_payload(first + number, device_holder=name) for number, name in enumerate(names)]
    assert registry.send("POST", "/api/devices", posted).status == 201
    return names


def issue(registry: Registry, *arguments: list[str]) -> list[str]:
    """Issue keys with `create_api_key`, and return their texts."""
    return run(registry, f"for arguments in {arguments!r}: call_command('create_api_key', *arguments)").split()


def run(registry: Registry, code: str) -> str:
    """Run the code in `manage.py shell` of this version, and return what it prints."""
    return registry.manage("shell", "-v0", "-c", f"{IMPORTS}\n{code}")


def total(registry: Registry, key: str) -> int:
    response = registry.send("GET", "/api/devices?size=1", x_api_key=key)
    assert response.status == 200, response
    return int(response.body["pagination"]["total"])


def holders(registry: Registry, key: str) -> set[str]:
    response = registry.send("GET", "/api/devices?size=1000", x_api_key=key)
    assert response.status == 200, response
    return {row["device_holder"] for row in response.body["data"]}
