"""The field `device_mac` of requests.

Its error mentions manufacturer IDs, which an operator can allow. The pages of the admin do not mention them: their
users type the address of a label.
"""

from collections.abc import Callable
from functools import wraps

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from devices.registry import device_fields
from devices.values import mac_errors
from devices.values.error_codes import ErrorCode


def _with_hint(read: Callable[[object], str]) -> Callable[[object], str]:
    """Return the function with a hint in its error, if the value can be a manufacturer ID."""

    @wraps(read)
    def read_or_hint(value: object) -> str:
        try:
            return read(value)
        except ValidationError as error:
            if error.code != ErrorCode.MAC or settings.DEVICES_ALLOW_NON_MAC:
                raise
            if not mac_errors.may_be_manufacturer_id(device_fields.clean_text(value)):
                raise
            hint = _("If this is a manufacturer ID, the operator can allow it: DEVICES_ALLOW_NON_MAC.")
            raise ValidationError(f"{error.messages[0]} {hint}", ErrorCode.MAC) from error

    return read_or_hint


clean_mac = _with_hint(device_fields.clean_mac)
read_mac = _with_hint(device_fields.read_mac)
CLEANERS = {**device_fields.CLEANERS, "device_mac": clean_mac}
