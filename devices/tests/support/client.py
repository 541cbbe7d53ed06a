"""A client application that sends requests to the API."""

import json
from typing import Any

from django.test import Client

from devices.access.actor import SYSTEM
from devices.accounts import api_keys


class Api:
    """A client application. It sends JSON with its key, and additional headers as keyword arguments."""

    def __init__(self, key: str | None, **headers: str) -> None:
        self.headers = headers if key is None else {"x-api-key": key, **headers}
        self.client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.generic(method, path, data, "application/json", headers={**self.headers, **headers})

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        return self("PUT", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self("DELETE", path, **headers)


def issue(name: str, **settings: Any) -> api_keys.IssuedKey:
    """Issue an API key with these settings, such as `hospitals` and `read_only`. By default it is for all hospitals."""
    return api_keys.issue(name, SYSTEM, **{"all_hospitals": "hospitals" not in settings, **settings})


def errors(response: Any) -> list[tuple[str | None, str]]:
    """Return the field and code of each error of a response."""
    return [(error["field"], error["code"]) for error in response.json()["errors"]]
