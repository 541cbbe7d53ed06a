"""The OpenAPI document as JSON and YAML, and the index of the API."""

import json
import threading
from typing import Any

import pytest
import yaml
from drf_spectacular.generators import SchemaGenerator

import cexup
from devices.api.views import documents
from devices.tests.support.client import Api, errors
from devices.tests.support.concurrency import at_once

FORMATS = [
    ("/api/schema", "inline", "json"),
    ("/api/schema?format=json", "inline", "json"),
    ("/api/schema?format=yaml", "inline", "yaml"),
    ("/api/schema.json", "attachment", "json"),
    ("/api/schema.yaml", "attachment", "yaml"),
    ("/api/schema.yaml/", "attachment", "yaml"),
]


@pytest.mark.parametrize(("path", "kind", "ending"), FORMATS)
def test_schema_is_the_same_document_in_each_format(outsider: Api, path: str, kind: str, ending: str) -> None:
    response = outsider.get(path, accept="text/html")
    assert response["Content-Disposition"] == f'{kind}; filename="cexup-device-registry-{cexup.__version__}.{ending}"'
    is_json = ending == "json"
    assert response["Content-Type"] == ("application/vnd.oai.openapi+json" if is_json else "application/yaml")
    document = json.loads(response.content) if is_json else yaml.safe_load(response.content)
    assert document == outsider.get("/api/schema").json()
    assert (response["Cache-Control"], response["ETag"][0]) == ("private, no-cache", '"')
    assert outsider.get(path, **{"if-none-match": response["ETag"]}).status_code == 304
    assert outsider.get(path, **{"accept-encoding": "gzip"})["Content-Encoding"] == "gzip"


def test_another_format_of_the_schema_is_refused(outsider: Api) -> None:
    for query in ("format=xml", "format=yaml&format=json", "format="):
        assert outsider.get(f"/api/schema?{query}").status_code == 400
    assert errors(outsider.get("/api/schema?format=xml")) == [("format", "invalid_choice")]
    assert outsider.get("/api/schema?v=7").status_code == 200


def test_schema_is_generated_once_for_concurrent_requests(monkeypatch: Any) -> None:
    documents._generate.cache_clear()
    calls: list[int] = []
    generate = SchemaGenerator.get_schema

    def count(*args: Any, **kwargs: Any) -> Any:
        calls.append(threading.get_ident())
        return generate(*args, **kwargs)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(SchemaGenerator, "get_schema", count)
    files = at_once(4, lambda _number: documents.schema_file("json"))
    assert (len(calls), len(set(files))) == (1, 1)


def test_schema_follows_the_setting_of_non_macs_and_not_the_language(outsider: Api, settings: Any) -> None:
    strict = outsider.get("/api/schema").content
    settings.DEVICES_ALLOW_NON_MAC = not settings.DEVICES_ALLOW_NON_MAC
    documents._generate.cache_clear()
    other = outsider.get("/api/schema", **{"accept-language": "id"}).content
    assert other != strict
    assert outsider.get("/api/schema").content == other
    settings.DEVICES_ALLOW_NON_MAC = not settings.DEVICES_ALLOW_NON_MAC
    assert outsider.get("/api/schema").content == strict


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_index_lists_the_documents_and_operations(api: Api, path: str) -> None:
    response = api.get(path)
    data = response.json()["data"]
    assert data["version"] == cexup.__version__
    for url in data["links"].values():
        assert Api(None).get(url).status_code == 200
    paths = api.get("/api/schema").json()["paths"]
    listed = {(row["method"].lower(), row["path"]): row["id"] for row in data["operations"]}
    assert listed == {(method, path): each["operationId"] for path in paths for method, each in paths[path].items()}
    assert [row["id"] for row in data["operations"] if row["deprecated"]] == [
        paths["/api/device"]["post"]["operationId"]
    ]
    assert all(row["summary"] for row in data["operations"])
    assert f'<{data["links"]["schema"]}>; rel="service-desc"' in response["Link"]
    assert f'<{data["links"]["guide"]}>; rel="service-doc"' in response["Link"]


@pytest.mark.parametrize("path", ["/api", "/api/"])
def test_index_is_an_ordinary_endpoint(api: Api, reader: Api, path: str) -> None:
    assert Api(None).get(path).status_code == Api("wrong").get(path).status_code == 401
    assert reader.get(path).status_code == 200
    assert errors(api.get(f"{path}?x=1")) == [("x", "unknown_parameter")]
    assert api.post(path, {})["Allow"] == "GET, HEAD"
    assert api.get(path, **{"accept-language": "id"}).json()["message"] == "Daftar isi API dikembalikan."
