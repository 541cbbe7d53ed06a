import django.db.models.deletion
from django.db import migrations, models

from devices.db import trigrams

# For LIKE 'x%', which nothing asks: Django makes one for each text field that is unique or indexed.
UNUSED = [
    "devices_device_device_name_df4612ac_like",
    "devices_device_device_mac_511ac646_like",
    "devices_historicaldevice_device_name_34c348c9_like",
    "devices_historicaldevice_device_mac_309f7c3a_like",
]


def drop_unused(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(f"DROP INDEX IF EXISTS {', '.join(UNUSED)}")


def remove_trigrams(apps, schema_editor):
    """The indexes themselves come after every `migrate`, where they are missing: apps.py."""
    trigrams.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [
        ('devices', '0005_holder_before'),
    ]

    operations = [
        migrations.AlterField(
            model_name='device',
            name='device_holder',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='devices', to='devices.hospital', verbose_name='hospital'),
        ),
        migrations.AddIndex(
            model_name='device',
            index=models.Index(fields=['device_holder', 'created_at'], name='device_by_holder_since'),
        ),
        migrations.RunPython(drop_unused, remove_trigrams),
    ]
