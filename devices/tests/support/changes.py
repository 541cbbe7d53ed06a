"""Requests to the change feed."""

from typing import Any

from devices.tests.support.client import Api

PATH = "/api/devices/changes"


def actions_of(response: Any) -> list[tuple[str, str]]:
    """Return the action and the device's name of each event of a page."""
    assert response.status_code == 200, response.content
    return [(event["action"], event["device"]["device_name"]) for event in response.json()["data"]]


def follow(api: Api, path: str = PATH) -> tuple[list[dict[str, Any]], str]:
    """Follow `next` until a page is empty. Return all events, and the path of the next request."""
    events: list[dict[str, Any]] = []
    while True:
        body = api.get(path).json()
        events += body["data"]
        path = body["pagination"]["next"].removeprefix("http://testserver")
        if not body["data"]:
            return events, path
