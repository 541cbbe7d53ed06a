"""The body of GET /api/key, for /api/schema."""

from typing import Any

from rest_framework import serializers

from devices.api.schema import patterns
from devices.api.serializers import (
    HospitalReferenceSerializer,
    Text,
    enum_schema,
    envelope,
    id_field,
    timestamp_field,
)
from devices.models import ApiKey
from devices.values.normalization import MAX_LENGTH


class KeyRateLimitSerializer(serializers.Serializer[Any]):
    """The rate limit of an API key, as in the headers `RateLimit-Policy` and `RateLimit`."""

    limit = serializers.IntegerField(min_value=1, help_text="Requests in each window. A posted device counts as one.")
    window_seconds = serializers.IntegerField(min_value=1, help_text="Length of a window.")
    remaining = serializers.IntegerField(min_value=0, help_text="Requests that remain in this window.")
    reset_seconds = serializers.IntegerField(min_value=1, help_text="Seconds until the next window begins.")


class KeySettingsSerializer(serializers.Serializer[Any]):
    """The settings of an API key. Its secret is never returned."""

    id = id_field(help_text="Identifies the key for the operator.")
    name = Text({"minLength": 1, "maxLength": MAX_LENGTH, "examples": ["Ward app"]}, help_text="The application.")
    prefix = Text(
        {"type": ["string", "null"], "pattern": patterns.KEY_PREFIX, "examples": ["k4eeItta"]},
        help_text="The 8 characters after `cxp_` or `cxt_`. Null for an imported key.",
    )
    all_hospitals = serializers.BooleanField(help_text="The scope is all hospitals, and devices without a hospital.")
    hospitals = HospitalReferenceSerializer(many=True, allow_null=True, help_text="The scope; null if `all_hospitals`.")
    read_only = serializers.BooleanField(help_text="The key cannot write.")  # type: ignore[assignment]
    sandbox = serializers.BooleanField(help_text="The scope is the sandbox: a hospital without real devices.")
    legacy = serializers.BooleanField(help_text="An older system has issued the key.")
    naming = Text(enum_schema(*ApiKey.Naming.values), help_text="Naming of the fields.")
    page_size = serializers.IntegerField(min_value=1, help_text="Items per page if a request has no `size`.")
    unknown_holder = Text(
        enum_schema(*ApiKey.UnknownHolder.values), help_text="The effect of the name of an unknown hospital."
    )
    allowed_networks = serializers.ListField(
        child=serializers.CharField(), help_text="Networks from which the key can be used. Empty: from every address."
    )
    rate_limit = KeyRateLimitSerializer(allow_null=True, help_text="Null if the key has no rate limit.")
    created_at = timestamp_field("Time when the key was issued.")
    expires_at = timestamp_field("Time when the key expires; null if it does not.", allow_null=True)


KeyResponse = envelope("KeyResponse", "A response with the settings of the API key.", data=KeySettingsSerializer())
