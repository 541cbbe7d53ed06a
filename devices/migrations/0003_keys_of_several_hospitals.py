"""Limit an API key to several hospitals, and add the settings of keys and the contact data of hospitals."""

from typing import Any

import django.core.validators
from django.conf import settings
from django.db import migrations, models
from django.db.models import F, Value
from django.db.models.functions import Cast, Concat

from devices.db.triggers import append_only, former_keys


def copy_hospitals(apps: Any, editor: Any) -> None:
    """Copy the hospital of each key to the new table. A key without a hospital was one for all hospitals."""
    key, past = apps.get_model("devices", "ApiKey"), apps.get_model("devices", "HistoricalApiKey")
    # The history gets the values of new columns. post_migrate adds the triggers.
    append_only.remove(editor.connection, past._meta.db_table)
    key.objects.filter(hospital=None).update(all_hospitals=True)
    past.objects.filter(hospital=None).update(all_hospitals=True)
    past.objects.exclude(hospital=None).update(
        hospital_ids=Concat(
            Value("["), Cast(F("hospital_id"), models.TextField()), Value("]"), output_field=models.TextField()
        )
    )
    limited = key.objects.exclude(hospital=None).values_list("pk", "hospital_id")
    through = key.hospitals.through
    through.objects.bulk_create(
        [through(apikey_id=pk, hospital_id=hospital_id) for pk, hospital_id in limited], batch_size=500
    )
    editor.connection.check_constraints()  # PostgreSQL alters no table with pending checks of foreign keys


def copy_hospitals_back(apps: Any, editor: Any) -> None:
    """Copy the hospital of each limited key back. A key without one would be a key for all hospitals.

    Raises:
        RuntimeError: an active key has several hospitals or none, or allowed networks. The former release has no form
            for them, and would accept the key for all hospitals, or from every address.
    """
    key = apps.get_model("devices", "ApiKey")
    if limited := key.objects.filter(revoked_at=None).exclude(allowed_networks="").first():
        raise RuntimeError(f"API key {limited.pk} is limited to networks. Revoke it before you go back.")
    for row in key.objects.filter(all_hospitals=False):
        ids = list(row.hospitals.order_by("pk").values_list("pk", flat=True))
        if len(ids) != 1 and row.revoked_at is None:
            raise RuntimeError(f"API key {row.pk} is limited to {len(ids)} hospitals. Revoke it before you go back.")
        key.objects.filter(pk=row.pk).update(hospital=ids[0] if ids else None)
    key.objects.filter(naming="both").update(naming="snake_case")
    editor.connection.check_constraints()


def install_former_keys(_apps: Any, editor: Any) -> None:
    """Keep both forms equal from now on, not only after the last migration: 0004 deletes hospitals that keys have."""
    former_keys.install(editor.connection)


