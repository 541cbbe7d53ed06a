"""Document the operations of the API for /api/schema."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from django.conf import settings
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiRequest,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)

from devices.api.schema import errors, examples, index, lookup, parameters
from devices.api.schema.errors import ErrorDescription
from devices.api.schema.key import KeyResponse
from devices.api.serializers import (
    ApiErrorResponse,
    BulkResponse,
    ChangeFeedResponse,
    DeviceListResponse,
    DeviceResponse,
    DeviceSerializer,
    EmptyResponse,
    HospitalListResponse,
    HospitalResponse,
    IdentifiedDeviceSerializer,
    MergedHospitalResponse,
    PreconditionFailedResponse,
    RegisteredDevicesResponse,
    UpdatedDeviceResponse,
)

F = TypeVar("F", bound=Callable[..., Any])

DEVICES, CHANGE_FEED, HOSPITALS, INDEX, KEYS = "Devices", "Change feed", "Hospitals", "Index", "API key"
EVERYWHERE = (400, 401, 403, 405, 429, 500, 503)
ON_ONE_DEVICE = (404, 410)
ON_WRITE = (403, 409, 413, 415, 422)
# Only the array: generators have no type for "one device or several", or take the first of the two.
DEVICES_REQUEST = {
    "type": "array",
    "items": {"$ref": "#/components/schemas/DeviceRequest"},
    "minItems": 1,
    "maxItems": settings.API_MAX_DEVICES,
}
NOT_MODIFIED = OpenApiResponse(None, "Not modified since the `ETag` in `If-None-Match`. The response has no body.")


def _success(body: Any, description: str, *shown: OpenApiExample) -> OpenApiResponse:
    return OpenApiResponse(body, description, list(shown))


def _operation(
    operation_id: str,
    described_parameters: Sequence[OpenApiParameter],
    responses: Mapping[int, OpenApiResponse],
    statuses: Sequence[int] = (),
    special: Mapping[int, ErrorDescription] | None = None,
    bodies: Mapping[int, Any] | None = None,
    **more: Any,
) -> Callable[[F], F]:
    """Document an operation that can return the errors EVERYWHERE and those with the given statuses.

    `special` describes errors whose meaning differs from that in `errors.ERRORS`. `bodies` has the responses of errors
    with further fields, by status.
    """
    denied = {} if 403 in statuses else errors.READ_DENIED
    described = errors.ERRORS | denied | dict(special or {})
    failures = {
        status: OpenApiResponse(
            {412: PreconditionFailedResponse, **(bodies or {})}.get(status, ApiErrorResponse),
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


def _register(operation_id: str, success: OpenApiResponse, **more: Any) -> Callable[[F], F]:
    return _operation(
        operation_id,
        [parameters.UNKNOWN_HOLDER, *parameters.WRITE, parameters.TAGGED, parameters.LOCATION],
        {201: success},
        ON_WRITE,
        errors.REGISTER,
        **more,
    )


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
        [*parameters.LIST, *parameters.READ, parameters.LINK],
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
    create=_register(
        "create",
        _success(
            RegisteredDevicesResponse,
            "All devices were registered. `data` is an array, also for one posted object.",
            examples.DEVICES_REGISTERED,
            examples.HOSPITAL_REGISTERED,
            examples.REGISTER_DRY_RUN,
        ),
        request=_request(DEVICES_REQUEST, *examples.ARRAYS),
        summary="Register devices",
        description="Registers all devices or none: if one is invalid, nothing is written, and `errors` lists all "
        "errors of all devices. The body is an array of devices. The API also accepts one device as an object, without "
        "an array. To register the valid devices and get a list of the others, use `POST /api/devices/batch`.",
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
        "patchDevice",
        parameters.ID,
        request=_request(DeviceSerializer, examples.NEW_NAME, examples.TRANSFER),
        summary="Change some fields of a device",
        description="Omitted fields stay unchanged. A body without any known field returns 400.",
    ),
    destroy=_operation(
        "retireDevice",
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
documented_create_one = _register(
    "createDevice",
    _success(
        RegisteredDevicesResponse,
        "The device was registered. `data` is an array of one device.",
        examples.DEVICE_REGISTERED,
        examples.REGISTER_DRY_RUN,
    ),
    request=_request(DeviceSerializer, examples.ONE_DEVICE, examples.MINIMAL_DEVICE),
    deprecated=True,
    summary="Register one device",
    description="The URL that older clients use. New clients use `POST /api/devices`. The API also accepts an array "
    "here, and `data` of the response is always an array.",
)

documented_create_individually = _operation(
    "createDevicesIndividually",
    [parameters.ON_CONFLICT, parameters.UNKNOWN_HOLDER, *parameters.WRITE],
    {
        207: _success(
            BulkResponse,
            "Each device was processed individually. `data` has a result for each of them, in the order of the body. "
            "The status is 207 even if all of them have errors.",
            errors.PARTIAL_SUCCESS,
        )
    },
    ON_WRITE,
    errors.BATCH,
    request=_request(DEVICES_REQUEST, *examples.ARRAYS),
    summary="Register devices individually",
    description="Registers the valid devices, and reports the errors of each other device. With `on_conflict=update`, "
    "devices whose MAC address is registered are updated (upsert). The API also accepts one device as an object, "
    "without an array.",
)

documented_update_by_key = _update(
    "updateDeviceByIdOrMac",
    request=_request(IdentifiedDeviceSerializer, examples.BY_ID, examples.BY_MAC),
    summary="Replace the fields of the device that the body identifies",
    description="The `id` in the body identifies the device, or without an `id` the `device_mac`. If `device_holder` "
    "is omitted, it stays unchanged.",
)

documented_changes = _operation(
    "getChanges",
    [*parameters.CHANGES, parameters.LINK],
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

documented_hospitals = extend_schema_view(
    list=_operation(
        "getAllHospitals",
        [*parameters.HOSPITAL_LIST, *parameters.READ, parameters.LINK],
        {
            200: _success(
                HospitalListResponse,
                "A page of hospitals. `data` is empty if no hospital matches.",
                examples.HOSPITALS_FOUND,
            ),
            304: NOT_MODIFIED,
        },
        special=errors.LIST,
        tags=[HOSPITALS],
        summary="List hospitals",
        description="Returns the hospitals in the scope of the API key, by ascending id. To read each hospital exactly "
        "once, follow `pagination.next` from the first page until it is null. Filters can be combined.",
    ),
    retrieve=_operation(
        "getHospital",
        [parameters.HOSPITAL_ID, *parameters.IGNORED_PAGINATION, *parameters.READ],
        {200: _success(HospitalResponse, "The hospital.", examples.HOSPITAL_FOUND), 304: NOT_MODIFIED},
        ON_ONE_DEVICE,
        errors.HOSPITAL,
        {410: MergedHospitalResponse},
        tags=[HOSPITALS],
        summary="Read a hospital",
        description="Returns 410 for a hospital that was merged into another one in the scope of the API key, and 404 "
        "if the hospital does not exist or is outside the scope.",
    ),
)

documented_index = _operation(
    "getIndex",
    [],
    {200: _success(index.IndexResponse, "The documents and operations of the API.", index.INDEX)},
    tags=[INDEX],
    summary="List what the API has",
    description="Returns the version of the registry, the URLs of its documentation, and all operations.",
)

documented_key = _operation(
    "getKey",
    parameters.IGNORED_PAGINATION,
    {200: _success(KeyResponse, "The settings of the API key.", examples.KEY_DESCRIBED)},
    tags=[KEYS],
    summary="Describe the API key",
    description="Returns the settings of the API key of the request: its scope, its rights, its rate limit and its "
    "expiry. The secret is not returned.",
)

documented_lookup = _operation(
    "lookupDevices",
    [],
    {
        200: _success(
            lookup.LookupResponse,
            "One result for each item, in the order of the posted array. `device` is null for an address that is not "
            "registered in the scope of the API key.",
            lookup.LOOKED_UP,
        )
    },
    (413, 415),
    errors.LOOKUP,
    request=_request(lookup.LookupSerializer, lookup.LOOKUP),
    summary="Look up devices by MAC address",
    description="Returns the device of each MAC address, up to 1,000 in one request. An item that is not a MAC address "
    "has `errors`, and the others are looked up. It is a read: read-only keys can use it, it counts as one request, "
    "and it needs no `Idempotency-Key`.",
)

documented_device_changes = _operation(
    "getDeviceChanges",
    [parameters.ID, *parameters.DEVICE_CHANGES],
    {
        200: _success(
            lookup.DeviceChangesResponse,
            "A page of changes, the oldest first. The last change of a retired device is `deleted`.",
            lookup.DEVICE_CHANGES,
        )
    },
    (404, 410),
    errors.DEVICE_CHANGES,
    tags=[CHANGE_FEED],
    summary="Read the changes of a device",
    description="Returns the changes of one device as the change feed has them for this API key: without those that "
    "were made while the device was outside the scope. A retired device returns 200. A device that does not exist or "
    "is outside the scope returns 404.",
)
