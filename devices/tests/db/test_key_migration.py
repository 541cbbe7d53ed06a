"""A key of one hospital, or of all, has the same access after the migration to keys of several hospitals."""

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from devices.models import ApiKey

pytestmark = pytest.mark.django_db(transaction=True)


def test_keys_keep_their_access_and_their_history() -> None:
    call_command("migrate", "devices", "0002", verbosity=0)
    try:
        apps = MigrationExecutor(connection).loader.project_state([("devices", "0002_last_use_of_keys")]).apps
        hospital: Any = apps.get_model("devices", "Hospital").objects.create(name="RS Lama", name_folded="rs lama")
        for number, owner in enumerate([hospital, None]):
            fields = {"name": f"app {number}", "hospital_id": owner and owner.pk}
            key = apps.get_model("devices", "ApiKey").objects.create(
                **fields, prefix=f"abcdefg{number}", digest=str(number) * 64
            )
            apps.get_model("devices", "HistoricalApiKey").objects.create(
                **fields, id=key.pk, prefix=key.prefix, history_date=timezone.now(), history_type="+"
            )
    finally:
        call_command("migrate", verbosity=0)
    limited, unrestricted = ApiKey.objects.order_by("pk")
    assert [(key.all_hospitals, [h.name for h in key.scope_hospitals]) for key in (limited, unrestricted)] == [
        (False, ["RS Lama"]),
        (True, []),
    ]
    history = ApiKey.history.order_by("id").values_list("all_hospitals", "hospital_ids")
    assert list(history) == [(False, f"[{limited.scope_hospitals[0].pk}]"), (True, "[]")]
