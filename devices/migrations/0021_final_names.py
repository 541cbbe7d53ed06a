"""Give tables, columns and indexes the names that release 1.0 has."""

from django.db import migrations, models

from devices.db.triggers import append_only

HISTORIES = "historicaldevice", "historicalhospital", "historicalapikey"


ACTIONS = {
    'second_factor_set_up': 'two_factor_enabled',
    'second_factor_reset': 'two_factor_reset',
    'recovery_codes_made': 'recovery_codes_created',
    'password_chosen': 'password_set',
    'password_link_made': 'password_link_created',
    'person_added': 'user_added',
    'person_changed': 'user_changed',
    'hospital_given': 'hospital_admin_added',
    'hospital_taken': 'hospital_admin_removed',
    'code_refused': 'code_rejected',
    'password_refused': 'password_rejected',
    'outside_scope': 'out_of_scope',
    'retention_raised': 'retention_extended',
}


def rename_values(apps, schema_editor):
    """Rename the events. Their table is append-only: `migrate` installs its triggers again at the end."""
    append_only.remove(schema_editor.connection)
    events = apps.get_model('devices', 'AuditEvent').objects
    for old, new in ACTIONS.items():
        events.filter(action=old).update(action=new)
    events.filter(object_type='person').update(object_type='user')


def rename(model, old, new):
    return migrations.RenameField(model_name=model, old_name=old, new_name=new)


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0020_one_audit_log'),
    ]

    operations = [
        # A renamed field keeps its old name in the state of an index, so the indexes are made again: 0022.
        migrations.RemoveIndex('historicaldevice', 'change_by_through'),
        migrations.RemoveIndex('historicaldevice', 'change_by_departure'),
        migrations.RemoveIndex('auditevent', 'event_by_what_it_is_about'),
        migrations.RemoveIndex('auditevent', 'event_by_what'),
        migrations.RemoveIndex('devicecount', 'count_by_holder'),
        migrations.RemoveIndex('uploadedline', 'uploaded_line_by_number'),
        migrations.RemoveIndex('uploadedline', 'uploaded_line_by_kind'),
        migrations.RenameModel('FormerName', 'HospitalAlias'),
        migrations.RenameModel('RememberedAnswer', 'IdempotencyRecord'),
        migrations.RenameModel('PermitCount', 'RateLimitCounter'),
        migrations.RenameModel('Upload', 'ImportPreview'),
        migrations.RenameModel('UploadedLine', 'ImportPreviewRow'),
        migrations.RenameModel('Person', 'StaffUser'),
        *(rename(model, 'history_through', 'history_channel') for model in HISTORIES),
        *(rename(model, 'history_address', 'history_ip_address') for model in HISTORIES),
        rename('historicaldevice', 'history_holder_before', 'history_previous_holder'),
        rename('historicaldevice', 'history_name_before', 'history_previous_name'),
        rename('historicaldevice', 'history_mac_before', 'history_previous_mac'),
        rename('auditevent', 'at', 'created_at'),
        rename('auditevent', 'what', 'action'),
        rename('auditevent', 'through', 'channel'),
        rename('auditevent', 'address', 'ip_address'),
        rename('auditevent', 'about', 'object_type'),
        rename('auditevent', 'about_id', 'object_id'),
        rename('session', 'address', 'ip_address'),
        rename('devicecount', 'everywhere', 'is_total'),
        rename('importpreviewrow', 'upload', 'preview'),
        rename('importpreviewrow', 'kind', 'action'),
        rename('importpreviewrow', 'content', 'data'),
        migrations.RemoveConstraint('idempotencyrecord', 'answer_is_the_first'),
        migrations.AddConstraint(
            'idempotencyrecord',
            models.UniqueConstraint(name='idempotencyrecord_unique', fields=['api_key', 'key']),
        ),
        migrations.RemoveConstraint('ratelimitcounter', 'permits_of_a_window'),
        migrations.AddConstraint(
            'ratelimitcounter',
            models.UniqueConstraint(name='ratelimitcounter_unique', fields=['name', 'began_at', 'ends_at']),
        ),
        migrations.RunPython(rename_values, migrations.RunPython.noop),
    ]
