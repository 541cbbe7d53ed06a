"""The change feed."""

from typing import Any

from devices.tests.support.client import Api

PATH = "/api/devices/changes"


def read_events(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 200, response.content
    return [(event["action"], event["device"]["device_name"]) for event in response.json()["data"]]


def follow(api: Api, path: str = PATH) -> tuple[list[dict[str, Any]], str]:
    """Follow `next` until there is nothing new; return all events, and where to go on."""
    events: list[dict[str, Any]] = []
    while True:
        body = api.get(path).json()
        events += body["data"]
        path = body["pagination"]["next"].removeprefix("http://testserver")
        if not body["data"]:
            return events, path
