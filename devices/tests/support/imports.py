"""Files to import."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from devices.imports.files.spreadsheet import Row


def rows(*lines: dict[str, Any]) -> list[Row]:
    """Lines as they are read from a file whose headings are in its first line."""
    texts = [{column: str(cell) for column, cell in line.items() if cell is not None} for line in lines]
    return [Row(number, cells, {}) for number, cells in enumerate(texts, start=2)]


LIST = "/admin/devices/device/"


IMPORT = f"{LIST}import/"


COLUMNS = ("device_name", "device_mac", "device_type", "device_holder")


def csv(*lines: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> bytes:
    rows = [columns, *([str(line[name]) for name in columns] for line in lines)]
    return "\n".join(map(";".join, rows)).encode()


def choose(client: Client, content: bytes, name: str = "fleet.csv", **extra: Any) -> Any:
    return client.post(IMPORT, {"file": SimpleUploadedFile(name, content)}, **extra)


def upload(client: Client, *lines: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> str:
    """Choose a file of these lines, and return where its preview is."""
    response = choose(client, csv(*({"device_holder": "", "id": "", **line} for line in lines), columns=columns))
    assert response.status_code == 302, response.content.decode()
    return str(response["location"])


def confirm(client: Client, url: str) -> Any:
    return client.post(url, {"confirm": "yes"}, follow=True)
