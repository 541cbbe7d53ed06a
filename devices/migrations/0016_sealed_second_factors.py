from django.db import migrations

from devices.crypto.encryption import reencrypt_totp_secret
from devices.crypto.encryption import decrypt_totp_secret


def seal_all(apps, schema_editor):
    """Seal what there is: TOTPDevice of a migration is the plain table, which knows nothing of seals."""
    rewrite(apps, schema_editor, reencrypt_totp_secret)


def unseal_all(apps, schema_editor):
    rewrite(apps, schema_editor, lambda key, user_id: decrypt_totp_secret(key, user_id).hex())


def rewrite(apps, schema_editor, written):
    devices = apps.get_model('otp_totp', 'TOTPDevice').objects.using(schema_editor.connection.alias)
    for pk, user_id, key in list(devices.values_list('pk', 'user_id', 'key')):
        devices.filter(pk=pk, key=key).update(key=written(key, user_id))


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0015_audit'),
        ('otp_totp', '0003_add_timestamps'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuthenticatorApp',
            fields=[
            ],
            options={
                'proxy': True,
                'default_permissions': (),
                'indexes': [],
                'constraints': [],
            },
            bases=('otp_totp.totpdevice',),
        ),
        migrations.RunPython(seal_all, unseal_all),
    ]
