"""The documented routes: one domain call a view."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NoReturn

import orjson
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from devices import origin, reach, registry
from devices.api import bodies, envelope, etags, schema
from devices.api.as_json import AsJSON
from devices.api.authentication import key_of
from devices.api.errors import Retired
from devices.api.filters import LIST_PARAMETERS, DeviceFilter, check_parameters
from devices.api.naming import NAMINGS, spelling
from devices.api.pagination import DevicePagination, prepare
from devices.api.serializers import DeviceSerializer
from devices.drafts import REQUIRED
from devices.models import MAX_ID, Device, DeviceQuerySet, Through
from devices.prepared import Parameter, Prepared
from devices.problems import Problem, Refused
from devices.reach import Reach


@schema.documented
class DeviceViewSet(GenericViewSet[Device]):
    """List, read, register, update and retire devices, within the reach of the request's key."""

    serializer_class = DeviceSerializer
    filters: DeviceFilter | None  # None: no filter was sent

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.action and (problems := self._parameter_problems(request)):
            raise Refused(problems)

    def get_queryset(self) -> DeviceQuerySet:
        return _devices(reach.of_key(key_of(self.request)))

    def list(self, request: Request) -> HttpResponse:
        key = key_of(request)
        tag = etags.of_list(reach.of_key(key))
        if unchanged := etags.not_modified(request, tag):
            return unchanged
        if self.filters:
            devices = self.filters.qs
            page = prepare(devices, self.pages.position, spelling(key))
        else:
            devices = self.get_queryset()
            page = _page(reach.of_key(key), self.pages.position, key.naming)
        rows = orjson.Fragment(f"[{','.join(self.pages.cut(devices, page))}]")
        return etags.put_on(envelope.success(rows, _("Devices found."), pagination=self.pages.describe()), tag)

    def retrieve(self, request: Request, id_device: int) -> HttpResponse:
        key = key_of(request)
        rows = _device(reach.of_key(key), key.naming).rows(id=_int64(id_device))
        if not rows:
            self._absent(id_device)
        tag = etags.of_json(rows[0][0])
        if unchanged := etags.not_modified(request, tag):
            return unchanged
        return etags.put_on(envelope.success(orjson.Fragment(rows[0][0]), _("Device found.")), tag)

    def create(self, request: Request) -> HttpResponse:
        etags.refuse_if_match(request)
        devices = registry.register(bodies.read_devices(request), self._origin())
        data = self.get_serializer(devices, many=True).data
        tag = etags.of_device(devices[0]) if len(devices) == 1 else None
        return etags.put_on(envelope.success(data, _("Devices registered."), 201), tag)

    def update(self, request: Request, id_device: int) -> HttpResponse:
        return self._update(REQUIRED, pk=_int64(id_device))

    @schema.named_update
    def update_named(self, request: Request) -> HttpResponse:
        return self._update(REQUIRED, **bodies.read_lookup(request))

    def partial_update(self, request: Request, id_device: int) -> HttpResponse:
        return self._update((), pk=_int64(id_device))

    def destroy(self, request: Request, id_device: int) -> HttpResponse:
        try:
            registry.retire_one(
                self.get_queryset().filter(pk=_int64(id_device)), self._origin(), etags.Expected(request)
            )
        except Device.DoesNotExist:
            self._absent(id_device)
        except registry.Outdated as outdated:
            return self._outdated(outdated.device)
        return envelope.success([], _("Device taken out of the registry."))

    def _parameter_problems(self, request: Request) -> Sequence[Problem]:
        """Return everything that is wrong with the query parameters, of whichever part."""
        if self.action == "retrieve":
            return check_parameters(request, set(), ignored={"page", "size"})
        problems = check_parameters(request, LIST_PARAMETERS if self.action == "list" else set())
        if self.action == "list":
            self.pages = DevicePagination()
            problems += self.pages.read(request)
            self.filters = None
            if DeviceFilter.base_filters.keys() & request.query_params.keys():
                self.filters = DeviceFilter(request.query_params, self.get_queryset())
                problems += self.filters.problems()
        return problems

    def _update(self, required: tuple[str, ...], **lookup: int | str) -> HttpResponse:
        device = self.get_queryset().filter(**lookup)
        expected = etags.Expected(self.request)
        draft = bodies.read_device(self.request, required)
        try:
            updated = registry.update(device, draft, self._origin(), expected)
        except Device.DoesNotExist:
            self._absent(lookup.get("pk"))
        except registry.Outdated as outdated:
            return self._outdated(outdated.device)
        told = envelope.success(self.get_serializer(updated).data, _("Device updated."))
        return etags.put_on(told, etags.of_device(updated))

    def _outdated(self, device: Device) -> HttpResponse:
        """Tell what the device is now, for the client to merge its change into, or to ask its user."""
        message = _("The device has changed since; nothing was written. Here is what it is now.")
        data = self.get_serializer(device).data
        return etags.put_on(
            envelope.refusal(412, Problem("if-match", "outdated", message), data), etags.of_device(device)
        )

    def _origin(self) -> origin.Origin:
        return origin.of_request(self.request._request, Through.API, key_of(self.request))

    def _absent(self, id_device: Any) -> NoReturn:
        if isinstance(id_device, int) and registry.was_retired(_int64(id_device), reach.of_key(key_of(self.request))):
            raise Retired
        raise NotFound(_("No such device is registered."))


class NoSuchRoute(APIView):
    """Whatever else is asked for under /api/: closed without a key, and with one, nothing."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound(_("There is no such address. /api/docs lists those that there are."))


def _devices(within: Reach) -> DeviceQuerySet:
    return Device.objects.within(within).order_by("id")


@lru_cache(maxsize=1000)
def _page(within: Reach, position: str, naming: str) -> Prepared:
    """Return what asks for a page of all devices within reach: what most lists ask."""
    return prepare(_devices(within), position, NAMINGS[naming])


@lru_cache(maxsize=1000)
def _device(within: Reach, naming: str) -> Prepared:
    return Prepared(_devices(within).filter(pk=Parameter("id")).values_list(AsJSON(NAMINGS[naming])))


def _int64(number: int) -> int:
    """Return the number if it can be an id, else one that none has: a database cannot be asked for more."""
    return number if number <= MAX_ID else 0
