import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices.history import replica


class Command(BaseCommand):
    help = (
        "Keep a copy of all devices of a registry, with its change feed. This is an example of a client. You can stop "
        "or kill it at any time: it continues after its last cursor."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", metavar="URL", help="URL of the registry, such as https://registry.example.org")
        parser.add_argument(
            "--key-file", required=True, type=Path, metavar="FILE", help="file that contains the API key"
        )
        parser.add_argument(
            "--state",
            required=True,
            type=Path,
            metavar="FILE",
            help="SQLite database with the copy and the cursor; created if missing",
        )
        parser.add_argument(
            "--out",
            type=Path,
            metavar="FILE",
            help="also write the copy to this file: one JSON object per line, ordered by id",
        )
        parser.add_argument(
            "--once",
            action="store_true",
            help="stop when there are no more changes, instead of waiting for the next; one attempt",
        )

    def handle(self, *args: Any, url: str, key_file: Path, state: Path, once: bool, **options: Any) -> None:
        try:
            key = _read_key(key_file)
            with closing(replica.Replica(state)) as copy:
                count = replica.replicate(url, key, copy, options["out"], once=once, log=self.stderr.write)
        except replica.Stopped as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"The copy cannot be written ({error.strerror or type(error).__name__}).") from error
        except sqlite3.Error as error:
            raise CommandError(f"The file of --state cannot be used ({error}).") from error
        except KeyboardInterrupt:
            return
        self.stdout.write(f"The copy has {count} devices.")


def _read_key(path: Path) -> str:
    """Return the key of the file. The error does not name the file: a user may have typed the key in its place."""
    try:
        return replica.read_key(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is malformed"
        raise CommandError(f"The file of --key-file cannot be read ({reason}).") from error
