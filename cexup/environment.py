"""Read settings from environment variables, or from the file ENV_FILE, and reject those that cannot be right.

gunicorn.conf.py runs this file, so it imports no other module of the registry.
"""

import os
import re
import sys
import zoneinfo
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parseaddr
from importlib import metadata
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url  # this and the next are in environs[django]
import dj_email_url
from dotenv import dotenv_values  # a package that environs needs
from environs import EnvError, FileAwareEnv, ValidationError

HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.ASCII)
ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[^\[\]/:?#@\s,;]+)(:[0-9]{1,5})?", re.ASCII
)
ORIGINS_OF_FILES = ("null", "file://")  # of pages in an app, in some browsers
MIN_SECRET = 32  # characters
OTHER_SEPARATORS = re.compile(r"[\s;|]+")
NAME_IN_ERROR = re.compile(r'"(\w+)"')


def open_environment(default_file: Path) -> FileAwareEnv:
    """Return the variables. Those of the process take precedence over the file that ENV_FILE names.

    `text` trims a value, and `items` each item of a list. Other parsers trim values that are numbers.

    Raises:
        EnvError: the file is not text in UTF-8, or cannot be read.
    """
    env = FileAwareEnv(strip_whitespace=True)
    env.add_parser("text", _text)
    env.add_parser("items", _items)
    env.add_parser("database", _database)
    env.add_parser("email", _email)
    path = Path(os.environ.get("ENV_FILE") or default_file)
    if path.exists() or "ENV_FILE" in os.environ:
        _check_encoding(path)
        env.read_env(path, recurse=False)
    return env


def export(default_file: Path, prefix: str) -> None:
    """Set the variables of the file with this prefix in the environment, for a library that reads only it."""
    path = Path(os.environ.get("ENV_FILE") or default_file)
    values = dotenv_values(path) if path.exists() else {}
    for name, value in values.items():
        if name.startswith(prefix) and value is not None:
            os.environ.setdefault(name, value)


@contextmanager
def errors_explained() -> Iterator[None]:
    """End the process with one sentence and status 1 if a setting is missing or invalid. It has no value."""
    try:
        yield
    except ValueError as error:  # of environs, also for a file that SECRET_KEY_FILE or another setting names
        sys.exit(f"Invalid settings: {explain(error)} See .env.example for all variables.")


def explain(error: ValueError) -> str:
    """Return the sentence for an error: the setting and what it must be, but not the value."""
    text = str(error)
    if isinstance(error, UnicodeError):
        text = "A file that a setting ending in _FILE names is not text in UTF-8"
    elif isinstance(error, EnvError) and (name := NAME_IN_ERROR.search(text)):
        messages = getattr(error, "error_messages", None) or "This setting is required"
        while not isinstance(messages, str):
            messages = next(iter(messages.values() if isinstance(messages, dict) else messages))
        text = f"{name[1]}: {messages}"
    return text.removesuffix(".") + "."


