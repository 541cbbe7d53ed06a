"""The database role of the application can do its work, but cannot change records or the triggers that protect them."""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import psycopg
import pytest
from psycopg import sql as pg

from devices.db.triggers import append_only
from devices.tests.support.factories import device_payload
from devices.tests.support.services.server import ROOT, served_from, serving

SQL = (ROOT / "deploy/postgresql-roles.sql").read_text()
URL = os.environ.get("TEST_DATABASE_URL", "")
PASSWORD = "a-password-of-the-tests"

pytestmark = pytest.mark.skipif(not URL, reason="SQLite has no roles")


class Roles:
    """A database with both roles. Their names are unique, so other tests do not use them."""

    def __init__(self, suffix: str) -> None:
        self.suffix, self.database = suffix, f"roles_{suffix}"
        self.sql = SQL.replace("registry_owner", f"owner_{suffix}").replace("registry_app", f"app_{suffix}")

    def url(self, role: str | None = None, database: str = "") -> str:
        """Return the URL of the database for the superuser or for one of the roles."""
        server, _slash, _name = URL.rpartition("/")
        if role:
            host = urlsplit(URL).netloc.rpartition("@")[2]
            server = f"postgres://{role}_{self.suffix}:{PASSWORD}@{host}"
        return f"{server}/{quote(database or self.database)}"

    @contextmanager
    def connection(self, role: str | None = None, database: str = "") -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url(role, database), autocommit=True) as connection:
            yield connection

    def apply(self) -> None:
        with self.connection() as connection:
            connection.execute(self.sql.encode())

    def manage(self, role: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DATABASE_URL": self.url(role)}
        run = [sys.executable, "manage.py", *arguments]
        return subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    def create(self) -> None:
        """Follow the steps at the top of the SQL."""
        with self.connection(database=urlsplit(URL).path.lstrip("/")) as connection:
            connection.execute(pg.SQL("CREATE DATABASE {}").format(pg.Identifier(self.database)))
        self.apply()
        with self.connection() as connection:
            for role in ("owner", "app"):
                name = pg.Identifier(f"{role}_{self.suffix}")
                connection.execute(pg.SQL("ALTER ROLE {} PASSWORD {}").format(name, pg.Literal(PASSWORD)))
        migrated = self.manage("owner", "migrate", "-v0")
        assert migrated.returncode == 0, migrated.stderr
        self.apply()

    def drop(self) -> None:
        with self.connection(database=urlsplit(URL).path.lstrip("/")) as connection:
            connection.execute(pg.SQL("DROP DATABASE {} WITH (FORCE)").format(pg.Identifier(self.database)))
            for role in ("owner", "app"):
                connection.execute(pg.SQL("DROP ROLE {}").format(pg.Identifier(f"{role}_{self.suffix}")))


@pytest.fixture(scope="module")
def roles() -> Iterator[Roles]:
    roles = Roles(uuid.uuid4().hex[:10])
    try:
        roles.create()
        yield roles
    finally:
        roles.drop()


def test_roles_protect_every_append_only_table() -> None:
    named = set(re.findall(r"'(devices_\w+)'", SQL))
    assert named == set(append_only.TABLES)


def test_application_role_serves_the_api_and_the_admin(roles: Roles) -> None:
    key = roles.manage("app", "create_api_key", "tests").stdout.strip()
    password = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD, "DATABASE_URL": roles.url("app")}
    create = [sys.executable, "manage.py", "createsuperuser", "--no-input", "--username=op", "--email="]
    subprocess.run(create, cwd=ROOT, env={**os.environ, **password}, check=True, capture_output=True)
    for command in (["migrate", "--check"], ["check", "--database", "default"], ["check_counts"]):
        assert roles.manage("app", *command).returncode == 0, command
    with serving(served_from(roles.url("app"))) as port:
        use_the_api(f"http://127.0.0.1:{port}", key)
    used = roles.manage("app", "shell", "-v0", "-c", ADMIN)
    assert used.returncode == 0, used.stderr
    with roles.connection() as connection:
        changes = connection.execute("SELECT history_type FROM devices_historicaldevice ORDER BY history_id").fetchall()
        signed_in = connection.execute("SELECT count(*) FROM devices_auditevent WHERE action = 'signed_in'").fetchone()
    assert [kind for (kind,) in changes] == ["+", "~", "-", "+"]
    assert signed_in == (1,)


