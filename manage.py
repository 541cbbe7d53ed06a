#!/usr/bin/env python3
"""Run the registry's commands: `python manage.py help` lists them."""

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line
from environs import EnvError

from cexup import dotenv


def main() -> None:
    if sys.argv[1:2] != ["collectstatic"]:  # whose files are public, and may be served by another user
        os.umask(0o077)  # files are readable by their owner alone: a database, an export
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cexup.settings")
    if sys.argv[1:] == ["quickstart"] and "ENV_FILE" not in os.environ:
        dotenv.write_if_missing(Path(__file__).with_name(".env"))
    try:
        execute_from_command_line(sys.argv)
    except EnvError as error:
        sys.exit(f"The settings cannot be read: {error}. See .env.example for every variable.")


if __name__ == "__main__":
    main()
