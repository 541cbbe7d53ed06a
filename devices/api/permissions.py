"""The permissions of an API key. Queries limit the devices to its scope: see devices/values/scope.py."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from devices.models import ApiKey
from devices.values.error_codes import ErrorCode

if TYPE_CHECKING:  # rest_framework.views imports this module, as the default of its views
    from rest_framework.views import APIView


class HasApiKey(BasePermission):
    """Allow reads with a valid key, and writes with a valid key that is not read-only. The default of all views.

    A POST is a write, unless the view says that its POST only reads: `post_reads = True`.
    """

    message = _("This API key is read-only. Use a read-write key for POST, PUT, PATCH and DELETE.")
    code = ErrorCode.READ_ONLY

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not isinstance(request.auth, ApiKey):
            return False
        reads = request.method in SAFE_METHODS or (request.method == "POST" and getattr(view, "post_reads", False))
        return reads or not request.auth.read_only
