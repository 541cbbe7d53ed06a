"""Check that the programs of the drill are installed: `python -m devices.tests.support.drill.programs`."""

import shutil
import sys

from devices.tests.support.services.postgres import installed_binaries

PACKAGES = {
    "curl": "curl",
    "gpg": "gpg",
    "openssl": "openssl",
    "pg_dump": "postgresql-client",
    "pgbackrest": "pgbackrest",
    "sqlite3": "sqlite3",
}


def main() -> None:
    missing = [package for program, package in PACKAGES.items() if not shutil.which(program)]
    if installed_binaries() is None:
        missing.append("postgresql")
    if missing:
        sys.exit(f"The drill needs more programs. On Debian: apt-get install {' '.join(missing)}")


if __name__ == "__main__":
    main()
