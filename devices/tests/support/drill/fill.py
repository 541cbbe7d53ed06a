"""Fill a registry for a drill, and look into it after a restore: `python -m devices.tests.support.drill.fill …`.

- `fill N` registers N devices, and creates one or more of everything that the registry stores. It prints a JSON object
  with the secrets that a client, a user and a browser have.
- `look` reads such an object from stdin. It prints what the restored registry can do with these secrets.

It runs in its own process, with the database of DATABASE_URL. It writes through the functions and the API of the
registry, so counters, history and triggers are those of production.
"""

import json
import sys
from datetime import timedelta
from typing import Any

import django

HISTORY = """
    SELECT count(*) FROM devices_device AS device
    LEFT JOIN devices_historicaldevice AS change ON change.history_id = (
        SELECT max(history_id) FROM devices_historicaldevice AS last WHERE last.id = device.id)
    WHERE change.history_id IS NULL OR change.history_type = '-' OR change.device_name <> device.device_name
    OR change.device_mac <> device.device_mac OR change.device_type <> device.device_type
    OR coalesce(change.device_holder_id, 0) <> coalesce(device.device_holder_id, 0)
"""
SECRET = "the secret of an app"  # 20 bytes


def fill(number: int) -> dict[str, Any]:
    """Register this number of devices, change a tenth, and create users, keys, events and responses."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.test import Client

    from devices import registry
    from devices.access.actor import SYSTEM
    from devices.accounts import api_keys, two_factor, users
    from devices.audit import audit_log
    from devices.audit.audit_log import Action
    from devices.models import AuditEvent, AuthenticatorApp, Device, Hospital
    from devices.registry import hospitals
    from devices.tests.support.factories import device_payload
    from devices.values.device_types import DeviceType

    call_command("seed_devices", str(number), "--hospitals", "400", stdout=sys.stderr)
    tenth = number // 10
    for low in range(0, tenth, 10_000):
        changed = Device.objects.filter(pk__gt=low, pk__lte=min(low + 10_000, tenth))
        registry.change_type(changed, DeviceType.CORPORATE, SYSTEM)
        registry.change_type(changed, DeviceType.CONSUMER, SYSTEM)
    registry.retire(Device.objects.filter(pk__gt=tenth, pk__lte=tenth + max(tenth // 10, 1)), SYSTEM)
    renamed, target, merged, *others = Hospital.objects.order_by("pk")
    hospitals.rename(renamed, "RS Berganti Nama", SYSTEM)
    hospitals.merge([merged], target, SYSTEM)
    keys = [
        api_keys.issue("all", SYSTEM, all_hospitals=True),
        api_keys.issue("one", SYSTEM, hospitals=[target]),
        api_keys.issue("two", SYSTEM, hospitals=others[:2]),
    ]
    revoked = api_keys.issue("revoked", SYSTEM, all_hospitals=True)
    api_keys.revoke(revoked.key, SYSTEM)
    api_keys.rotate(keys[2].key, SYSTEM, timedelta(hours=1))
    operator = get_user_model().objects.create_superuser("operator")
    admins = [users.invite(f"Admin {n}", f"admin{n}@rs.example", [hospital]) for n, hospital in enumerate(others[:50])]
    for user in (operator, *admins):
        AuthenticatorApp.objects.create(user=user, key=SECRET.encode().hex(), name="app", confirmed=True)
    codes = two_factor.new_recovery_codes(operator)
    browser = Client()
    browser.force_login(operator)
    AuditEvent.objects.bulk_create(
        audit_log.build_event(None, Action.EXPORTED, devices=count, format="csv") for count in range(number // 50)
    )
    client = Client(headers={"x-api-key": keys[0].text, "host": "localhost"})
    responses = {}
    for count in range(20):
        headers = {"idempotency-key": f"drill-{count}"}
        body = [device_payload(10**12 + count, device_name=f"Stored {count}", device_holder="RS Harapan")]
        response = client.post("/api/devices", body, content_type="application/json", headers=headers)
        assert response.status_code == 201, response.content
        responses[headers["idempotency-key"]] = response.json()["data"][0]["id"]
    return {
        "key": keys[0].text,
        "one": keys[1].text,
        "revoked": revoked.text,
        "operator": operator.pk,
        "code": codes[0],
        "session": browser.cookies["sessionid"].value,
        "responses": responses,
    }


def look(known: dict[str, Any]) -> dict[str, Any]:
    """Return what the registry can decrypt and verify, and whether the history has the state of each device."""
    from django.contrib.auth import get_user_model
    from django.db import connection

    from devices.accounts import two_factor
    from devices.accounts.sessions import SessionStore
    from devices.models import AuthenticatorApp, Device

    operator = get_user_model().objects.get(pk=known["operator"])
    with connection.cursor() as cursor:
        cursor.execute(HISTORY)
        [differing] = cursor.fetchone()
    return {
        "apps": AuthenticatorApp.objects.count(),
        "decrypted": sum(app.bin_key == SECRET.encode() for app in AuthenticatorApp.objects.all()),
        "recovery_code": two_factor.verify(operator, known["code"]) is not None,
        "session_of": SessionStore(known["session"]).get("_auth_user_id"),
        "devices": Device.objects.count(),
        "differing_from_history": differing,
    }


def main(command: str, number: str = "") -> None:
    django.setup()
    result = fill(int(number)) if command == "fill" else look(json.load(sys.stdin))
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
