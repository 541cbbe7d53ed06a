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
            "--once", action="store_true", help="stop when there are no more changes, instead of waiting for the next"
        )

    def handle(self, *args: Any, url: str, key_file: Path, state: Path, once: bool, **options: Any) -> None:
        try:
            key = key_file.read_text().strip()
            with closing(replica.Replica(state)) as copy:
                count = replica.replicate(url, key, copy, options["out"], once=once, log=self.stderr.write)
        except OSError as error:
            raise CommandError(f"{error.filename or url}: {error.strerror or error}.") from error
        except replica.Stopped as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            return
        self.stdout.write(f"The copy has {count} devices.")
