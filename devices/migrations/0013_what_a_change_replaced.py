from django.db import migrations, models

FILL = """
    UPDATE devices_historicaldevice
    SET history_name_before = nullif(told.name, device_name), history_mac_before = nullif(told.mac, device_mac)
    FROM (
        SELECT history_id,
            lag(device_name) OVER (PARTITION BY id ORDER BY history_id) AS name,
            lag(device_mac) OVER (PARTITION BY id ORDER BY history_id) AS mac
        FROM devices_historicaldevice
    ) AS told
    WHERE told.history_id = devices_historicaldevice.history_id AND history_type = '~'
    AND (told.name <> device_name OR told.mac <> device_mac)
"""


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0012_answers_at_less_cost'),
    ]

    operations = [
        migrations.AddField(
            model_name='historicaldevice',
            name='history_mac_before',
            field=models.CharField(max_length=64, null=True, verbose_name='MAC address before'),
        ),
        migrations.AddField(
            model_name='historicaldevice',
            name='history_name_before',
            field=models.CharField(max_length=255, null=True, verbose_name='name before'),
        ),
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AlterField(
            model_name='historicaldevice',
            name='device_mac',
            field=models.CharField(max_length=64, verbose_name='MAC address'),
        ),
        migrations.AlterField(
            model_name='historicaldevice',
            name='device_name',
            field=models.CharField(max_length=255, verbose_name='name'),
        ),
    ]
