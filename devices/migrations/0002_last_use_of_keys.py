"""Store the IP address of the last use of an API key."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0001_initial")]
    operations = [
        migrations.AlterModelOptions(
            name="auditevent",
            options={"default_permissions": (), "verbose_name": "event", "verbose_name_plural": "audit log"},
        ),
        migrations.AddField(
            model_name="apikey",
            name="last_used_ip_address",
            field=models.GenericIPAddressField(editable=False, null=True, verbose_name="last used from"),
        ),
    ]
