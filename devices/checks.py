"""Checks of the deployment: `python manage.py check --deploy --database default`."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import connections

from devices.db import triggers
from devices.db.triggers import definitions
from devices.values.loopback import is_loopback

MIN_SQLITE = (3, 35)  # for RETURNING: https://www.sqlite.org/releaselog/3_35_0.html
MIN_POSTGRESQL = 15
VERIFIED_SSLMODES = {"verify-full", "verify-ca"}  # https://www.postgresql.org/docs/current/libpq-ssl.html


@register(Tags.database)
def database_is_supported(databases: Sequence[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Check the vendor, version and encoding of each database, and its triggers."""
    found: list[CheckMessage] = []
    for alias in databases or []:
        connection: Any = connections[alias]
        if connection.vendor == "sqlite" and connection.Database.sqlite_version_info < MIN_SQLITE:
            hint = "Use a Python that was built with SQLite 3.35 or later."
            found.append(Error("SQLite is too old.", hint=hint, id="devices.E001"))
        elif connection.vendor == "postgresql" and connection.pg_version // 10_000 < MIN_POSTGRESQL:
            found.append(Error("PostgreSQL is too old.", hint="Use PostgreSQL 15 or later.", id="devices.E002"))
        elif connection.vendor not in ("sqlite", "postgresql"):
            hint = "DATABASE_URL must begin with sqlite:// or postgres://."
            found.append(Error("The database is neither SQLite nor PostgreSQL.", hint=hint, id="devices.E003"))
        else:
            if connection.vendor == "postgresql":
                found += _check_encoding(connection)
            found += _check_triggers(connection)
    return found


def _check_encoding(connection: Any) -> list[CheckMessage]:
    """Check that a PostgreSQL database can store each letter, and knows the capitals of all letters.

    A SQL_ASCII database (the default in a C locale) counts bytes, and a LATIN1 database rejects most letters. With the
    LC_CTYPE C, a search for `é` does not find `É`.
    """
    hint = "Create one with `createdb -E UTF8 -T template0 --locale=C.UTF-8 NAME`, and move existing data with pg_dump."
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_encoding")
        [encoding] = cursor.fetchone()
        if encoding != "UTF8":
            return [Error(f"The encoding of the database is {encoding}, not UTF8.", hint=hint, id="devices.E004")]
        cursor.execute("SELECT upper('é') = 'É'")
        [knows_capitals] = cursor.fetchone()
    if not knows_capitals:
        message = "A search ignores the case of ASCII letters only, because of the LC_CTYPE of the database."
        return [Warning(message, hint=hint, id="devices.W007")]
    return []


# The id of the warning and its first words, by the keys of `triggers.KINDS`.
RISKS = {
    "devices_auditretention": ("devices.W001", "Audit records can be changed or deleted"),
    "devices_devicecount": ("devices.W002", "The counts of devices may be wrong"),
    "devices_changefeed": ("devices.W004", "The change feed may omit changes"),
    "devices_apikey_hospitals": ("devices.W008", "Servers of version 1.0 may reject API keys"),
}


def _check_triggers(connection: Any) -> list[CheckMessage]:
    """Compare the triggers of the existing tables with those that this release ships."""
    tables = connection.introspection.table_names()
    hint = "Run manage.py migrate, which recreates them. If this is not an upgrade, find out who has changed them."
    found: list[CheckMessage] = []
    for table, kind in triggers.KINDS.items():
        if table in tables and (keys := definitions.changed(connection, kind.SHIPPED)):
            id_, risk = RISKS[table]
            found.append(Warning(f"{risk}: missing, disabled or changed: {', '.join(keys)}.", hint=hint, id=id_))
    if keys := triggers.unknown(connection):
        hint = "Find out who has created them, and drop those that are not needed."
        message = f"These triggers are not part of this release: {', '.join(keys)}."
        found.append(Warning(message, hint=hint, id="devices.W005"))
    return found


@register(Tags.security, deploy=True)
def connections_are_encrypted(**_kwargs: Any) -> list[CheckMessage]:
    """If HTTPS is on, warn if the connection to a database or Redis on another machine is not secure.

    A connection to PostgreSQL must verify the server's certificate, and a connection to Redis must be encrypted.
    """
    found: list[CheckMessage] = []
    if settings.HTTPS and not _database_is_verified(settings.DATABASES["default"]):
        hint = "Add ?sslmode=verify-full&sslrootcert=/path/to/ca.pem to DATABASE_URL."
        message = "The certificate of the database server is not verified."
        found.append(Warning(message, hint=hint, id="devices.W003"))
    redis = urlsplit(settings.REDIS_URL)
    if settings.HTTPS and redis.scheme == "redis" and not is_loopback(redis.hostname or "localhost"):
        message = "The connection to Redis is not encrypted."
        found.append(Warning(message, hint="Use a REDIS_URL that begins with rediss://.", id="devices.W006"))
    return found


def _database_is_verified(database: dict[str, Any]) -> bool:
    """Return whether the server's certificate is verified, or the database is on this machine."""
    options = database.get("OPTIONS", {})
    if not str(database["ENGINE"]).endswith("postgresql") or options.get("sslmode") in VERIFIED_SSLMODES:
        return True
    hosts = str(options.get("hostaddr") or options.get("host") or database.get("HOST") or "")
    return all(is_loopback(host) for host in hosts.split(",") if host and not host.startswith("/"))
