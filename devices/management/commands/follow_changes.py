from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices import follower


class Command(BaseCommand):
    help = (
        "Keep a copy of a registry's devices, over its API: an example of how to follow the changes. The copy and how "
        "far it is are kept in the state file, a SQLite database; --out is written anew, one device a line as JSON, "
        "whenever there was a change. It may be stopped and killed at any time, and goes on where it was."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", metavar="URL", help="of the registry, such as https://registry.example.org")
        parser.add_argument("--key-file", required=True, type=Path, metavar="FILE", help="has the API key in it")
        parser.add_argument("--state", required=True, type=Path, metavar="FILE", help="made when it is not there yet")
        parser.add_argument("--out", type=Path, metavar="FILE", help="the copy, as JSON lines in the order of the ids")
        parser.add_argument("--once", action="store_true", help="stop when there is nothing new, instead of waiting")

    def handle(self, *args: Any, url: str, key_file: Path, state: Path, once: bool, **options: Any) -> None:
        try:
            key = key_file.read_text().strip()
            with follower.Copy(state) as copy:
                count = follower.follow(url, key, copy, options["out"], once=once, tell=self.stderr.write)
        except OSError as error:
            raise CommandError(f"{error.filename or url}: {error.strerror or error}.") from error
        except follower.Stopped as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            return
        self.stdout.write(f"{count} devices.")
