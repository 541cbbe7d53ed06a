"""The tables, in a module for each concept. The rest of the project imports them from here.

The rules of a field are written twice on purpose: drafts.py explains an error to a person, and the constraints hold for
every writer.
"""

from devices.models.api_keys import ApiKey, ApiKeyQuerySet, clean_rate, validate_rate
from devices.models.audit import AuditEvent, AuditRetention
from devices.models.columns import MAX_ID, now
from devices.models.counts import DeviceCount
from devices.models.devices import Device, DeviceQuerySet, has_part
from devices.models.history import LEFT, MOVED, ChangeFeed, Through
from devices.models.hospitals import FormerName, Hospital, changes_of
from devices.models.idempotency import IDEMPOTENCY_KEY_LENGTH, RememberedAnswer
from devices.models.people import AuthenticatorApp, Person, Session
from devices.models.permits import PermitCount
from devices.models.uploads import ImportTurn, Upload, UploadedLine
