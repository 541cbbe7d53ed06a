from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices.history import replica


class Command(BaseCommand):
    help = (
        "Keep a copy of a registry's devices by following its changes over the API: an example of a client. It may be "
        "stopped and killed at any time, and continues from its cursor."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", metavar="URL", help="such as https://registry.example.org")
        parser.add_argument("--key-file", required=True, type=Path, metavar="FILE", help="contains the API key")
        parser.add_argument(
            "--state", required=True, type=Path, metavar="FILE", help="SQLite database of the copy and its cursor"
        )
        parser.add_argument("--out", type=Path, metavar="FILE", help="the copy, a JSON object per line, by id")
        parser.add_argument("--once", action="store_true", help="stop when there is nothing new, instead of waiting")

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
        self.stdout.write(f"{count} devices.")
