"""Write the .env of a first start."""

import secrets
from pathlib import Path

FIRST_ENV = """\
# Written by the first `make run`, for trying the registry on this machine. .env.example lists every variable.
SECRET_KEY={secret_key}
# Plain HTTP, as on 127.0.0.1. In production leave HTTPS on: cookies and redirects depend on it.
HTTPS=0
"""


def write_if_missing(path: Path) -> bool:
    """Write a file that only its owner may read, with a new SECRET_KEY; return whether there was none."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        return False
    path.write_text(FIRST_ENV.format(secret_key=secrets.token_urlsafe(50)))
    return True
