import devices.models.api_keys
import devices.models.fields
import django.contrib.auth.models
import django.db.models.deletion
import django.db.models.functions.text
import django.db.models.lookups
import django.utils.timezone
import simple_history.models
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('otp_totp', '0003_add_timestamps'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=255, verbose_name='client application')),
                ('prefix', models.CharField(blank=True, editable=False, max_length=8, verbose_name='key prefix')),
                ('digest', models.CharField(editable=False, max_length=64, unique=True)),
                ('read_only', models.BooleanField(default=False, verbose_name='read-only')),
                ('naming', models.CharField(choices=[('snake_case', 'snake_case'), ('camelCase', 'camelCase')], default='snake_case', max_length=10, verbose_name='field naming')),
                ('rate', models.CharField(blank=True, help_text='For example 600/min, 10/s, 5000/h, or unlimited. Leave empty to use the default of this registry.', max_length=20, null=True, validators=[devices.models.api_keys.validate_rate], verbose_name='rate limit')),
                ('legacy', models.BooleanField(default=False, editable=False, verbose_name='legacy')),
                ('created_at', models.DateTimeField(default=devices.models.fields.now_ms, editable=False, verbose_name='issued at')),
                ('expires_at', models.DateTimeField(blank=True, null=True, verbose_name='expires at')),
                ('revoked_at', models.DateTimeField(editable=False, null=True, verbose_name='revoked at')),
                ('last_used_at', models.DateTimeField(editable=False, null=True, verbose_name='last used at')),
            ],
            options={
                'verbose_name': 'API key',
                'verbose_name_plural': 'API keys',
            },
        ),
        migrations.CreateModel(
            name='ImportTurn',
            fields=[
                ('user', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to=settings.AUTH_USER_MODEL)),
                ('token', models.CharField(max_length=16)),
                ('ends_at', models.BigIntegerField()),
            ],
            options={
                'default_permissions': (),
            },
        ),
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
        migrations.CreateModel(
            name='StaffUser',
            fields=[
            ],
            options={
                'verbose_name': 'user',
                'verbose_name_plural': 'users',
                'proxy': True,
                'indexes': [],
                'constraints': [],
            },
            bases=('auth.user',),
            managers=[
                ('objects', django.contrib.auth.models.UserManager()),
            ],
        ),
        migrations.CreateModel(
            name='AuditRetention',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('years', models.PositiveSmallIntegerField()),
                ('pruning_before', models.DateTimeField(null=True)),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('pk', 1)), name='auditretention_is_one'), models.CheckConstraint(condition=models.Q(('years__gte', 1)), name='auditretention_is_some')],
            },
        ),
        migrations.CreateModel(
            name='ChangeFeed',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.BinaryField()),
                ('pruned_to', models.BigIntegerField(default=0)),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.CheckConstraint(condition=models.Q(('pk', 1)), name='changefeed_is_one')],
            },
        ),
        migrations.CreateModel(
            name='HistoricalHospital',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_channel', models.CharField(blank=True, choices=[('api', 'API'), ('admin', 'Admin'), ('import', 'Import'), ('command', 'Command')], max_length=8, verbose_name='source')),
                ('history_ip_address', models.GenericIPAddressField(null=True, verbose_name='IP address')),
                ('history_request_id', models.CharField(blank=True, max_length=128, verbose_name='request ID')),
                ('name', models.CharField(max_length=255, verbose_name='name')),
                ('name_folded', models.CharField(db_index=True, editable=False, max_length=765)),
                ('created_at', models.DateTimeField(default=devices.models.fields.now_ms, editable=False, verbose_name='registered at')),
                ('updated_at', models.DateTimeField(default=devices.models.fields.now_ms, editable=False, verbose_name='changed at')),
                ('history_change_reason', models.CharField(max_length=255, null=True)),
                ('history_id', models.BigAutoField(editable=False, primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_api_key', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.apikey', verbose_name='API key')),
                ('history_user', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'historical hospital',
                'verbose_name_plural': 'historical hospitals',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='Hospital',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=255, verbose_name='name')),
                ('name_folded', models.CharField(editable=False, max_length=765, unique=True)),
                ('created_at', models.DateTimeField(default=devices.models.fields.now_ms, editable=False, verbose_name='registered at')),
                ('updated_at', models.DateTimeField(default=devices.models.fields.now_ms, editable=False, verbose_name='changed at')),
                ('admins', models.ManyToManyField(blank=True, related_name='hospitals', to=settings.AUTH_USER_MODEL, verbose_name='hospital admins')),
            ],
            options={
                'verbose_name': 'hospital',
                'verbose_name_plural': 'hospitals',
            },
        ),
        migrations.CreateModel(
            name='HistoricalDevice',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, verbose_name='ID')),
                ('history_channel', models.CharField(blank=True, choices=[('api', 'API'), ('admin', 'Admin'), ('import', 'Import'), ('command', 'Command')], max_length=8, verbose_name='source')),
                ('history_ip_address', models.GenericIPAddressField(null=True, verbose_name='IP address')),
                ('history_request_id', models.CharField(blank=True, max_length=128, verbose_name='request ID')),
                ('history_previous_name', models.CharField(max_length=255, null=True, verbose_name='previous name')),
                ('history_previous_mac', models.CharField(max_length=64, null=True, verbose_name='previous MAC address')),
                ('device_name', models.CharField(max_length=255, verbose_name='name')),
                ('device_mac', models.CharField(max_length=64, verbose_name='MAC address')),
                ('device_type', models.CharField(choices=[('CONSUMER', 'Consumer'), ('CORPORATE', 'Corporate')], max_length=16, verbose_name='type')),
                ('created_at', models.DateTimeField(default=devices.models.fields.now_ms, editable=False, verbose_name='registered at')),
                ('updated_at', models.DateTimeField(default=devices.models.fields.now_ms, editable=False, verbose_name='changed at')),
                ('history_change_reason', models.CharField(max_length=255, null=True)),
                ('history_id', models.BigAutoField(editable=False, primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_api_key', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.apikey', verbose_name='API key')),
                ('history_user', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('device_holder', models.ForeignKey(blank=True, db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.hospital', verbose_name='hospital')),
                ('history_previous_holder', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.hospital', verbose_name='previous hospital')),
            ],
            options={
                'verbose_name': 'change of a device',
                'verbose_name_plural': 'changes of devices',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='HistoricalApiKey',
            fields=[
                ('id', models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name='ID')),
                ('history_channel', models.CharField(blank=True, choices=[('api', 'API'), ('admin', 'Admin'), ('import', 'Import'), ('command', 'Command')], max_length=8, verbose_name='source')),
                ('history_ip_address', models.GenericIPAddressField(null=True, verbose_name='IP address')),
                ('history_request_id', models.CharField(blank=True, max_length=128, verbose_name='request ID')),
                ('name', models.CharField(max_length=255, verbose_name='client application')),
                ('prefix', models.CharField(blank=True, editable=False, max_length=8, verbose_name='key prefix')),
                ('read_only', models.BooleanField(default=False, verbose_name='read-only')),
                ('naming', models.CharField(choices=[('snake_case', 'snake_case'), ('camelCase', 'camelCase')], default='snake_case', max_length=10, verbose_name='field naming')),
                ('rate', models.CharField(blank=True, help_text='For example 600/min, 10/s, 5000/h, or unlimited. Leave empty to use the default of this registry.', max_length=20, null=True, validators=[devices.models.api_keys.validate_rate], verbose_name='rate limit')),
                ('legacy', models.BooleanField(default=False, editable=False, verbose_name='legacy')),
                ('created_at', models.DateTimeField(default=devices.models.fields.now_ms, editable=False, verbose_name='issued at')),
                ('expires_at', models.DateTimeField(blank=True, null=True, verbose_name='expires at')),
                ('revoked_at', models.DateTimeField(editable=False, null=True, verbose_name='revoked at')),
                ('history_change_reason', models.CharField(max_length=255, null=True)),
                ('history_id', models.BigAutoField(editable=False, primary_key=True, serialize=False)),
                ('history_date', models.DateTimeField(db_index=True)),
                ('history_type', models.CharField(choices=[('+', 'Created'), ('~', 'Changed'), ('-', 'Deleted')], max_length=1)),
                ('history_api_key', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.apikey', verbose_name='API key')),
                ('history_user', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('hospital', models.ForeignKey(blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.hospital', verbose_name='hospital')),
            ],
            options={
                'verbose_name': 'historical API key',
                'verbose_name_plural': 'historical API keys',
                'ordering': ('-history_date', '-history_id'),
                'get_latest_by': ('history_date', 'history_id'),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name='DeviceCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('is_total', models.BooleanField(default=False)),
                ('device_type', models.CharField(max_length=16)),
                ('number', models.BigIntegerField()),
                ('device_holder', models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.hospital')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='Device',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('device_name', models.CharField(max_length=255, unique=True, verbose_name='name')),
                ('device_mac', models.CharField(max_length=64, unique=True, verbose_name='MAC address')),
                ('device_type', models.CharField(choices=[('CONSUMER', 'Consumer'), ('CORPORATE', 'Corporate')], max_length=16, verbose_name='type')),
                ('created_at', models.DateTimeField(default=devices.models.fields.now_ms, editable=False, verbose_name='registered at')),
                ('updated_at', models.DateTimeField(default=devices.models.fields.now_ms, editable=False, verbose_name='changed at')),
                ('device_holder', models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='devices', to='devices.hospital', verbose_name='hospital')),
            ],
            options={
                'verbose_name': 'device',
                'verbose_name_plural': 'devices',
            },
        ),
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now, verbose_name='time')),
                ('action', models.CharField(choices=[('signed_in', 'signed in'), ('signed_out', 'signed out'), ('sign_in_failed', 'sign-in failed'), ('sign_in_locked', 'user locked out'), ('code_accepted', 'verification code accepted'), ('code_rejected', 'wrong verification code'), ('two_factor_enabled', 'two-factor authentication set up'), ('two_factor_reset', 'two-factor authentication turned off or reset'), ('recovery_codes_created', 'recovery codes created'), ('password_set', 'password set'), ('password_link_created', 'password link created'), ('user_added', 'user added'), ('user_changed', 'user changed'), ('hospital_admin_added', 'hospital admin added'), ('hospital_admin_removed', 'hospital admin removed'), ('sign_in_limited', 'sign-in limit reached'), ('password_rejected', 'wrong current password'), ('identity_confirmed', 'identity confirmed'), ('session_ended', 'sessions ended'), ('denied', 'request denied'), ('out_of_scope', 'request outside the scope'), ('conflicts_outside_scope', 'conflicts with devices outside the scope'), ('exported', 'data exported'), ('imported', 'file imported'), ('pruned', 'expired records removed'), ('retention_extended', 'retention period extended')], max_length=24, verbose_name='event')),
                ('username', models.CharField(blank=True, max_length=150, verbose_name='user name')),
                ('channel', models.CharField(choices=[('api', 'API'), ('admin', 'Admin'), ('import', 'Import'), ('command', 'Command')], max_length=8, verbose_name='source')),
                ('ip_address', models.GenericIPAddressField(null=True, verbose_name='IP address')),
                ('request_id', models.CharField(blank=True, max_length=128, verbose_name='request ID')),
                ('object_type', models.CharField(blank=True, choices=[('device', 'device'), ('hospital', 'hospital'), ('key', 'API key'), ('user', 'user')], max_length=8, verbose_name='object')),
                ('object_id', models.BigIntegerField(null=True)),
                ('details', models.JSONField(default=dict, verbose_name='details')),
                ('api_key', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.apikey', verbose_name='API key')),
                ('user', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
                ('hospital', models.ForeignKey(db_constraint=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='devices.hospital', verbose_name='hospital')),
            ],
            options={
                'verbose_name': 'event',
                'verbose_name_plural': 'events',
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='apikey',
            name='hospital',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='api_keys', to='devices.hospital', verbose_name='hospital'),
        ),
        migrations.CreateModel(
            name='HospitalAlias',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=255, verbose_name='name')),
                ('name_folded', models.CharField(max_length=765, unique=True)),
                ('former_id', models.BigIntegerField(db_index=True, null=True)),
                ('created_at', models.DateTimeField(default=devices.models.fields.now_ms)),
                ('hospital', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='former_names', to='devices.hospital')),
            ],
            options={
                'verbose_name': 'former name',
                'verbose_name_plural': 'former names',
            },
        ),
        migrations.CreateModel(
            name='IdempotencyRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=255)),
                ('fingerprint', models.CharField(max_length=64)),
                ('status', models.PositiveSmallIntegerField()),
                ('etag', models.CharField(blank=True, max_length=64)),
                ('body', models.BinaryField()),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('api_key', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='devices.apikey')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='ImportPreview',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=255)),
                ('created_at', models.DateTimeField(db_index=True, default=devices.models.fields.now_ms)),
                ('language', models.CharField(max_length=8)),
                ('notes', models.JSONField(default=dict)),
                ('counts', models.JSONField(default=dict)),
                ('digest', models.CharField(max_length=64)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='ImportPreviewRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('action', models.CharField(max_length=9)),
                ('data', models.TextField()),
                ('preview', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='rows', to='devices.importpreview')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='RateLimitCounter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=80)),
                ('began_at', models.BigIntegerField()),
                ('ends_at', models.BigIntegerField(db_index=True)),
                ('used', models.BigIntegerField()),
                ('leased', models.BigIntegerField()),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('name', 'began_at', 'ends_at'), name='ratelimitcounter_unique')],
            },
        ),
        migrations.CreateModel(
            name='Session',
            fields=[
                ('session_data', models.TextField(verbose_name='session data')),
                ('expire_date', models.DateTimeField(db_index=True, verbose_name='expire date')),
                ('session_key', models.CharField(max_length=64, primary_key=True, serialize=False, verbose_name='session key')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='started')),
                ('last_seen_at', models.DateTimeField(default=django.utils.timezone.now, verbose_name='last used')),
                ('ip_address', models.GenericIPAddressField(null=True, verbose_name='IP address')),
                ('user_agent', models.CharField(blank=True, max_length=200, verbose_name='browser')),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='user')),
            ],
            options={
                'verbose_name': 'session',
                'verbose_name_plural': 'sessions',
                'default_permissions': (),
            },
        ),
        migrations.AddConstraint(
            model_name='hospital',
            constraint=models.CheckConstraint(condition=models.Q(('name', django.db.models.functions.text.Trim('name')), models.Q(('name', ''), _negated=True)), name='hospital_name_trimmed'),
        ),
        migrations.AddConstraint(
            model_name='hospital',
            constraint=models.CheckConstraint(condition=models.Q(('name_folded__in', ['', 'unknown']), _negated=True), name='hospital_name_known'),
        ),
        migrations.AddConstraint(
            model_name='hospital',
            constraint=models.CheckConstraint(condition=django.db.models.lookups.LessThanOrEqual(django.db.models.functions.text.Length('name'), 255), name='hospital_name_length'),
        ),
        migrations.AddIndex(
            model_name='historicaldevice',
            index=models.Index(fields=['id', 'history_id'], name='change_by_device'),
        ),
        migrations.AddIndex(
            model_name='historicaldevice',
            index=models.Index(fields=['device_holder', 'history_id'], name='change_by_holder'),
        ),
        migrations.AddIndex(
            model_name='historicaldevice',
            index=models.Index(condition=models.Q(('history_previous_holder__isnull', False), models.Q(('device_holder__isnull', True), ('device_holder__lt', models.F('history_previous_holder')), ('device_holder__gt', models.F('history_previous_holder')), _connector='OR')), fields=['history_previous_holder', 'history_id'], name='change_by_departure'),
        ),
        migrations.AddIndex(
            model_name='historicaldevice',
            index=models.Index(condition=models.Q(('history_type', '+'), _negated=True), fields=['history_type', 'history_id'], name='change_by_type'),
        ),
        migrations.AddIndex(
            model_name='historicaldevice',
            index=models.Index(condition=models.Q(('history_channel', 'api'), _negated=True), fields=['history_channel', 'history_id'], name='change_by_channel'),
        ),
        migrations.AddIndex(
            model_name='devicecount',
            index=models.Index(fields=['is_total', 'device_holder', 'device_type'], name='count_by_holder'),
        ),
        migrations.AddIndex(
            model_name='device',
            index=models.Index(fields=['device_holder', 'id'], name='device_by_holder'),
        ),
        migrations.AddIndex(
            model_name='device',
            index=models.Index(fields=['device_holder', 'created_at'], name='device_by_holder_since'),
        ),
        migrations.AddIndex(
            model_name='device',
            index=models.Index(fields=['updated_at', 'id'], name='device_by_change'),
        ),
        migrations.AddIndex(
            model_name='device',
            index=models.Index(fields=['created_at', 'id'], name='device_by_registration'),
        ),
        migrations.AddConstraint(
            model_name='device',
            constraint=models.CheckConstraint(condition=models.Q(('device_name', django.db.models.functions.text.Trim('device_name')), models.Q(('device_name', ''), _negated=True)), name='device_name_trimmed'),
        ),
        migrations.AddConstraint(
            model_name='device',
            constraint=models.CheckConstraint(condition=django.db.models.lookups.LessThanOrEqual(django.db.models.functions.text.Length('device_name'), 255), name='device_name_length'),
        ),
        migrations.AddConstraint(
            model_name='device',
            constraint=models.CheckConstraint(condition=models.Q(('device_mac', django.db.models.functions.text.Upper('device_mac')), django.db.models.lookups.LessThanOrEqual(4, django.db.models.functions.text.Length('device_mac')), django.db.models.lookups.LessThanOrEqual(django.db.models.functions.text.Length('device_mac'), 64)), name='device_mac_normal'),
        ),
        migrations.AddConstraint(
            model_name='device',
            constraint=models.CheckConstraint(condition=models.Q(('device_type__in', ['CONSUMER', 'CORPORATE'])), name='device_type_known'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['object_type', 'object_id'], name='auditevent_by_object'),
        ),
        migrations.AddIndex(
            model_name='auditevent',
            index=models.Index(fields=['action', 'created_at', 'ip_address'], name='auditevent_by_action'),
        ),
        migrations.AddConstraint(
            model_name='apikey',
            constraint=models.CheckConstraint(condition=models.Q(('naming__in', ['snake_case', 'camelCase'])), name='apikey_naming_known'),
        ),
        migrations.AddConstraint(
            model_name='apikey',
            constraint=models.CheckConstraint(condition=models.Q(('legacy', True), models.Q(('prefix', ''), _negated=True), _connector='XOR'), name='apikey_named_or_legacy'),
        ),
        migrations.AddConstraint(
            model_name='apikey',
            constraint=models.UniqueConstraint(condition=models.Q(('prefix', ''), _negated=True), fields=('prefix',), name='apikey_prefix_unique'),
        ),
        migrations.AddConstraint(
            model_name='idempotencyrecord',
            constraint=models.UniqueConstraint(fields=('api_key', 'key'), name='idempotencyrecord_unique'),
        ),
        migrations.AddIndex(
            model_name='importpreviewrow',
            index=models.Index(fields=['preview', 'number'], name='importpreviewrow_by_number'),
        ),
        migrations.AddIndex(
            model_name='importpreviewrow',
            index=models.Index(fields=['preview', 'action', 'number'], name='importpreviewrow_by_action'),
        ),
    ]
