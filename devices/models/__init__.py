"""The tables, a module a concept: the rest of the project takes them from here.

The rules of a field stand twice on purpose: drafts.py tells a person what is wrong, the constraints here make sure
that nothing else gets in, whoever writes.
"""

from devices.models.api_keys import ApiKey, ApiKeyQuerySet, clean_rate, validate_rate
from devices.models.audit import AuditEvent, AuditRetention
from devices.models.authenticator_apps import AuthenticatorApp
from devices.models.columns import MAX_ID, now
from devices.models.counts import DeviceCount
from devices.models.devices import Device, DeviceQuerySet, Part, has_part, holders_with
from devices.models.feed import ChangeFeed
from devices.models.history import LEFT, MOVED, Through
from devices.models.hospitals import FormerName, Hospital, changes_of
from devices.models.idempotency import IDEMPOTENCY_KEY_LENGTH, RememberedAnswer
from devices.models.people import Person
from devices.models.permits import PermitCount
from devices.models.sessions import Session
from devices.models.uploads import ImportTurn, Upload, UploadedLine

__all__ = [
    "IDEMPOTENCY_KEY_LENGTH",
    "LEFT",
    "MAX_ID",
    "MOVED",
    "ApiKey",
    "ApiKeyQuerySet",
    "AuditEvent",
    "AuditRetention",
    "AuthenticatorApp",
    "ChangeFeed",
    "Device",
    "DeviceCount",
    "DeviceQuerySet",
    "FormerName",
    "Hospital",
    "ImportTurn",
    "Part",
    "PermitCount",
    "Person",
    "RememberedAnswer",
    "Session",
    "Through",
    "Upload",
    "UploadedLine",
    "changes_of",
    "clean_rate",
    "has_part",
    "holders_with",
    "now",
    "validate_rate",
]
