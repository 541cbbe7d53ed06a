"""Keys in the form of version 1.0, which its servers write and read until they are reloaded."""

from typing import Any

import pytest
from django.db import connection

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.db.triggers.former_keys import DENIED
from devices.models import ApiKey, Hospital
from devices.tests.support.client import issue

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="Only PostgreSQL keeps the column"),
]

KEY = """
    INSERT INTO devices_apikey (name, prefix, digest, read_only, naming, legacy, created_at, hospital_id)
    VALUES ('old', %s, %s, false, 'snake_case', false, now(), %s) RETURNING id
"""
HISTORY = """
    INSERT INTO devices_historicalapikey (id, history_channel, history_request_id, name, prefix, read_only, naming,
        legacy, created_at, history_date, history_type, hospital_id)
    SELECT id, 'api', '', name, prefix, read_only, naming, legacy, created_at, now(), '+', hospital_id
    FROM devices_apikey WHERE id = %s
"""


def execute(sql: str, *params: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchone()[0] if cursor.description else None


def issued_by_version_1(hospital: Hospital | None) -> ApiKey:
    pk = execute(KEY, f"p{hospital and hospital.pk}", f"d{hospital and hospital.pk}", hospital and hospital.pk)
    execute(HISTORY, pk)
    return ApiKey.objects.get(pk=pk)


def former_hospital(key: ApiKey, table: str = "devices_apikey") -> int | None:
    """Return the hospital of the key as version 1.0 sees it; None: all hospitals."""
    return execute(f"SELECT hospital_id FROM {table} WHERE id = %s", key.pk)


def last_change(key: ApiKey) -> tuple[bool, str, str]:
    change = ApiKey.history.filter(id=key.pk).order_by("-history_id").first()
    assert change
    return change.all_hospitals, change.hospital_ids, change.allowed_networks


def test_keys_of_version_1_have_the_same_scope(rs_a: Hospital) -> None:
    limited, unlimited = issued_by_version_1(rs_a), issued_by_version_1(None)
    assert (limited.all_hospitals, limited.scope_hospitals) == (False, (rs_a,))
    assert (unlimited.all_hospitals, unlimited.scope_hospitals) == (True, ())
    assert last_change(limited) == (False, f"[{rs_a.pk}]", "")
    assert last_change(unlimited) == (True, "[]", "")


def test_version_1_sees_the_same_scope_or_none(rs_a: Hospital, rs_b: Hospital) -> None:
    """A key that version 1.0 cannot limit must not become one for all hospitals, or from every address."""
    keys = {
        rs_a.pk: issue("one", hospitals=[rs_a]).key,
        None: issue("all").key,
        DENIED: issue("several", hospitals=[rs_a, rs_b]).key,
    }
    assert {former_hospital(key) for key in keys.values()} == {rs_a.pk, None, DENIED}
    assert all(former_hospital(key) == expected for expected, key in keys.items())
    near = [issue("near", hospitals=hospitals, allowed_networks="10.0.0.0/8").key for hospitals in ([rs_a], [])]
    assert [former_hospital(key) for key in near] == [DENIED, DENIED]
    assert former_hospital(api_keys.issue("nothing", SYSTEM).key) == DENIED


def test_version_1_merges_a_hospital(rs_a: Hospital, rs_b: Hospital) -> None:
    key = issue("ward", hospitals=[rs_a]).key
    execute("UPDATE devices_apikey SET hospital_id = %s WHERE hospital_id = %s", rs_b.pk, rs_a.pk)
    assert list(key.hospitals.all()) == [rs_b]
    key.hospitals.set([rs_a, rs_b])
    assert former_hospital(key) == DENIED
    key.hospitals.set([rs_a])
    assert former_hospital(key) == rs_a.pk


def test_a_change_by_version_1_keeps_the_settings_in_the_history(rs_a: Hospital, rs_b: Hospital) -> None:
    key = issue("near", hospitals=[rs_a, rs_b], allowed_networks="10.0.0.0/8").key
    before = last_change(key)
    assert before == (False, f"[{rs_a.pk},{rs_b.pk}]", "10.0.0.0/8")
    execute(HISTORY, key.pk)
    assert last_change(key) == before
