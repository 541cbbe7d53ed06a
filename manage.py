#!/usr/bin/env python3
"""Run the registry's commands: `python manage.py help` lists them."""

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path

from django.core.management import execute_from_command_line
from environs import EnvError

FIRST_ENV = """\
# Written by the first `make run`, for trying the registry on this machine. .env.example lists every variable.
SECRET_KEY={secret_key}
# Plain HTTP, as on 127.0.0.1. In production leave HTTPS on: cookies and redirects depend on it.
HTTPS=0
"""


def write_first_env(path: Path) -> None:
    """Write a file that only its owner may read, with a new SECRET_KEY, unless there is one."""
    with suppress(FileExistsError):
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(FIRST_ENV.format(secret_key=secrets.token_urlsafe(50)))


def main() -> None:
    if sys.argv[1:2] != ["collectstatic"]:  # whose files are public, and may be served by another user
        os.umask(0o077)  # files are readable by their owner alone: a database, an export
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cexup.settings")
    if sys.argv[1:] == ["quickstart"] and "ENV_FILE" not in os.environ:
        write_first_env(Path(__file__).with_name(".env"))
    try:
        execute_from_command_line(sys.argv)
    except EnvError as error:
        sys.exit(f"The settings cannot be read: {error}. See .env.example for every variable.")


if __name__ == "__main__":
    main()
