"""GET /api/key: describe the API key of the request."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from devices.api import responses, throttling
from devices.api.authentication import key_of
from devices.api.device_rows import to_epoch_ms
from devices.api.field_names import spell
from devices.api.query_params import QueryParams
from devices.api.schema import operations
from devices.models import DEFAULT_PAGE_SIZE, ApiKey
from devices.values.networks import format_networks, parse_networks

# Columns that no other request needs, so authentication does not read them. The digest is not among them.
FURTHER = ("name", "prefix", "legacy", "created_at", "expires_at")


class KeyViewSet(GenericViewSet[ApiKey]):
    """Describe the key of the request, so that a client can check its settings. Its secret is not returned."""

    http_method_names = ("get", "head")

    @operations.documented_key
    def describe(self, request: Request) -> HttpResponse:
        QueryParams(request, set(), ignored={"page", "size"}).raise_errors()
        key = key_of(request)
        key.refresh_from_db(fields=FURTHER)
        return responses.success(_spell(_describe(key, request), key.naming), _("API key returned."))


def _describe(key: ApiKey, request: Request) -> dict[str, Any]:
    """Return the description with snake_case names."""
    hospitals = [{"hospital_id": hospital.pk, "hospital_name": hospital.name} for hospital in key.scope_hospitals]
    return {
        "id": key.pk,
        "name": key.name,
        "prefix": key.prefix or None,
        "all_hospitals": key.all_hospitals,
        "hospitals": None if key.all_hospitals else hospitals,
        "read_only": key.read_only,
        "sandbox": key.sandbox,
        "legacy": key.legacy,
        "naming": key.naming,
        "page_size": key.page_size or DEFAULT_PAGE_SIZE,
        "unknown_holder": key.unknown_holder,
        "allowed_networks": format_networks(parse_networks(key.allowed_networks)).split(),
        "rate_limit": throttling.describe(request),
        "created_at": to_epoch_ms(key.created_at),
        "expires_at": to_epoch_ms(key.expires_at) if key.expires_at else None,
    }


def _spell(value: Any, naming: str) -> Any:
    """Return the value with the names of the naming in it and in all objects below."""
    if isinstance(value, list):
        return [_spell(each, naming) for each in value]
    if not isinstance(value, Mapping):
        return value
    return spell({name: _spell(each, naming) for name, each in value.items()}, naming)
