"""Document the operations of the API for /api/schema."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)

from devices.api.schema import errors, examples, parameters
from devices.api.schema.errors import ErrorDescription
from devices.api.serializers import (
    BulkResponse,
    ChangeFeedResponse,
    DeviceListResponse,
    DeviceResponse,
    DeviceSerializer,
    EmptyResponse,
    ErrorResponse,
    IdentifiedDeviceSerializer,
    PreconditionFailedResponse,
    RegisteredDevicesResponse,
    UpdatedDeviceResponse,
)

F = TypeVar("F", bound=Callable[..., Any])

DEVICES, CHANGE_FEED = "Devices", "Change feed"
EVERYWHERE = (400, 401, 429, 503)
ON_ONE_DEVICE = (404, 410)
ON_WRITE = (403, 409, 413, 415, 422)
DEVICE_OR_DEVICES = PolymorphicProxySerializer(
    component_name="DeviceOrDevices",
    serializers=[DeviceSerializer(many=True), DeviceSerializer],
    resource_type_field_name=None,
    many=False,
)
NOT_MODIFIED = OpenApiResponse(None, "Not modified since the `ETag` in `If-None-Match`. The response has no body.")


def _success(body: Any, description: str, *shown: OpenApiExample) -> OpenApiResponse:
    return OpenApiResponse(body, description, list(shown))


def _operation(
    operation_id: str,
    described_parameters: Sequence[OpenApiParameter],
    responses: Mapping[int, OpenApiResponse],
    statuses: Sequence[int] = (),
    special: Mapping[int, ErrorDescription] | None = None,
    **more: Any,
) -> Callable[[F], F]:
    """Document an operation that can return the errors EVERYWHERE and those with the given statuses.

    `special` describes errors whose meaning differs from that in `errors.ERRORS`.
    """
    described = errors.ERRORS | dict(special or {})
    failures = {
        status: OpenApiResponse(
            PreconditionFailedResponse if status == 412 else ErrorResponse,
            described[status].description,
            described[status].examples,
        )
        for status in sorted({*statuses, *EVERYWHERE})
    }
    return extend_schema(
        operation_id=operation_id,
        parameters=[*described_parameters, *parameters.COMMON],
        responses={**responses, **failures},
        **{"tags": [DEVICES], **more},
    )


def _request(body: Any, *shown: OpenApiExample) -> OpenApiRequest:
    return OpenApiRequest(body, examples=list(shown))


def _update(operation_id: str, *more_parameters: OpenApiParameter, **more: Any) -> Callable[[F], F]:
    return _operation(
        operation_id,
        [*more_parameters, parameters.UNKNOWN_HOLDER, *parameters.WRITE, *parameters.IF_MATCH, parameters.TAGGED],
        {
            200: _success(
                UpdatedDeviceResponse,
                "The device after the update; in a dry run, as it would be.",
                examples.DEVICE_UPDATED,
                examples.UPDATE_DRY_RUN,
            )
        },
        (*ON_ONE_DEVICE, *ON_WRITE, 412),
        errors.UPDATE,
        **more,
    )


documented = extend_schema_view(
    list=_operation(
        "getAll",
        [*parameters.LIST, *parameters.READ],
        {
            200: _success(
                DeviceListResponse,
                "A page of devices. `data` is empty if no device matches.",
                examples.FIRST_PAGE,
                examples.NO_DEVICES,
            ),
            304: NOT_MODIFIED,
        },
        special=errors.LIST,
        summary="List devices",
        description="Returns the devices in the scope of the API key, by ascending id. To read each device exactly "
        "once, follow `pagination.next` from the first page until it is null. Filters can be combined.",
    ),
    retrieve=_operation(
        "get",
        [parameters.ID, *parameters.IGNORED_PAGINATION, *parameters.READ],
        {200: _success(DeviceResponse, "The device.", examples.DEVICE_FOUND), 304: NOT_MODIFIED},
        ON_ONE_DEVICE,
        summary="Read a device",
        description="Returns 410 for a retired device, and 404 if the device does not exist or is outside the scope of "
        "the API key.",
    ),
    create=_operation(
        "create",
        [*parameters.BULK, parameters.UNKNOWN_HOLDER, *parameters.WRITE, parameters.TAGGED],
        {
            201: _success(
                RegisteredDevicesResponse,
                "All devices were registered. `data` is an array, also for one posted object.",
                examples.DEVICES_REGISTERED,
                examples.HOSPITAL_REGISTERED,
                examples.REGISTER_DRY_RUN,
            ),
            207: _success(
                BulkResponse,
                "With `mode=partial` or `on_conflict=update`: each item was processed individually and has its own "
                "result.",
                errors.PARTIAL_SUCCESS,
            ),
        },
        ON_WRITE,
        errors.REGISTER,
        request=_request(DEVICE_OR_DEVICES, examples.SEVERAL_DEVICES, examples.ONE_DEVICE, examples.MINIMAL_DEVICE),
        summary="Register devices",
        description="Accepts an array of devices, or one object. By default the request registers all devices or none: "
        "if one is invalid, nothing is written, and `errors` lists all errors of all devices.",
    ),
    update=_update(
        "update",
        parameters.ID,
        request=_request(DeviceSerializer, examples.REPLACEMENT, examples.DEVICE_AS_READ),
        summary="Replace the fields of a device",
        description="If `device_holder` is omitted, it stays unchanged. You can send a device back as you read it: "
        "fields that the registry assigns are ignored.",
    ),
    partial_update=_update(
        "patch",
        parameters.ID,
        request=_request(DeviceSerializer, examples.NEW_NAME, examples.TRANSFER),
        summary="Change some fields of a device",
        description="Omitted fields stay unchanged. A body without any known field returns 400.",
    ),
    destroy=_operation(
        "retire",
        [parameters.ID, *parameters.WRITE, *parameters.IF_MATCH],
        {
            200: _success(
                EmptyResponse,
                "The device was retired; in a dry run, it can be retired.",
                examples.DEVICE_RETIRED,
                examples.RETIRE_DRY_RUN,
            )
        },
        (*ON_ONE_DEVICE, 403, 409, 412, 422),
        errors.RETIRE,
        summary="Retire a device",
        description="The history of the device is kept, and its id is never reused. Its name and MAC address can be "
        "registered again.",
    ),
)

# extend_schema_view knows only the actions of DRF, so these decorate their methods.
documented_update_by_key = _update(
    "updateByKey",
    request=_request(IdentifiedDeviceSerializer, examples.BY_ID, examples.BY_MAC),
    summary="Replace the fields of the device that the body identifies",
    description="The `id` in the body identifies the device, or without an `id` the `device_mac`. If `device_holder` "
    "is omitted, it stays unchanged.",
)

documented_changes = _operation(
    "getChanges",
    parameters.CHANGES,
    {
        200: _success(
            ChangeFeedResponse,
            "A page of changes. `data` is empty if there is no new change.",
            examples.CHANGES_FOUND,
            examples.NO_CHANGES,
        )
    },
    (410,),
    errors.CHANGE_FEED,
    tags=[CHANGE_FEED],
    summary="Read the change feed",
    description="Returns the changes of the devices in the scope of the API key, in an order that never changes. "
    "Follow `pagination.next`: no change is skipped or repeated. For a key of one hospital, a device that leaves the "
    "hospital is `deleted`, and a device that arrives is `created`.",
)
