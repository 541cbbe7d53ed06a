"""What /api/schema says of the bodies of answers: the envelope, and what stands in it."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from devices.api.pagination import MAX_SIZE
from devices.api.serializers import DeviceSerializer, InstantField, PatternField
from devices.bulk import STATUSES
from devices.feed import ACTIONS
from devices.models import MAX_ID

REHEARSED = "Given by the registry; null in a dry run."


class Answer(serializers.Serializer[Any]):
    """The envelope."""

    status = PatternField("STATUS", help_text="The HTTP status' name in capitals.")
    code = serializers.IntegerField(min_value=200, max_value=599, help_text="The HTTP status.")
    message = serializers.CharField(help_text="A sentence for people, in English or Indonesian.")


class Pagination(serializers.Serializer[Any]):
    page = serializers.IntegerField(
        allow_null=True,
        min_value=settings.API_FIRST_PAGE,
        help_text="Null on a page reached by `after` or `before`.",
    )
    size = serializers.IntegerField(min_value=1, max_value=MAX_SIZE)
    total = serializers.IntegerField(min_value=0, help_text="Exact.")
    total_pages = serializers.IntegerField(min_value=0)
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


@extend_schema_serializer(many=False)  # the envelope of a list is no list
class Devices(Answer):
    data = DeviceSerializer(many=True)  # type: ignore[assignment]
    pagination = Pagination()


class RegisteredDeviceSerializer(DeviceSerializer):
    id = serializers.IntegerField(read_only=True, allow_null=True, min_value=1, max_value=MAX_ID, help_text=REHEARSED)


class RegisteredDevices(Answer):
    data = RegisteredDeviceSerializer(many=True)  # type: ignore[assignment]


class OneDevice(Answer):
    data = DeviceSerializer()  # type: ignore[assignment]


class Nothing(Answer):
    data = serializers.ListField(child=serializers.JSONField(), max_length=0)  # type: ignore[assignment]


class Entry(serializers.Serializer[Any]):
    field = serializers.CharField(allow_null=True, help_text="Null for what belongs to no field.")
    code = serializers.CharField(help_text="For programs; it does not change with the language.")
    message = serializers.CharField(help_text="For people.")
    index = serializers.IntegerField(required=False, min_value=0, help_text="The place in a posted list, from 0.")


class Failure(Nothing):
    errors = Entry(many=True)  # type: ignore[assignment]


class ChangeSerializer(serializers.Serializer[Any]):
    cursor = PatternField("CURSOR", help_text="Go on behind this change with `since`.")
    action = serializers.ChoiceField(choices=ACTIONS)
    at = InstantField()
    device = DeviceSerializer(help_text="As it was after the change; a deleted one, as it was before.")


class Outdated(OneDevice):
    """The device as it is now."""

    errors = Entry(many=True)  # type: ignore[assignment]


class ResultSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(min_value=0, help_text="The place in the posted list, from 0.")
    status = serializers.ChoiceField(
        choices=STATUSES, help_text="`limited`: not compared with devices outside the key's scope (`conflict_limit`)."
    )
    device = RegisteredDeviceSerializer(required=False)
    errors = Entry(many=True, required=False)  # type: ignore[assignment]


class Results(Answer):
    data = ResultSerializer(many=True)  # type: ignore[assignment]


class Following(serializers.Serializer[Any]):
    size = serializers.IntegerField(min_value=1, max_value=MAX_SIZE)
    next = serializers.URLField(help_text="Where to go on, also when there is nothing new yet.")


@extend_schema_serializer(many=False)
class Changes(Answer):
    data = ChangeSerializer(many=True)  # type: ignore[assignment]
    pagination = Following()
