import sys
from datetime import datetime, time, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from devices.access.actor import SYSTEM
from devices.accounts import api_keys
from devices.management.base import RegistryCommand, argument, read_day
from devices.models import MAX_PAGE_SIZE, ApiKey, Hospital, clean_networks, clean_rate
from devices.registry import hospitals
from devices.registry.device_fields import clean_hospital_name, clean_text
from devices.values.hospital_names import fold_name
from devices.values.networks import MAX_NETWORKS


class Command(RegistryCommand):
    help = (
        "Issue an API key for a client application. The key is printed only once, on stdout. Everything else goes to "
        "stderr, so that KEY=$(python manage.py create_api_key NAME) works. With --value, the command imports an "
        "existing key instead, and does not print it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("name", metavar="NAME", type=argument(clean_text), help="name of the client application")
        add("--read-only", action="store_true", help="create a read-only key")
        add(
            "--hospital",
            action="append",
            metavar="NAME",
            type=argument(_clean_hospital),
            help="restrict the key to the devices of this hospital; repeat it for several hospitals",
        )
        add(
            "--naming",
            choices=ApiKey.Naming.values,
            help="naming of the fields in responses (default: snake_case; both with --value)",
        )
        add(
            "--page-size",
            type=argument(_page_size),
            metavar="NUMBER",
            help=f"devices per page if a request has no size: 1 to {MAX_PAGE_SIZE} (default: 20)",
        )
        add(
            "--unknown-holder",
            choices=ApiKey.UnknownHolder.values,
            default=ApiKey.UnknownHolder.REGISTER,
            help="what a request with the name of an unknown hospital does (default: register)",
        )
        add(
            "--allow",
            action="append",
            type=argument(_clean_networks),
            metavar="NETWORK",
            help=f"accept the key from this network only, such as 10.0.0.0/8; repeat it for up to {MAX_NETWORKS}",
        )
        add(
            "--expires",
            dest="expires_at",
            metavar="YYYY-MM-DD",
            type=argument(_end_of_day),
            help="last day on which the key is valid",
        )
        add(
            "--rate",
            metavar="600/min",
            type=argument(clean_rate),
            help="rate limit such as 10/s, 600/min, 5000/h, 100000/d or unlimited (default: API_RATE)",
        )
        add(
            "--sandbox",
            action="store_true",
            help="limit the key to the sandbox hospital, whose devices empty_sandbox retires; the key begins with cxt_",
        )
        add(
            "--value",
            metavar="LEGACY_KEY",
            help="import this existing key; - reads it from stdin, so that it is not in the shell history",
        )

    @transaction.atomic
    def handle(self, *args: Any, name: str, value: str | None, **options: Any) -> None:
        settings = {field: options[field] for field in api_keys.SETTINGS if field in options}
        hospital, allow = options["hospital"], options["allow"]
        if options["sandbox"] and hospital:
            raise CommandError("Use --sandbox or --hospital, not both: the scope of a sandbox key is the sandbox only.")
        settings["all_hospitals"] = not (hospital or options["sandbox"])
        settings["hospitals"] = [self._find_or_register(hospital_name) for hospital_name in hospital or []]
        settings["allowed_networks"] = clean_networks(" ".join(allow or []))
        settings["naming"] = settings["naming"] or api_keys.default_naming(is_legacy=value is not None)
        if value is None:
            self.print_once(api_keys.issue(name, SYSTEM, **settings))
            return
        text = _read_value() if value == "-" else value
        key = api_keys.import_key(text, name, SYSTEM, **settings)
        self.stderr.write(
            f"API key {key.pk} ({key}) was imported as a legacy key. It can be guessed, so rotate it soon."
        )

    def _find_or_register(self, name: str) -> Hospital:
        if not Hospital.objects.by_name([fold_name(name)]):
            self.stderr.write(f"Hospital {name} does not exist yet, and is created.")
        [hospital] = hospitals.get_or_create([name], SYSTEM).values()
        if hospital.sandbox:
            raise CommandError(f"{hospital} is the sandbox. Use --sandbox, so that the key is marked as a sandbox key.")
        return hospital


def _read_value() -> str:
    """Return the first line of stdin, without a byte order mark."""
    try:
        text = sys.stdin.readline().strip().removeprefix("\ufeff").strip()
    except UnicodeDecodeError:
        raise CommandError("The key on stdin is not text in UTF-8.") from None
    if text.startswith("#"):
        raise CommandError("The first line on stdin must be the key. It is a comment.")
    return text


def _clean_hospital(text: str) -> str:
    try:
        return clean_hospital_name(text)
    except ValidationError as error:
        raise ValidationError(f"{error.messages[0]} Omit --hospital for a key for all hospitals.") from error


def _clean_networks(text: str) -> str:
    """Return the networks. A variable without a value must not issue a key for every address."""
    if not (networks := clean_networks(text)):
        raise ValidationError("This field must not be empty. Omit --allow for a key for all networks.")
    return networks


def _page_size(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:10]) <= MAX_PAGE_SIZE):
        raise ValidationError(f"Enter a number from 1 to {MAX_PAGE_SIZE}.")
    return int(text)


def _end_of_day(text: str) -> datetime:
    end = timezone.make_aware(datetime.combine(read_day(text) + timedelta(days=1), time.min))
    if end <= timezone.now():
        raise ValidationError("This date is in the past.")
    return end
