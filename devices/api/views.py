"""The documented routes: one domain call a view."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NoReturn

import orjson
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from devices import bulk, history, origin, reach, registry
from devices.api import bodies, envelope, etags, schema, writing
from devices.api.as_json import AsJSON
from devices.api.authentication import key_of
from devices.api.errors import Retired
from devices.api.filters import DeviceFilter
from devices.api.naming import NAMINGS, spelling
from devices.api.pagination import Page, Position
from devices.api.query_params import QueryParams
from devices.api.serializers import DeviceSerializer, serialize_device, serialize_registered
from devices.api.writing import WriteOptions
from devices.drafts import REQUIRED
from devices.models import MAX_ID, Device, DeviceQuerySet, Through
from devices.prepared import Parameter, Prepared
from devices.problems import Problem
from devices.reach import Reach

# Preflights are answered before (corsheaders); any other OPTIONS is 405, and no Allow names it.
METHODS = ["get", "head", "post", "put", "patch", "delete"]
LIST_PARAMETERS = {*DeviceFilter.base_filters, "page", "size", "after", "before"}


@schema.documented
class DeviceViewSet(GenericViewSet[Device]):
    """List, read, register, update and retire devices, within the reach of the request's key."""

    http_method_names = METHODS
    serializer_class = DeviceSerializer

    @property
    def reach(self) -> Reach:
        return reach.of_key(key_of(self.request))

    def get_queryset(self) -> DeviceQuerySet:
        return Device.objects.within(self.reach)

    def list(self, request: Request) -> HttpResponse:
        query = QueryParams(request, LIST_PARAMETERS)
        position, filters = Position.read(query), DeviceFilter(query.sent)
        query.errors += filters.find_errors()
        query.raise_errors()
        page = Page.fetch(request, filters.select(self.reach), position, key_of(request).naming)
        response = envelope.success(page.data, _("Devices found."), pagination=page.describe())
        return etags.conditional(request, response)

    def retrieve(self, request: Request, id_device: int) -> HttpResponse:
        QueryParams(request, set(), ignored={"page", "size"}).raise_errors()
        key = key_of(request)
        rows = _detail(key.naming, key.hospital_id is not None).rows(id=_int64(id_device), scope=key.hospital_id)
        if not rows:
            self._absent(id_device)
        [[device]] = rows
        response = envelope.success(orjson.Fragment(device), _("Device found."))
        return etags.conditional(request, response, etags.of_device(orjson.loads(device)))

    @writing.writes
    def create(self, request: Request, options: WriteOptions) -> HttpResponse:
        etags.refuse_if_match(request)
        if options.partial or options.update_known:
            return self._create_each(request, options)
        drafts, malformed = bodies.read_devices(request)
        dry_run = options.dry_run or bool(malformed)  # without a transaction: it will be refused
        registered = registry.register(drafts, self._origin(), malformed, dry_run=dry_run)
        rows = serialize_registered(registered, self._names)
        response = envelope.success(rows, options.message(_("Devices registered.")), 201)
        return _tagged(response, rows[0], options) if len(rows) == 1 else response

    @writing.writes
    def update(self, request: Request, options: WriteOptions, id_device: int) -> HttpResponse:
        return self._update(options, REQUIRED, pk=_int64(id_device))

    @schema.named_update
    @writing.writes
    def update_named(self, request: Request, options: WriteOptions) -> HttpResponse:
        return self._update(options, REQUIRED, **bodies.read_lookup(request))

    @writing.writes
    def partial_update(self, request: Request, options: WriteOptions, id_device: int) -> HttpResponse:
        return self._update(options, (), pk=_int64(id_device))

    @writing.writes
    def destroy(self, request: Request, options: WriteOptions, id_device: int) -> HttpResponse:
        device = self.get_queryset().filter(pk=_int64(id_device))
        try:
            registry.retire_one(device, self._origin(), etags.Expected(request), dry_run=options.dry_run)
        except Device.DoesNotExist:
            self._absent(id_device)
        except registry.Outdated as outdated:
            return self._outdated(outdated.device)
        return envelope.success([], options.message(_("Device taken out of the registry.")))

    def _create_each(self, request: Request, options: WriteOptions) -> HttpResponse:
        drafts, malformed = bodies.read_devices(request)
        dry_run = options.dry_run or bool(malformed and not options.partial)
        modes = {"partial": options.partial, "update": options.update_known, "dry_run": dry_run}
        results = bulk.register_each(drafts, malformed, self._origin(), **modes)
        items = []
        for index, result in enumerate(results):
            item: dict[str, Any] = {"index": index, "status": result.status}
            if result.device is None:
                item["errors"] = envelope.entries(result.problems, self._names)
            else:
                item["device"] = self._serialize(result.device)
            items.append(item)
        return envelope.success(items, options.message(_("Devices were processed individually.")), 207)

    @property
    def _names(self) -> Mapping[str, str]:
        return spelling(key_of(self.request))

    def _serialize(self, device: Device) -> dict[str, Any]:
        return serialize_device(device, self._names)

    def _update(self, options: WriteOptions, required: tuple[str, ...], **lookup: int | str) -> HttpResponse:
        device = self.get_queryset().filter(**lookup)
        expected = etags.Expected(self.request)
        draft, malformed = bodies.read_device(self.request, required)
        try:
            dry_run = options.dry_run or bool(malformed)
            updated = registry.update(device, draft, self._origin(), expected, malformed, dry_run=dry_run)
        except Device.DoesNotExist:
            self._absent(lookup.get("pk"))
        except registry.Outdated as outdated:
            return self._outdated(outdated.device)
        row = self._serialize(updated)
        return _tagged(envelope.success(row, options.message(_("Device updated."))), row, options)

    def _outdated(self, device: Device) -> HttpResponse:
        """Tell what the device is now, for the client to merge its change into, or to ask its user."""
        message = _("The device has changed since; nothing was written. Here is what it is now.")
        row = self._serialize(device)
        refusal = envelope.refusal(412, Problem("if-match", "outdated", message), row)
        return etags.put_on(refusal, etags.of_device(row))

    def _origin(self) -> origin.Origin:
        return origin.of_request(self.request, Through.API, key_of(self.request))

    def _absent(self, id_device: Any) -> NoReturn:
        if isinstance(id_device, int) and history.was_retired(_int64(id_device), reach.of_key(key_of(self.request))):
            raise Retired
        raise NotFound(_("No such device is registered."))


class NoSuchRoute(APIView):
    """Whatever else is asked for under /api/: closed without a key, and with one, nothing."""

    schema = None

    @property
    def default_response_headers(self) -> dict[str, str]:
        return {}  # no Allow: there is nothing that would allow a method

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound(_("There is no such address. /api/docs lists those that there are."))


def _tagged(response: HttpResponse, device: Mapping[str, Any], options: WriteOptions) -> HttpResponse:
    return response if options.dry_run else etags.put_on(response, etags.of_device(device))


@cache
def _detail(naming: str, is_bound: bool) -> Prepared:
    """Return the SQL for the device with an `id`, for a bound key within its hospital, the `scope`."""
    devices = Device.objects.filter(pk=Parameter("id"))
    if is_bound:
        devices = devices.filter(device_holder=Parameter("scope"))
    return Prepared(devices.values_list(AsJSON(NAMINGS[naming])), as_sent=True)


def _int64(number: int) -> int:
    """Return the number if it can be an id, else one that none has: a database cannot be asked for more."""
    return number if number <= MAX_ID else 0
