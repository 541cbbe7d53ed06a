"""The description of the API: the OpenAPI document, the guide for client developers, and the index.

The document and the guide need no key: they have no data, and explain how to get a key. The index is an ordinary
endpoint. Without a key it is 401, like each path that does not exist.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _
from django.utils.translation import override
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from devices.api import conditional, links, responses
from devices.api.query_params import QueryParams
from devices.api.schema import operations as documented

FORMATS = {
    "json": (OpenApiJsonRenderer, OpenApiJsonRenderer.media_type),
    "yaml": (OpenApiYamlRenderer, "application/yaml"),  # RFC 9512
}
METHODS = ("get", "head")
INDEX_PAGE = "index"
GUIDE = "api/guide"
# `make docs` writes a template for each page: devices/tests/support/guide.py.
PAGES = sorted({path.stem for path in Path(settings.BASE_DIR, "templates", GUIDE).glob("*.html")} - {INDEX_PAGE})
DOCUMENTS = {
    "guide": "/api/guide",
    "docs": "/api/docs",
    "schema": "/api/schema.json",
    "schema_yaml": "/api/schema.yaml",
}

_lock = Lock()


class SchemaView(APIView):
    """The OpenAPI document as JSON or YAML. A URL with an ending is a download; without one, `format` selects."""

    authentication_classes = ()
    permission_classes = ()
    http_method_names = METHODS
    schema = None
    file_format = ""

    def get(self, request: Request) -> HttpResponse:
        query = QueryParams(request, {"format"}, ignored=set(request.query_params) - {"format"})
        file_format = self.file_format or query.choice("format", tuple(FORMATS))
        query.raise_errors()
        response = HttpResponse(schema_file(file_format), content_type=FORMATS[file_format][1])
        kind, version = "attachment" if self.file_format else "inline", settings.SPECTACULAR_SETTINGS["VERSION"]
        response["Content-Disposition"] = f'{kind}; filename="cexup-device-registry-{version}.{file_format}"'
        return conditional.conditional(request, response)


class GuideView(APIView):
    """A page of the guide for client developers. Its source is docs/api/, which is in English."""

    authentication_classes = ()
    permission_classes = ()
    http_method_names = METHODS
    schema = None
    page = INDEX_PAGE

    def get(self, request: Request) -> HttpResponse:
        context = {"page": self.page, "version": settings.SPECTACULAR_SETTINGS["VERSION"]}
        response = HttpResponse(render_to_string(f"{GUIDE}/{self.page}.html", context))
        response["Content-Language"] = "en"
        return conditional.conditional(request, response)


class IndexView(APIView):
    """List the documents and operations of the API."""

    http_method_names = METHODS

    @documented.documented_index
    def get(self, request: Request) -> HttpResponse:
        QueryParams(request, set()).raise_errors()
        urls = {name: links.url_of(request, path) for name, path in DOCUMENTS.items()}
        data = {
            "version": settings.SPECTACULAR_SETTINGS["VERSION"],
            "links": urls,
            "operations": operations(),
        }
        response = responses.success(data, _("Index returned."))
        links.add(response, urls["schema"], "service-desc", type=FORMATS["json"][1])  # RFC 8631
        links.add(response, urls["guide"], "service-doc", type="text/html")
        return response


def schema_file(file_format: str) -> bytes:
    """Return the OpenAPI document in the format: `json` or `yaml`. Each process generates it once."""
    return _cached("file", file_format)  # type: ignore[no-any-return]


def operations() -> list[dict[str, Any]]:
    """Return the operations of the OpenAPI document, in its order."""
    return _cached("operations", "")  # type: ignore[no-any-return]


def _cached(kind: str, file_format: str) -> Any:
    with _lock:  # the first requests do not generate it several times
        return _generate(kind, file_format, settings.DEVICES_ALLOW_NON_MAC)


@cache
def _generate(kind: str, file_format: str, _allow_non_mac: bool) -> Any:
    """Return the document or its operations. The settings that the document depends on are parameters."""
    with override("en"):
        document = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    if kind == "operations":
        return [
            _describe(method, path, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
    return FORMATS[file_format][0]().render(document, renderer_context={})


def _describe(method: str, path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "deprecated": operation.get("deprecated", False),
    }
