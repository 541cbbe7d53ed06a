"""A real browser on a real server, and a watch over every page that a test opens.

The server is gunicorn as `make run` starts it, and serves from the very database that the test writes to: what a test
needs it says with the registry's own verbs, and what a page wrote it reads back.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import (
    Browser,
    Page,
    expect,
    sync_playwright,
)

from devices.accounts import users
from devices.models import Hospital
from devices.tests.support.browser import PASSWORD, WIDE, Visit, Watch

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
AS_ROOT = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
THEIRS = {"locale": "en", "timezone_id": "Asia/Jakarta", "viewport": WIDE}  # unless a test says otherwise
PATIENCE = 15_000  # milliseconds that a page may take on a busy machine before a test gives up


@pytest.fixture(scope="session", autouse=True)
def browser() -> Iterator[Browser]:
    """Start Chromium before the database is made.

    Playwright runs an event loop in this thread, which Django takes for asynchronous code, though none of it is. It
    gives such code connections of its own: one that was made before would be another.
    """
    if not Path(CHROMIUM).exists():
        pytest.skip(f"There is no Chromium at {CHROMIUM}. CHROMIUM=/path names another.")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*AS_ROOT, "--disable-quic"])
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def committed(transactional_db: None, django_db_serialized_rollback: None) -> None:
    """Let the server see what a test writes, and find again, under the same ids, what the migrations wrote."""


@pytest.fixture
def watch(address: str) -> Iterator[Watch]:
    watch = Watch(urlsplit(address).netloc)
    yield watch
    assert watch.seen == []


@pytest.fixture
def visit(browser: Browser, address: str, watch: Watch, committed: None) -> Iterator[Visit]:
    """Opens a browser of somebody's own, who is signed in already or, without a user, is not."""
    contexts = []

    def visit(path: str, user: User | None = None, **options: Any) -> Page:
        context = browser.new_context(**{**THEIRS, "base_url": address, **options})
        contexts.append(context)
        watch.over(context)
        if user:
            context.add_cookies([{"name": "sessionid", "value": session_of(user), "url": address}])
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(path)
        return page

    yield visit
    for context in contexts:
        context.close()


def session_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return client.cookies["sessionid"].value


@pytest.fixture
def operator(committed: None) -> User:
    return User.objects.create_superuser("operator", password=PASSWORD)


@pytest.fixture
def ratna(rs_a: Hospital) -> User:
    """The admin of RS Harapan."""
    return users.invite("Ibu Ratna", "ratna@rs.example", [rs_a])