def _check_encoding(path: Path) -> None:
    try:
        content = path.read_bytes()
        content.decode()
        if b"\0" in content:  # UTF-16 without a byte order mark
            raise EnvError(f"ENV_FILE: {path} is not text in UTF-8.")
    except OSError as error:
        raise EnvError(f"ENV_FILE: {path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise EnvError(f"ENV_FILE: {path} is not text in UTF-8.") from error
    if content.startswith(BOM_UTF8):
        raise EnvError(f"ENV_FILE: {path} begins with a byte order mark. Save it as UTF-8 without one.")


# --- Parsers. environs adds the name of the setting to a ValidationError.


def _text(value: str, check: Callable[[str], object] | None = None) -> str:
    if check:
        check(value.strip())
    return value.strip()


def _items(value: str | list[str], each: Callable[[str], str], *, keep_empty: bool = False) -> list[str]:
    """Return the items of a list that commas separate. Empty items are ignored, or parsed with `keep_empty`."""
    if isinstance(value, list):  # the default
        return value
    items = [item.strip() for item in value.split(",")] if value.strip() else []
    return [each(item) for item in items if item or keep_empty]


def _database(value: str) -> dict[str, Any]:
    try:
        database: dict[str, Any] = dict(dj_database_url.parse(value.strip()))
    except Exception as error:  # its errors have no common class
        raise ValidationError("This is not the URL of a database.") from error
    if database.get("ENGINE") not in ("django.db.backends.sqlite3", "django.db.backends.postgresql"):
        raise ValidationError("Use a sqlite:// or postgres:// URL.")
    return database


def _email(value: str) -> dict[str, Any]:
    try:
        email: dict[str, Any] = dict(dj_email_url.parse(value.strip()))
    except Exception as error:
        raise ValidationError("This is not the URL of a mail server.") from error
    if "EMAIL_BACKEND" not in email:
        raise ValidationError("Use a URL such as submission://USER:PASSWORD@mail.example.org:587.")
    return email


# --- Checks of one value


def host(text: str) -> str:
    """Return an address or host name, an IPv6 address in brackets."""
    name = text.strip().lower()
    address = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    if ":" in address and _is_ipv6(address):
        return f"[{address}]"
    if not HOST_NAME.fullmatch(name):
        raise ValidationError("Use an IP address or a host name, without scheme and port.")
    return name


def allowed_host(text: str) -> str:
    """Return a host name as Django compares it: also `.example.org` for all names of a domain, and `*`."""
    if text == "*":
        return text
    try:
        return ("." if text.startswith(".") else "") + host(text.removeprefix("."))
    except ValidationError as error:
        message = "Use host names such as registry.example.org, separated by commas, without scheme and port."
        raise ValidationError(message) from error


def origin(text: str) -> str:
    """Return the origin of a browser client as browsers send it: in lower case, without the default port."""
    if text.lower() in ORIGINS_OF_FILES:
        return text.lower()
    match = ORIGIN.fullmatch(text.lower())
    if not match or "*" in match["host"]:
        raise ValidationError("Use origins such as https://app.example.org, separated by commas, without a path.")
    default = {"http": ":80", "https": ":443"}.get(match["scheme"], "")
    return text.lower().removesuffix(default) if default else text.lower()


def trusted_origin(text: str) -> str:
    """Return an origin of the admin. Its host can begin with `*.`, for all names of a domain."""
    try:
        found = origin(text.replace("://*.", "://", 1))
    except ValidationError:
        found = ""
    if not found.startswith(("https://", "http://")):
        raise ValidationError("Use origins such as https://registry.example.org, separated by commas, without a path.")
    return found.replace("://", "://*.", 1) if "://*." in text else found


def secret(text: str) -> str:
    if len(text) < MIN_SECRET or text.startswith("change-me"):
        raise ValidationError("Use at least 32 characters. Do not use the public key of .env.example.")
    return text


def former_secret(text: str) -> str:
    """Return a former key. Several keys with another separator than a comma would be one key, which nothing uses."""
    parts = OTHER_SEPARATORS.split(text)
    if len(parts) > 1 and min(map(len, parts)) >= MIN_SECRET:
        raise ValidationError("Separate the keys by commas.")
    return secret(text)


def is_time_zone(text: str) -> None:
    try:
        zoneinfo.ZoneInfo(text)
        if not text:
            raise ValueError
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError) as error:
        raise ValidationError("Use the name of a time zone, such as Asia/Jakarta.") from error


def is_file(path: str) -> None:
    if path and not (Path(path).is_file() and os.access(path, os.R_OK)):
        raise ValidationError("This file does not exist, or cannot be read.")


def is_redis_url(text: str) -> None:
    try:
        url = urlsplit(text)
        _port = url.port  # raises ValueError
        valid = not text or bool(
            url.hostname if url.scheme in ("redis", "rediss") else url.scheme == "unix" and url.path
        )
    except ValueError:
        valid = False
    if not valid:
        raise ValidationError("Use a redis://, rediss:// or unix:// URL.")


def is_otlp_endpoint(text: str) -> None:
    try:
        url = urlsplit(text)
        _port = url.port  # raises ValueError
        valid = not text or (url.scheme in ("http", "https") and bool(url.hostname))
    except ValueError:
        valid = False
    if not valid:
        raise ValidationError("Use the URL of an OTLP collector, such as http://127.0.0.1:4318.")
    try:
        if text:
            metadata.version("opentelemetry-exporter-otlp-proto-http")
    except metadata.PackageNotFoundError as error:
        raise ValidationError("Traces need the packages of requirements-tracing.txt. Install them first.") from error


def is_sender(text: str) -> None:
    address = parseaddr(text)[1]
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", address) or "\n" in text:
        raise ValidationError("Use an email address, such as registry@example.org.")


def is_email(text: str) -> None:
    if text and not re.fullmatch(r"[^@\s,]+@[^@\s,]+\.[^@\s,]+", text):
        raise ValidationError("Use an email address, such as help@example.org.")


def is_phone(text: str) -> None:
    if text and not re.fullmatch(r"\+?[1-9][0-9 .-]{6,18}[0-9]", text):
        raise ValidationError("Use a phone number with its country code, such as +62 812 345678.")


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
