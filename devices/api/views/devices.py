"""The endpoints for devices. Each view calls one function of the registry."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, NoReturn

import orjson
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from devices import registry
from devices.access import scopes
from devices.access.actor import Actor, actor_from_request
from devices.api import conditional, deprecation, idempotency, links, request_bodies, responses
from devices.api.authentication import key_of
from devices.api.device_json import DeviceJSON
from devices.api.device_rows import describe_new_hospitals, serialize_device, serialize_registered
from devices.api.exceptions import DeviceNotFound, DeviceRetired, EndpointNotFound
from devices.api.field_names import names_for
from devices.api.filters import DeviceFilter
from devices.api.idempotency import WriteOptions
from devices.api.pagination import PARAMETERS, Page, Position
from devices.api.queries import compiled_scope, in_compiled_scope
from devices.api.query_params import QueryParams
from devices.api.schema import operations
from devices.api.serializers import DeviceSerializer
from devices.db.compiled import CompiledQuery, Parameter
from devices.history import recording
from devices.models import MAX_ID, Channel, Device, DeviceQuerySet
from devices.registry import bulk
from devices.registry.device_fields import REQUIRED_FIELDS
from devices.values.error_codes import ErrorCode
from devices.values.errors import FieldError
from devices.values.scope import Scope

# corsheaders responds to preflights. Any other OPTIONS is 405, and Allow does not list it.
METHODS = ["get", "head", "post", "put", "patch", "delete"]
LIST_PARAMETERS = PARAMETERS | DeviceFilter.base_filters.keys()


@operations.documented
class DeviceViewSet(GenericViewSet[Device]):
    """List, read, register, update and retire devices in the scope of the key."""

    http_method_names = METHODS
    serializer_class = DeviceSerializer

    @property
    def scope(self) -> Scope:
        return scopes.scope_for_key(key_of(self.request))

    def get_queryset(self) -> DeviceQuerySet:
        return Device.objects.in_scope(self.scope)

    def list(self, request: Request) -> HttpResponse:
        query = QueryParams(request, LIST_PARAMETERS)
        position, filters = Position.parse(query), DeviceFilter(query.sent)
        query.errors += filters.find_errors()
        query.raise_errors()
        page = Page.fetch(request, filters.select(self.scope), position, key_of(request).naming)
        pagination = page.describe()
        response = responses.success(page.data, _("Devices returned."), pagination=pagination)
        return conditional.conditional(request, links.set_pages(response, pagination, page.first_url()))

    def retrieve(self, request: Request, id_device: int) -> HttpResponse:
        QueryParams(request, set(), ignored={"page", "size"}).raise_errors()
        kind, hospitals = compiled_scope(self.scope)
        rows = _detail(key_of(request).naming, kind).fetch(id=_int64(id_device), scope=hospitals)
        if not rows:
            self._raise_not_found(id_device)
        [[device]] = rows
        tag = conditional.device_etag(orjson.loads(device), key_of(request).naming)
        return conditional.conditional(request, conditional.device_response(orjson.Fragment(device)), tag)

    @links.located
    @idempotency.idempotent
    def create(self, request: Request, options: WriteOptions) -> HttpResponse:
        conditional.reject_if_match(request)
        if options.partial or options.update_known:
            return self._create_each(request, options)
        items, malformed = request_bodies.parse_devices(request)
        dry_run = options.dry_run or bool(malformed)  # it will fail, so it needs no transaction
        registered = registry.register(items, self._actor(options), malformed, dry_run=dry_run)
        rows = serialize_registered(registered, self._naming)
        more = describe_new_hospitals(registered.hospitals, self._naming)
        response = responses.success(rows, options.message(_("Devices registered.")), 201, **more)
        return self._with_etag(response, rows[0], options) if len(rows) == 1 else response

    @operations.documented_create_one
    @deprecation.deprecated(deprecation.POST_DEVICE)  # type: ignore[arg-type]  # the type depends on no `when`
    def create_one(self, request: Request, /) -> HttpResponse:
        return self.create(request)  # type: ignore[no-any-return]

    @operations.documented_create_individually
    @partial(idempotency.idempotent, parameters=idempotency.BATCH_PARAMETERS)
    def create_individually(self, request: Request, options: WriteOptions) -> HttpResponse:
        conditional.reject_if_match(request)
        return self._create_each(request, replace(options, partial=True))

    @idempotency.idempotent
    def update(self, request: Request, options: WriteOptions, id_device: int) -> HttpResponse:
        return self._update(options, REQUIRED_FIELDS, pk=_int64(id_device))

    @operations.documented_update_by_key
    @idempotency.idempotent
    def update_by_key(self, request: Request, options: WriteOptions) -> HttpResponse:
        return self._update(options, REQUIRED_FIELDS, **request_bodies.parse_lookup(request))

    @idempotency.idempotent
    def partial_update(self, request: Request, options: WriteOptions, id_device: int) -> HttpResponse:
        return self._update(options, (), pk=_int64(id_device))

    @idempotency.idempotent
    def destroy(self, request: Request, options: WriteOptions, id_device: int) -> HttpResponse:
        device = self.get_queryset().filter(pk=_int64(id_device))
        try:
            registry.retire_one(device, self._actor(options), conditional.IfMatch(request), dry_run=options.dry_run)
        except Device.DoesNotExist:
            self._raise_not_found(id_device)
        except registry.PreconditionFailed as failed:
            return self._precondition_failed(failed.device)
        return responses.success([], options.message(_("Device retired.")))

    def _create_each(self, request: Request, options: WriteOptions) -> HttpResponse:
        items, malformed = request_bodies.parse_devices(request)
        dry_run = options.dry_run or bool(malformed and not options.partial)
        modes = {"partial": options.partial, "update": options.update_known, "dry_run": dry_run}
        results = bulk.register_individually(items, malformed, self._actor(options), **modes)
        entries, names = [], names_for(key_of(request))
        for index, result in enumerate(results):
            entry: dict[str, Any] = {"index": index, "status": result.status}
            if result.device is None:
                entry["errors"] = responses.serialize_errors(result.problems, names)
            else:
                entry["device"] = self._serialize(result.device)
            entries.append(entry)
        known = (result.device.device_holder for result in results if result.device)
        more = describe_new_hospitals(known, self._naming)
        return responses.success(
            entries, options.message(_("Each device was processed individually. See its status.")), 207, **more
        )

    @property
    def _naming(self) -> str:
        return key_of(self.request).naming

    def _serialize(self, device: Device) -> dict[str, Any]:
        return serialize_device(device, self._naming)

    def _update(self, options: WriteOptions, required: tuple[str, ...], **lookup: int | str) -> HttpResponse:
        device = self.get_queryset().filter(**lookup)
        precondition = conditional.IfMatch(self.request)
        item, malformed = request_bodies.parse_device(self.request, required)
        try:
            dry_run = options.dry_run or bool(malformed)
            updated = registry.update(device, item, self._actor(options), precondition, malformed, dry_run=dry_run)
        except Device.DoesNotExist:
            self._raise_not_found(lookup.get("pk"))
        except registry.PreconditionFailed as failed:
            return self._precondition_failed(failed.device)
        row = self._serialize(updated)
        more = describe_new_hospitals([updated.device_holder], self._naming)
        return self._with_etag(responses.success(row, options.message(_("Device updated.")), **more), row, options)

    def _with_etag(self, response: HttpResponse, device: Mapping[str, Any], options: WriteOptions) -> HttpResponse:
        return response if options.dry_run else conditional.set_etag(response, self._etag(device))

    def _etag(self, device: Mapping[str, Any]) -> str:
        return conditional.device_etag(device, key_of(self.request).naming)

    def _precondition_failed(self, device: Device) -> HttpResponse:
        """Return 412 with the current version of the device, so that the client can merge its change."""
        message = _(
            "The device has changed since you read it; your change was not saved. data has the current version: merge "
            "your change into it, and retry with the new ETag."
        )
        row = self._serialize(device)
        response = responses.error_with_data(412, FieldError("if-match", ErrorCode.OUTDATED, message), row)
        return conditional.set_etag(response, self._etag(row))

    def _actor(self, options: WriteOptions) -> Actor:
        registers = not options.refuse_unknown
        return actor_from_request(self.request, Channel.API, key_of(self.request), registers_hospitals=registers)

    def _raise_not_found(self, id_device: Any) -> NoReturn:
        if isinstance(id_device, int) and recording.was_retired(
            _int64(id_device), scopes.scope_for_key(key_of(self.request))
        ):
            raise DeviceRetired
        raise DeviceNotFound


class ApiNotFound(APIView):
    """Any other path under /api/: 401 without a valid key, 404 with one."""

    schema = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}  # no Allow header

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise EndpointNotFound


@cache
def _detail(naming: str, kind: str) -> CompiledQuery:
    """Return the compiled query for a device by `id`, and by its hospital in `scope`."""
    devices = in_compiled_scope(Device.objects.filter(pk=Parameter("id")), kind)
    return CompiledQuery(devices.values_list(DeviceJSON(naming)), raw=True)


def _int64(number: int) -> int:
    """Return the number if it fits into the column of ids, otherwise 0, which is not the id of any device."""
    return number if number <= MAX_ID else 0
