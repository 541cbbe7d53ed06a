"""The documented routes: one domain call a view."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NoReturn

import orjson
from django.http import HttpResponse
from django.utils.translation import gettext as _
from rest_framework.exceptions import NotFound
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from devices import bulk, history, origin, reach, registry
from devices.api import bodies, envelope, etags, schema, writing
from devices.api.as_json import AsJSON
from devices.api.authentication import key_of
from devices.api.errors import Retired
from devices.api.filters import LIST_PARAMETERS, DeviceFilter, check_parameters, choice
from devices.api.naming import NAMINGS, spelling
from devices.api.pagination import Page, Position
from devices.api.serializers import DeviceSerializer, serialize_device, serialize_registered
from devices.drafts import REQUIRED
from devices.models import MAX_ID, Device, DeviceQuerySet, Through
from devices.prepared import Parameter, Prepared
from devices.problems import Problem, Refused
from devices.reach import Reach

# Preflights are answered before (corsheaders); any other OPTIONS is 405, and no Allow names it.
METHODS = ["get", "head", "post", "put", "patch", "delete"]
BULK_PARAMETERS = {"mode", "on_conflict"}
FALSE_OR_TRUE, MODES, ON_CONFLICT = ("false", "true"), ("all", "partial"), ("refuse", "update")


@schema.documented
class DeviceViewSet(GenericViewSet[Device]):
    """List, read, register, update and retire devices, within the reach of the request's key."""

    http_method_names = METHODS
    serializer_class = DeviceSerializer
    filters: DeviceFilter
    position: Position

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        has_method = (request.method or "").lower() in self.action_map  # else it is 405, whatever is asked
        if has_method and (problems := self._parameter_problems(request)):
            raise Refused(problems)

    @property
    def reach(self) -> Reach:
        return reach.of_key(key_of(self.request))

    def get_queryset(self) -> DeviceQuerySet:
        return Device.objects.within(self.reach)

    def list(self, request: Request) -> HttpResponse:
        page = Page.fetch(request, self.filters.select(self.reach), self.position, key_of(request).naming)
        response = envelope.success(page.data, _("Devices found."), pagination=page.describe())
        return etags.conditional(request, response)

    def retrieve(self, request: Request, id_device: int) -> HttpResponse:
        key = key_of(request)
        rows = _detail(key.naming, key.hospital_id is not None).rows(id=_int64(id_device), scope=key.hospital_id)
        if not rows:
            self._absent(id_device)
        [[device]] = rows
        response = envelope.success(orjson.Fragment(device), _("Device found."))
        return etags.conditional(request, response, etags.of_device(orjson.loads(device)))

    @writing.writes
    def create(self, request: Request) -> HttpResponse:
        etags.refuse_if_match(request)
        if self.partial or self.update_known:
            return self._create_each(request)
        drafts, malformed = bodies.read_devices(request)
        registered = registry.register(drafts, self._origin(), malformed, dry_run=self.dry_run)
        rows = self._without_ids(serialize_registered(registered, self._names))
        response = envelope.success(rows, self._message(_("Devices registered.")), 201)
        return self._tagged(response, rows[0]) if len(rows) == 1 else response

    @writing.writes
    def update(self, request: Request, id_device: int) -> HttpResponse:
        return self._update(REQUIRED, pk=_int64(id_device))

    @schema.named_update
    @writing.writes
    def update_named(self, request: Request) -> HttpResponse:
        return self._update(REQUIRED, **bodies.read_lookup(request))

    @writing.writes
    def partial_update(self, request: Request, id_device: int) -> HttpResponse:
        return self._update((), pk=_int64(id_device))

    @writing.writes
    def destroy(self, request: Request, id_device: int) -> HttpResponse:
        device = self.get_queryset().filter(pk=_int64(id_device))
        try:
            registry.retire_one(device, self._origin(), etags.Expected(request), dry_run=self.dry_run)
        except Device.DoesNotExist:
            self._absent(id_device)
        except registry.Outdated as outdated:
            return self._outdated(outdated.device)
        return envelope.success([], self._message(_("Device taken out of the registry.")))

    def _create_each(self, request: Request) -> HttpResponse:
        drafts, malformed = bodies.read_devices(request)
        modes = {"partial": self.partial, "update": self.update_known, "dry_run": self.dry_run}
        results = bulk.register_each(drafts, malformed, self._origin(), **modes)
        told = []
        for index, result in enumerate(results):
            item: dict[str, Any] = {"index": index, "status": result.status}
            if result.device is None:
                item["errors"] = envelope.entries(result.problems, self._names)
            elif result.status == bulk.CREATED:
                [item["device"]] = self._without_ids([self._serialize(result.device)])
            else:
                item["device"] = self._serialize(result.device)
            told.append(item)
        return envelope.success(told, self._message(_("Each device was dealt with by itself.")), 207)

    @property
    def _names(self) -> Mapping[str, str]:
        return spelling(key_of(self.request))

    def _serialize(self, device: Device) -> dict[str, Any]:
        return serialize_device(device, self._names)

    def _without_ids(self, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        return [row | {"id": None} for row in rows] if self.dry_run else rows

    def _message(self, message: str) -> str:
        return _("This is what would happen. Nothing was written.") if self.dry_run else message

    def _tagged(self, told: HttpResponse, device: Mapping[str, Any]) -> HttpResponse:
        return told if self.dry_run else etags.put_on(told, etags.of_device(device))

    def _parameter_problems(self, request: Request) -> Sequence[Problem]:
        """Return everything that is wrong with the query parameters, of whichever part."""
        if self.action == "retrieve":
            return check_parameters(request, set(), ignored={"page", "size"})
        if request.method not in SAFE_METHODS:
            return self._writing_problems(request)
        problems = check_parameters(request, LIST_PARAMETERS)
        self.position = Position.read(request.query_params, problems)
        self.filters = DeviceFilter(request.query_params)
        return problems + self.filters.problems()

    def _writing_problems(self, request: Request) -> Sequence[Problem]:
        """Read how to write, and return what is wrong with it."""
        problems = check_parameters(request, {"dry_run"} | (BULK_PARAMETERS if self.action == "create" else set()))
        self.dry_run = choice(request, "dry_run", FALSE_OR_TRUE, problems) == "true"
        if self.action == "create":
            self.partial = choice(request, "mode", MODES, problems) == "partial"
            self.update_known = choice(request, "on_conflict", ON_CONFLICT, problems) == "update"
        return problems

    def _update(self, required: tuple[str, ...], **lookup: int | str) -> HttpResponse:
        device = self.get_queryset().filter(**lookup)
        expected = etags.Expected(self.request)
        draft, malformed = bodies.read_device(self.request, required)
        try:
            updated = registry.update(device, draft, self._origin(), expected, malformed, dry_run=self.dry_run)
        except Device.DoesNotExist:
            self._absent(lookup.get("pk"))
        except registry.Outdated as outdated:
            return self._outdated(outdated.device)
        row = self._serialize(updated)
        return self._tagged(envelope.success(row, self._message(_("Device updated."))), row)

    def _outdated(self, device: Device) -> HttpResponse:
        """Tell what the device is now, for the client to merge its change into, or to ask its user."""
        message = _("The device has changed since; nothing was written. Here is what it is now.")
        row = self._serialize(device)
        refusal = envelope.refusal(412, Problem("if-match", "outdated", message), row)
        return etags.put_on(refusal, etags.of_device(row))

    def _origin(self) -> origin.Origin:
        return origin.of_request(self.request._request, Through.API, key_of(self.request))

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
