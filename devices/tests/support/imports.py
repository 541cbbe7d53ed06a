"""Files to import, and requests that import them."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from devices.imports.files.spreadsheet import Row

LIST = "/admin/devices/device/"
IMPORT = f"{LIST}import/"
COLUMNS = ("device_name", "device_mac", "device_type", "device_holder")


def rows(*values: dict[str, Any]) -> list[Row]:
    """Return the values as rows of a file whose header is its first row."""
    texts = [{column: str(cell) for column, cell in row.items() if cell is not None} for row in values]
    return [Row(number, cells, {}) for number, cells in enumerate(texts, start=2)]


def csv(*values: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> bytes:
    rows = [columns, *([str(row[name]) for name in columns] for row in values)]
    return "\n".join(map(";".join, rows)).encode()


def choose(client: Client, content: bytes, name: str = "devices.csv", **extra: Any) -> Any:
    return client.post(IMPORT, {"file": SimpleUploadedFile(name, content)}, **extra)


def upload(client: Client, *values: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> str:
    """Upload a file of these rows, and return the URL of its preview."""
    response = choose(client, csv(*({"device_holder": "", "id": "", **row} for row in values), columns=columns))
    assert response.status_code == 302, response.content.decode()
    return str(response["location"])


def confirm(client: Client, url: str) -> Any:
    return client.post(url, {"confirm": "yes"}, follow=True)
