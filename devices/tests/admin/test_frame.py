"""The frame of all pages: templates of libraries that the registry replaces, compression, and error pages."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import unfold
from django.db import OperationalError
from django.test import Client, RequestFactory

from cexup import error_views, logs
from devices.models import Device

TEMPLATES = Path(unfold.__file__).parent / "templates"
# The originals of the templates that templates/ replaces as a whole. After an upgrade of unfold that changes one,
# compare it with the old version, update the copy, and then this table.
REPLACED = {
    "admin/base.html": "2ce9250b3c649e3a",
    "admin/change_list_results.html": "1a2a072727ae72f9",
    "unfold/helpers/change_list_headers.html": "fe918b6eb4eece69",
    "unfold/helpers/header_title.html": "b126ed2ab9ca1680",
    "unfold/helpers/search.html": "91996c27181d14ad",
    "unfold/helpers/welcomemsg.html": "e8eab02522ba2319",
    "unfold/layouts/skeleton.html": "66af9f0bb45f98ba",
    "unfold/layouts/unauthenticated.html": "768501529f1a8dae",
}


@pytest.mark.parametrize("name", REPLACED)
def test_original_of_a_replaced_template_has_not_changed(name: str) -> None:
    assert hashlib.sha256((TEMPLATES / name).read_bytes()).hexdigest()[:16] == REPLACED[name]


def test_pages_are_compressed_but_not_what_shows_a_secret(operator: Client, devices: dict[str, Device]) -> None:
    gzip: Any = {"HTTP_ACCEPT_ENCODING": "gzip"}
    assert operator.get("/admin/devices/device/", **gzip)["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in operator.get("/admin/two-factor/set-up/", **gzip)
    assert "Content-Encoding" not in operator.post("/admin/devices/device/add/", {}, **gzip)
    assert "Content-Encoding" not in operator.get("/admin/devices/device/import/template.xlsx", **gzip)


def test_size_of_a_compressed_page_varies(operator: Client, devices: dict[str, Device]) -> None:
    sizes = {len(operator.get("/admin/devices/device/", HTTP_ACCEPT_ENCODING="gzip").content) for _attempt in range(8)}
    assert len(sizes) > 1


def test_page_announces_its_style_sheet(operator: Client) -> None:
    assert "unfold/css/styles" in operator.get("/admin/")["Link"]
    assert "Link" not in operator.get("/admin/missing/")


@pytest.mark.parametrize(("error", "status"), [(ValueError("x"), 500), (OperationalError("x"), 503)])
def test_page_of_a_server_error_is_styled_and_has_the_request_id_in_both_languages(
    settings: Any, error: Exception, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.OPERATOR_NAME, settings.OPERATOR_WHATSAPP = "Helpdesk", "+62 812-0000"
    monkeypatch.setattr(error_views, "is_outage", lambda _error: status == 503)
    token = logs.current_request_id.set("request-7")
    response = error_views.server_error(RequestFactory().get("/admin/"))
    logs.current_request_id.reset(token)
    page = response.content.decode()
    assert response.status_code == status
    for text in (
        "plain.css",
        "request-7",
        "Helpdesk",
        "https://wa.me/628120000",
        "Try again",
        "Coba lagi",
        'lang="id"',
    ):
        assert text in page
    assert "style=" not in page
    assert "<script" not in page


@pytest.mark.parametrize("status", [403, 404])
def test_error_page_has_the_request_id(ratna: Client, status: int) -> None:
    path = "/admin/devices/staffuser/" if status == 403 else "/admin/missing/"
    response = ratna.get(path, HTTP_X_REQUEST_ID="request-8")
    assert response.status_code == status
    assert "request-8" in response.content.decode()
