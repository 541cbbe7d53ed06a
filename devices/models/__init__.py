"""The tables, with a module for each concept. Other packages import the models from here.

The rules of a device's fields are in two places on purpose: registry/device_fields.py returns error messages, and the
database's constraints apply to every writer.
"""

from devices.models.api_keys import (
    DEFAULT_PAGE_SIZE,
    MAX_PAGE_SIZE,
    ApiKey,
    ApiKeyQuerySet,
    clean_networks,
    clean_rate,
    validate_rate,
)
from devices.models.audit import AuditEvent, AuditRetention
from devices.models.counts import DeviceCount, count_of_hospital
from devices.models.devices import CLOCK_STEP, Device, DeviceQuerySet, contains_text, search_condition
from devices.models.fields import MAX_ID, now_ms
from devices.models.history import DEPARTED, HOLDER_CHANGED, ChangeFeed, Channel
from devices.models.hospitals import Hospital, HospitalAlias, changes_in_scope
from devices.models.idempotency import IDEMPOTENCY_KEY_LENGTH, IdempotencyRecord
from devices.models.import_previews import ImportPreview, ImportPreviewRow, ImportTurn
from devices.models.rate_limits import RateLimitCounter
from devices.models.users import AuthenticatorApp, Session, StaffUser
