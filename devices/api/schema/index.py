"""The body of GET /api, with an example, for /api/schema."""

from typing import Any

from rest_framework import serializers

from devices.api.schema import examples
from devices.api.serializers import Envelope, Text


class LinksSerializer(serializers.Serializer[Any]):
    """The URLs of documents. They need no key."""

    guide = serializers.URLField(help_text="The guide for client developers.")
    docs = serializers.URLField(help_text="A page to try each endpoint.")
    schema = serializers.URLField(help_text="The OpenAPI document as JSON.")
    schema_yaml = serializers.URLField(help_text="The OpenAPI document as YAML.")


class ApiOperationSerializer(serializers.Serializer[Any]):
    """An operation of the API."""

    id = serializers.CharField(help_text="The `operationId` in the OpenAPI document.")
    method = Text(
        {"enum": ["GET", "POST", "PUT", "PATCH", "DELETE"], "examples": ["GET"]}, help_text="The HTTP method."
    )
    path = serializers.CharField(help_text="With parameters in braces, such as `{id_device}`.")
    summary = serializers.CharField(help_text="A short description.")
    deprecated = serializers.BooleanField(help_text="Whether it can be removed by a later major version.")


class ApiIndexSerializer(serializers.Serializer[Any]):
    """The documents and operations of the API."""

    version = serializers.CharField(help_text="The version of the registry.")
    links = LinksSerializer(help_text="The URLs of documents.")
    operations = ApiOperationSerializer(many=True, help_text="In the order of the OpenAPI document.")


class IndexResponse(Envelope):
    """The index of the API."""

    data = ApiIndexSerializer()  # type: ignore[assignment]


INDEX = examples.success(
    "Index",
    {
        "version": "1.0.0",
        "links": {
            "guide": f"{examples.HOST}/api/guide",
            "docs": f"{examples.HOST}/api/docs",
            "schema": f"{examples.HOST}/api/schema.json",
            "schema_yaml": f"{examples.HOST}/api/schema.yaml",
        },
        "operations": [
            {
                "id": "getAll",
                "method": "GET",
                "path": "/api/devices",
                "summary": "List devices",
                "deprecated": False,
            }
        ],
    },
    "Index returned.",
)
