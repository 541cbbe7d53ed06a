"""Set the current request, and record denied requests in the audit log."""

from http import HTTPStatus
from typing import Any

from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin

from devices.access import conflict_limits, current
from devices.audit.audit_log import ADDRESS_NOT_ALLOWED, Action
from devices.audit.denials import record_denial
from devices.models import ApiKey

DENIALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
BY_ID = {"id_device", "hospital_id", "object_id", "upload_id"}  # route parameters with the id of an object


class AuditMiddleware(MiddlewareMixin):
    """Set `current_request` while a request is processed, and record it if it was denied."""

    def __call__(self, request: HttpRequest) -> Any:
        token = current.current_request.set(request)
        try:
            response: Any = self.get_response(request)
            if numbers := conflict_limits.settle(request):
                record_denial(request, Action.CONFLICTS_OUTSIDE_SCOPE, **numbers)
            recorded = getattr(request, "axes_locked_out", False) or getattr(request, "denial_recorded", False)
            if hasattr(request, "denied_key"):
                status = response.status_code
                record_denial(request, Action.DENIED, status=status, reason=ADDRESS_NOT_ALLOWED, **_requested(request))
            elif response.status_code in DENIALS and not recorded:
                record_denial(request, Action.DENIED, status=response.status_code, **_requested(request))
            elif response.status_code == HTTPStatus.NOT_FOUND and _is_outside_scope(request):
                record_denial(request, Action.OUT_OF_SCOPE, **_requested(request))
        finally:
            current.current_request.reset(token)
        return response


def _requested(request: HttpRequest) -> dict[str, Any]:
    """Return the method and the route. The path is not recorded, because it could contain a secret."""
    match = request.resolver_match
    return {"method": request.method, "route": match.route if match else ""}


def _is_outside_scope(request: HttpRequest) -> bool:
    """Return whether a caller with a restricted scope requested an id that does not exist or is outside the scope.

    Both cases return the same 404, so both are recorded.
    """
    match = request.resolver_match
    if match is None or not (BY_ID & match.kwargs.keys() or match.route.strip("/") == "api/device"):
        return False
    key, user = getattr(request, "auth", None), getattr(request, "user", None)
    if isinstance(key, ApiKey):
        return not key.all_hospitals
    return bool(user and user.is_staff and not user.is_superuser)
