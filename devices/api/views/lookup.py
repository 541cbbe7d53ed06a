"""POST /api/devices/lookup: the devices with many MAC addresses."""

from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from devices.access import scopes
from devices.api import lookup, request_bodies, responses
from devices.api.authentication import key_of
from devices.api.parsers import JSONParser
from devices.api.query_params import QueryParams
from devices.api.schema import operations
from devices.models import Device


class LookupParser(JSONParser):
    """Parse a list of MAC addresses. 1 MiB is enough for 1,000 texts of 255 characters in any script."""

    max_body = 1024 * 1024


class LookupViewSet(GenericViewSet[Device]):
    """Look up devices in the scope of the key. It is a read: only its parameters are in a body."""

    http_method_names = ("post",)
    parser_classes = (LookupParser,)
    post_reads = True

    @operations.documented_lookup
    def look_up(self, request: Request) -> HttpResponse:
        QueryParams(request, set()).raise_errors()
        sent = request_bodies.parse_macs(request)
        key = key_of(request)
        return responses.success(
            lookup.look_up(sent, scopes.scope_for_key(key), key.naming), _("MAC addresses looked up.")
        )
