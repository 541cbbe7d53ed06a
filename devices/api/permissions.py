"""May they: what a key is allowed to do."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from devices import reach
from devices.api.authentication import key_of
from devices.models import ApiKey, Device

if TYPE_CHECKING:  # rest_framework.views imports this module, as the default of its views
    from rest_framework.views import APIView


class HasApiKey(BasePermission):
    """A key is there, may do this, and only to what is within its hospital. The default of every view."""

    message = _("This API key may only read.")
    code = "read_only"

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not isinstance(request.auth, ApiKey):
            return False
        return request.method in SAFE_METHODS or not request.auth.read_only

    def has_object_permission(self, request: Request, view: "APIView", obj: object) -> bool:
        return isinstance(obj, Device) and reach.of_key(key_of(request)).includes(obj.device_holder_id)
