"""The response while the database is unavailable."""

from typing import Any

from devices.tests.support.client import errors


def assert_unavailable(response: Any) -> None:
    assert (response.status_code, response["Retry-After"]) == (503, "1"), response.content
    assert response.json()["status"] == "SERVICE_UNAVAILABLE"
    assert errors(response) == [(None, "unavailable")]
