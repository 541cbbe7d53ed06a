#!/usr/bin/env python3
"""Run a command of the registry. `python manage.py help` lists all commands."""

import logging
import os
import secrets
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from django.core.management import execute_from_command_line
from django.db import Error

from cexup import environment
from devices.db import transactions

FIRST_ENV = """\
# Created by the first `make run`, for use on this machine only. .env.example lists all variables.
SECRET_KEY={secret_key}
# Plain HTTP, for 127.0.0.1. Do not turn HTTPS off in production: cookies and redirects depend on it.
HTTPS=0
"""


def write_first_env(path: Path) -> None:
    """Create the file with a new SECRET_KEY, readable by its owner only. An existing file stays unchanged."""
    with suppress(FileExistsError):
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(FIRST_ENV.format(secret_key=secrets.token_urlsafe(50)))


def main() -> None:
    if sys.argv[1:2] != ["collectstatic"]:  # its files are public, and another user may serve them
        os.umask(0o077)  # only the owner can read new files, such as a database or an export
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cexup.settings")
    if sys.argv[1:] == ["quickstart"] and "ENV_FILE" not in os.environ:
        write_first_env(Path(__file__).with_name(".env"))
    with environment.errors_explained():
        import_module(os.environ["DJANGO_SETTINGS_MODULE"])
    try:
        execute_from_command_line(sys.argv)
    except Error as error:
        if not transactions.is_outage(error):
            raise
        logging.getLogger("manage").critical("The command %s failed", sys.argv[1], exc_info=error)
        sys.exit(1)


if __name__ == "__main__":
    main()
