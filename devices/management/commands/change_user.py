import logging
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from devices import people
from devices.management.commands.reset_second_factor import find_user
from devices.problems import Refused

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Change the email address of a user, or deactivate or activate the user. For operators this is the only way: "
        "in the admin, no operator changes how another operator signs in."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username", metavar="USERNAME", help="what the user signs in with")
        parser.add_argument("--email", help="the new email address; hospital admins sign in with it")
        active = parser.add_mutually_exclusive_group()
        active.add_argument("--activate", dest="is_active", action="store_true", default=None)
        active.add_argument("--deactivate", dest="is_active", action="store_false", default=None)

    def handle(self, *args: Any, username: str, email: str | None, is_active: bool | None, **options: Any) -> None:
        user = find_user(username)
        if email is None and is_active is None:
            raise CommandError("Nothing to change: use --email, --activate or --deactivate.")
        try:
            with transaction.atomic():
                if email is not None:
                    validate_email(email)
                    people.change_email(user, email)
                if is_active is not None:
                    user.is_active = is_active
                    user.save(update_fields=["is_active"])
        except ValidationError as error:
            raise CommandError(f"--email: {error.messages[0]}") from error
        except Refused as refused:
            raise CommandError(f"--email: {refused.problems[0].message}") from refused
        logger.warning("The command change_user changed user %s.", user.pk)
        self.stderr.write(f"{username} was changed.")
