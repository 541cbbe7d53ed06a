"""The guide for client developers at /api/guide: it is current, complete, and needs nothing but its style sheet."""

import os
import re
from functools import cache
from pathlib import Path

import pytest
from django.test import Client

from devices.tests.support import api_guide
from devices.tests.support.client import Api

PAGES = list(api_guide.sources())


def update(path: Path, rendered: str) -> None:
    if os.environ.get("WRITE_DOCS"):
        path.write_text(rendered)


@pytest.mark.parametrize("page", PAGES)
def test_api_guide_has_the_current_page(page: str) -> None:
    path, rendered = api_guide.TEMPLATES / f"{page}.html", api_guide.render(page)
    update(path, rendered)
    assert path.read_text() == rendered


def test_api_guide_has_all_pages_in_its_contents() -> None:
    update(api_guide.CONTENTS, api_guide.render_contents())
    assert api_guide.CONTENTS.read_text() == api_guide.render_contents()
    assert {path.stem for path in api_guide.TEMPLATES.glob("*.html")} == set(PAGES)
    for page, source in api_guide.sources().items():
        assert source.exists(), page


@cache
def html_of(url: str) -> str:
    response = Client().get(url)
    assert response.status_code == 200, url
    return response.content.decode()


@pytest.mark.parametrize("page", PAGES)
def test_page_needs_no_key_no_script_and_no_other_host(page: str) -> None:
    url = api_guide.url_of(page)
    response = Client().get(f"{url}/")
    assert (response["Content-Type"], response["Content-Language"]) == ("text/html; charset=utf-8", "en")
    assert "script-src 'self';" in response["Content-Security-Policy"]
    html = html_of(url)
    assert html == response.content.decode()
    assert not re.search(r"<script|<[^>]*\s(?:style|on\w+)=|<img", html)
    assert not re.search(r'(?:src|<link[^>]*href)="(?!/static/)', html)
    assert Client().get(url, headers={"if-none-match": response["ETag"]}).status_code == 304
    assert html.count('aria-current="page"') == 1
    assert html.count("<h1") == 1


@pytest.mark.parametrize("page", PAGES)
def test_each_link_of_a_page_leads_to_a_page_and_a_heading(page: str) -> None:
    own = api_guide.url_of(page)
    links = set(re.findall(r'href="([^"]*)"', html_of(own)))
    assert len(links) > 10
    for link in links:
        url, _hash, anchor = link.partition("#")
        if url.startswith(("https:", "/static/", "/api/schema", "/api/docs")):
            continue
        assert re.fullmatch(r"(?:/api/guide(?:/[\w-]+)?)?", url), link
        assert not anchor or f' id="{anchor}"' in html_of(url or own), link


def test_anchors_of_a_page_are_unique() -> None:
    for page in PAGES:
        anchors = re.findall(r' id="([^"]*)"', html_of(api_guide.url_of(page)))
        assert len(anchors) == len(set(anchors)), page


def test_unknown_page_needs_a_key_as_every_unknown_path(api: Api, outsider: Api) -> None:
    assert outsider.get("/api/guide/nowhere").status_code == 401
    assert api.get("/api/guide/nowhere").status_code == 404
    assert outsider.post("/api/guide", {}).json()["status"] == "METHOD_NOT_ALLOWED"


def test_guide_shows_how_to_reach_the_operator(settings: pytest.FixtureRequest) -> None:
    assert "<footer>" not in html_of("/api/guide")
    settings.OPERATOR_NAME, settings.OPERATOR_EMAIL = "Helpdesk", "help@example.org"  # type: ignore[attr-defined]
    page = Client().get("/api/guide").content.decode()
    assert "creates API keys: Helpdesk" in page
    assert "mailto:help@example.org" in page


def test_other_documents_link_to_the_guide(outsider: Api) -> None:
    document = outsider.get("/api/schema").json()
    assert document["externalDocs"]["url"] == "/api/guide"
    links = re.findall(r"\]\((/api/guide[^)#]*)#?([^)]*)\)", document["info"]["description"])
    assert len(links) >= 3
    for url, anchor in links:
        assert not anchor or f'id="{anchor}"' in html_of(url)
