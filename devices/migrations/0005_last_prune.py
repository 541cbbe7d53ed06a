from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0004_merge_equal_hospitals")]
    operations = [
        migrations.AddField(
            model_name="auditretention", name="last_prune_at", field=models.DateTimeField(null=True)
        ),
    ]
