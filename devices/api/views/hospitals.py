"""GET /api/hospitals and GET /api/hospital/{hospital_id}: the hospitals in the scope of the key."""

import orjson
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from devices.access import scopes
from devices.api import conditional, hospital_queries, links, responses
from devices.api.authentication import key_of
from devices.api.exceptions import HospitalNotFound
from devices.api.filters import HospitalFilter
from devices.api.hospital_json import serialize_successor
from devices.api.pagination import PARAMETERS, Page, Position
from devices.api.query_params import QueryParams
from devices.api.schema import operations
from devices.models import MAX_ID, Hospital
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError

LIST_PARAMETERS = PARAMETERS | HospitalFilter.base_filters.keys()


@operations.documented_hospitals
class HospitalViewSet(GenericViewSet[Hospital]):
    """List and read hospitals in the scope of the key."""

    http_method_names = ("get", "head")

    def list(self, request: Request) -> HttpResponse:
        query = QueryParams(request, LIST_PARAMETERS)
        position, filters = Position.parse(query), HospitalFilter(query.sent)
        query.errors += filters.find_errors()
        query.raise_errors()
        key = key_of(request)
        page = Page.fetch(request, filters.select(scopes.scope_for_key(key)), position, key.naming)
        pagination = page.describe()
        response = responses.success(page.data, _("Hospitals returned."), pagination=pagination)
        return conditional.conditional(request, links.set_pages(response, pagination, page.first_url()))

    def retrieve(self, request: Request, hospital_id: int) -> HttpResponse:
        QueryParams(request, set(), ignored={"page", "size"}).raise_errors()
        key = key_of(request)
        scope, number = scopes.scope_for_key(key), hospital_id if hospital_id <= MAX_ID else 0
        found = hospital_queries.find(number, scope, key.naming)
        if found is None:
            return self._merged(number, request)
        response = responses.success(orjson.Fragment(found), _("Hospital returned."))
        return conditional.conditional(request, response)

    def _merged(self, hospital_id: int, request: Request) -> HttpResponse:
        """Return 410 with the hospital into which this one was merged.

        Raises:
            HospitalNotFound: there is none in the scope of the key.
        """
        key = key_of(request)
        successor = hospital_queries.find_successor(hospital_id, scopes.scope_for_key(key))
        if successor is None:
            raise HospitalNotFound
        message = _("This hospital was merged into %(name)s (hospital_id %(id)d). Use that hospital instead.")
        error = FieldError(None, ErrorCode.MERGED, message % {"name": successor.name, "id": successor.pk})
        return responses.error_response([error], 410, successor=serialize_successor(successor, key.naming))