def use_the_api(server: str, key: str) -> None:
    def ask(method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers |= {"x-api-key": key, "content-type": "application/json"}
        with urlopen(Request(server + path, data, headers, method=method), timeout=30) as response:
            return json.load(response)

    posted = device_payload(1, device_holder="RS Harapan")
    device = ask("POST", "/api/devices", posted, **{"idempotency-key": "once"})["data"][0]
    assert ask("PATCH", f"/api/device/{device['id']}", {"device_name": "New"})["data"]["device_name"] == "New"
    assert [change["action"] for change in ask("GET", "/api/devices/changes")["data"]] == ["created", "updated"]
    ask("DELETE", f"/api/device/{device['id']}")
    assert ask("GET", "/api/devices")["data"] == []
    assert urlopen(f"{server}/readyz", timeout=30).status == 200


# It runs in a separate process with Django's test client, and needs no collected static files.
ADMIN = """
from django.conf import settings
from django.test import Client, override_settings
from devices.tests.support.factories import device_payload

plain = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
with override_settings(STORAGES={**settings.STORAGES, "staticfiles": plain}):
    client = Client()
    signed_in = client.post("/admin/login/?next=/admin/", {"username": "op", "password": "a-password-of-the-tests"})
    assert signed_in.headers["Location"] == "/admin/", signed_in
    added = client.post("/admin/devices/device/add/", {**device_payload(2), "device_holder": ""}, follow=True)
    assert "Cuff 2" in added.content.decode(), added
    for page in ("historicaldevice", "auditevent", "hospital", "staffuser", "apikey"):
        assert client.get(f"/admin/devices/{page}/").status_code == 200, page
    assert client.get("/admin/").status_code == 200
    assert client.post("/admin/logout/").status_code == 200
"""


RECORDS = [
    statement.format(table=table)
    for table in append_only.TABLES
    for statement in (
        "UPDATE {table} SET id = id",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "DROP TABLE {table}",
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "DROP TRIGGER {table}_stays_delete ON {table}",
        "CREATE RULE r AS ON INSERT TO {table} DO INSTEAD NOTHING",
        "CREATE TRIGGER t BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION devices_record_stays('id')",
    )
]
REFUSED = [
    *RECORDS,
    "CREATE OR REPLACE FUNCTION devices_record_stays() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
    "ALTER FUNCTION devices_record_stays() SET search_path TO other",
    "DROP FUNCTION devices_count_insert() CASCADE",
    "TRUNCATE devices_device",
    "INSERT INTO devices_auditretention (id, years) VALUES (2, 1)",
    "INSERT INTO django_migrations (app, name, applied) VALUES ('devices', 'x', now())",
    "CREATE TABLE devices_auditretention_2 (id int)",
    "CREATE TEMP TABLE devices_auditretention (id int)",
    "CREATE SCHEMA other",
    "SET session_replication_role = 'replica'",
    "SET ROLE owner",
]


def test_application_role_cannot_change_records_or_triggers(roles: Roles) -> None:
    with roles.connection("app") as connection:
        for statement in REFUSED:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.replace("SET ROLE owner", f"SET ROLE owner_{roles.suffix}").encode())


def test_only_the_owner_can_prune(roles: Roles) -> None:
    with roles.connection() as connection:
        connection.execute(
            "INSERT INTO devices_auditevent (created_at, action, channel, username, request_id, object_type, details)"
            " VALUES (now() - interval '7 years', 'exported', 'command', '', '', '', '{}')"
        )
    refused = roles.manage("app", "prune")
    assert refused.returncode != 0
    assert "permission denied for table devices_auditretention" in refused.stderr
    assert "1 audit log events deleted." in roles.manage("owner", "prune").stdout


def test_only_the_owner_can_skip_ids_after_a_restore(roles: Roles) -> None:
    refused = roles.manage("app", "after_restore")
    assert refused.returncode == 1
    assert "Run the command as registry_owner." in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "The next device gets an id above" in roles.manage("owner", "after_restore").stdout


def test_sql_of_the_roles_can_be_run_again(roles: Roles) -> None:
    roles.apply()
    with roles.connection("app") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM devices_auditevent")