class RemoveFieldOfFormerRelease(migrations.RemoveField):
    """Remove a field, but on PostgreSQL keep its column for servers of version 1.0: devices/db/triggers/former_keys.py."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            former_keys.remove(schema_editor.connection)
            table = to_state.apps.get_model(app_label, self.model_name)._meta.db_table
            schema_editor.execute(f"ALTER TABLE {table} DROP COLUMN IF EXISTS hospital_id")
        super().database_backwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):
    dependencies = [
        ("devices", "0002_last_use_of_keys"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="apikey",
            name="apikey_naming_known",
        ),
        migrations.AddField(
            model_name="apikey",
            name="all_hospitals",
            field=models.BooleanField(db_default=False, default=False, verbose_name="all hospitals"),
        ),
        migrations.AddField(
            model_name="apikey",
            name="allowed_networks",
            field=models.TextField(blank=True, db_default="", default="", verbose_name="allowed networks"),
        ),
        migrations.AddField(
            model_name="apikey",
            name="hospitals",
            field=models.ManyToManyField(
                blank=True, related_name="api_keys", to="devices.hospital", verbose_name="hospitals"
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="page_size",
            field=models.PositiveIntegerField(
                blank=True,
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(10000),
                ],
                verbose_name="default page size",
            ),
        ),
        migrations.AddField(
            model_name="apikey",
            name="sandbox",
            field=models.BooleanField(db_default=False, default=False, verbose_name="sandbox"),
        ),
        migrations.AddField(
            model_name="apikey",
            name="unknown_holder",
            field=models.CharField(
                choices=[("register", "register the hospital"), ("refuse", "refuse the request")],
                db_default="register",
                default="register",
                max_length=8,
                verbose_name="unknown hospitals",
            ),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="all_hospitals",
            field=models.BooleanField(db_default=False, default=False, verbose_name="all hospitals"),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="allowed_networks",
            field=models.TextField(blank=True, db_default="", default="", verbose_name="allowed networks"),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="hospital_ids",
            field=models.TextField(db_default="[]", default="[]"),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="page_size",
            field=models.PositiveIntegerField(
                blank=True,
                null=True,
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(10000),
                ],
                verbose_name="default page size",
            ),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="sandbox",
            field=models.BooleanField(db_default=False, default=False, verbose_name="sandbox"),
        ),
        migrations.AddField(
            model_name="historicalapikey",
            name="unknown_holder",
            field=models.CharField(
                choices=[("register", "register the hospital"), ("refuse", "refuse the request")],
                db_default="register",
                default="register",
                max_length=8,
                verbose_name="unknown hospitals",
            ),
        ),
        migrations.AddField(
            model_name="historicalhospital",
            name="address",
            field=models.CharField(blank=True, db_default="", max_length=500, verbose_name="address"),
        ),
        migrations.AddField(
            model_name="historicalhospital",
            name="domain",
            field=models.CharField(blank=True, db_default="", max_length=253, verbose_name="domain"),
        ),
        migrations.AddField(
            model_name="historicalhospital",
            name="email",
            field=models.EmailField(blank=True, db_default="", max_length=254, verbose_name="email"),
        ),
        migrations.AddField(
            model_name="historicalhospital",
            name="phone",
            field=models.CharField(blank=True, db_default="", max_length=50, verbose_name="phone"),
        ),
        migrations.AddField(
            model_name="historicalhospital",
            name="region",
            field=models.CharField(blank=True, db_default="", max_length=100, verbose_name="region"),
        ),
        migrations.AddField(
            model_name="historicalhospital",
            name="sandbox",
            field=models.BooleanField(default=False, db_default=False, editable=False, verbose_name="sandbox"),
        ),
        migrations.AddField(
            model_name="hospital",
            name="address",
            field=models.CharField(blank=True, db_default="", max_length=500, verbose_name="address"),
        ),
        migrations.AddField(
            model_name="hospital",
            name="domain",
            field=models.CharField(blank=True, db_default="", max_length=253, verbose_name="domain"),
        ),
        migrations.AddField(
            model_name="hospital",
            name="email",
            field=models.EmailField(blank=True, db_default="", max_length=254, verbose_name="email"),
        ),
        migrations.AddField(
            model_name="hospital",
            name="phone",
            field=models.CharField(blank=True, db_default="", max_length=50, verbose_name="phone"),
        ),
        migrations.AddField(
            model_name="hospital",
            name="region",
            field=models.CharField(blank=True, db_default="", max_length=100, verbose_name="region"),
        ),
        migrations.AddField(
            model_name="hospital",
            name="sandbox",
            field=models.BooleanField(default=False, db_default=False, editable=False, verbose_name="sandbox"),
        ),
        migrations.AlterField(
            model_name="apikey",
            name="naming",
            field=models.CharField(
                choices=[("snake_case", "snake_case"), ("camelCase", "camelCase"), ("both", "both")],
                default="snake_case",
                max_length=10,
                verbose_name="field naming",
            ),
        ),
        migrations.AlterField(
            model_name="historicalapikey",
            name="naming",
            field=models.CharField(
                choices=[("snake_case", "snake_case"), ("camelCase", "camelCase"), ("both", "both")],
                default="snake_case",
                max_length=10,
                verbose_name="field naming",
            ),
        ),
        migrations.RunPython(copy_hospitals, copy_hospitals_back),
        RemoveFieldOfFormerRelease(
            model_name="apikey",
            name="hospital",
        ),
        RemoveFieldOfFormerRelease(
            model_name="historicalapikey",
            name="hospital",
        ),
        migrations.RunPython(install_former_keys, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("naming__in", ["snake_case", "camelCase", "both"])), name="apikey_naming_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(("unknown_holder__in", ["register", "refuse"])), name="apikey_unknown_holder_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="apikey",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("page_size", None), models.Q(("page_size__gte", 1), ("page_size__lte", 10000)), _connector="OR"
                ),
                name="apikey_page_size_in_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="hospital",
            constraint=models.UniqueConstraint(
                condition=models.Q(("sandbox", True)), fields=("sandbox",), name="hospital_sandbox_is_one"
            ),
        ),
    ]
