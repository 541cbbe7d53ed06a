import django.db.models.deletion
from django.db import migrations, models

from devices.db.triggers import counts as triggers


def remove_triggers(apps, schema_editor):
    """The triggers themselves come after every `migrate`, where they are missing: apps.py."""
    triggers.remove(schema_editor.connection)


class Migration(migrations.Migration):
    dependencies = [
        ('devices', '0002_hospital_admins'),
    ]

    operations = [
        migrations.CreateModel(
            name='DeviceCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('everywhere', models.BooleanField(default=False)),
                ('device_type', models.CharField(max_length=16)),
                ('number', models.BigIntegerField()),
                ('device_holder', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.hospital')),
            ],
            options={
                'default_permissions': (),
                'indexes': [models.Index(fields=['everywhere', 'device_holder', 'device_type'], name='count_by_holder')],
            },
        ),
        migrations.RunPython(migrations.RunPython.noop, remove_triggers),
    ]
