"""Compare the triggers in a database with those that this release ships, and recreate them.

A kind of trigger ships a mapping, for each kind of database, from what `DROP` needs to identify an object to the SQL
that creates it, as the database itself shows it. So a changed body, event, search_path or state is a difference.
"""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

INSTALLED = {
    "postgresql": """
        SELECT format('FUNCTION %I()', proname), pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND prokind = 'f' AND pronargs = 0
        AND starts_with(proname, 'devices_')
        UNION ALL
        SELECT format('TRIGGER %I ON %I', tgname, relname), pg_get_triggerdef(pg_trigger.oid, true) || CASE tgenabled
            WHEN 'O' THEN '' WHEN 'A' THEN format('; ALTER TABLE %I ENABLE ALWAYS TRIGGER %I', relname, tgname)
            ELSE '; not enabled' END
        FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
        WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace AND starts_with(relname, 'devices_')
    """,
    "sqlite": """
        SELECT 'TRIGGER ' || name, sql FROM sqlite_master
        WHERE type = 'trigger' AND substr(tbl_name, 1, 8) = 'devices_'
    """,
}

# A function looks in the schema of its tables before a session's temporary tables, which PostgreSQL would search first.
HEAD = """
    CREATE OR REPLACE FUNCTION <schema>.{name}() RETURNS {returns} LANGUAGE {language}
    SET search_path TO <schema literal>, 'pg_temp' AS $function${body}$function$
"""

Shipped = Mapping[str, Mapping[str, str]]


def function(name: str, body: str, *, returns: str = "trigger", language: str = "plpgsql") -> dict[str, str]:
    """Return a function of PostgreSQL, in the schema that is the connection's."""
    return {f"FUNCTION {name}()": HEAD.format(name=name, body=body, returns=returns, language=language)}


def of(connection: Any, shipped: Shipped) -> dict[str, str]:
    """Return the objects for this database."""
    objects = shipped[connection.vendor]
    if connection.vendor != "postgresql":
        return dict(objects)
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema()), quote_literal(current_schema())")
        schema, literal = cursor.fetchone()
    return {key: sql.replace("<schema>", schema).replace("<schema literal>", literal) for key, sql in objects.items()}


def installed(connection: Any) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute(INSTALLED[connection.vendor])
        return dict(cursor.fetchall())


def changed(connection: Any, shipped: Shipped) -> list[str]:
    """Return the keys of the objects that are missing, disabled or different."""
    present = installed(connection)
    return [
        key for key, sql in of(connection, shipped).items() if _normalized(present.get(key, "")) != _normalized(sql)
    ]


def install(connection: Any, shipped: Shipped) -> bool:
    """Create all objects again unless they are as shipped; return whether they were not."""
    if not changed(connection, shipped):
        return False
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        drop(connection, shipped)
        for sql in of(connection, shipped).values():
            cursor.execute(sql)
    return True


def drop(connection: Any, shipped: Shipped) -> None:
    cascade = " CASCADE" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for key in shipped[connection.vendor]:
            kind, _space, name = key.partition(" ")
            cursor.execute(f"DROP {kind} IF EXISTS {name}{cascade}")


def _normalized(sql: str) -> str:
    """Collapse whitespace. No shipped SQL has a comment or a literal in which whitespace would matter."""
    return " ".join(sql.split())
