import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.core.management.base import BaseCommand

from devices.access import actor
from devices.accounts import api_keys
from devices.models import ApiKey

ALL_INTERFACES = ("0.0.0.0", "[::]")  # noqa: S104  (gunicorn can listen on them, but clients cannot connect to them)


class Command(BaseCommand):
    help = (
        "Prepare a fresh checkout: create the tables, collect static files, and create the operator `admin` and a "
        "read-write API key if there are none. The password and the key are shown only once. It is safe to run again."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", verbosity=0, interactive=False, skip_checks=False)
        if _static_files_are_stale():
            call_command("collectstatic", verbosity=0, interactive=False)
        host = "127.0.0.1" if settings.HOST in ALL_INTERFACES else settings.HOST
        address = f"http://{host}:{settings.PORT}"
        self._create_superuser(address)
        self._create_key(address)
        self.stdout.write(f"URL of the registry: {address}\nAPI documentation: {address}/api/docs")

    def _create_superuser(self, address: str) -> None:
        users = get_user_model().objects
        if users.filter(is_superuser=True).exists():
            return
        password = secrets.token_urlsafe(12)
        users.create_superuser("admin", password=password)
        self.stdout.write(f"\nAdmin: {address}/admin/\n  user      admin\n  password  {password}\n")

    def _create_key(self, address: str) -> None:
        if ApiKey.objects.exists():
            return
        issued = api_keys.issue("First client", actor.SYSTEM, all_hospitals=True)
        self.stdout.write(
            f"API key, read-write, for all hospitals. It is shown only once:\n  {issued.text}\n"
            f"Try it in another terminal:\n  curl -H 'x-api-key: {issued.text}' {address}/api/devices\n"
        )


def _static_files_are_stale() -> bool:
    """Return whether a source is newer than the collected files. This check is fast; collecting takes seconds."""
    manifest = Path(settings.STATIC_ROOT, "staticfiles.json")
    if not manifest.exists():
        return True
    collected = datetime.fromtimestamp(manifest.stat().st_mtime, UTC)
    return any(
        storage.get_modified_time(path) > collected
        for finder in finders.get_finders()
        for path, storage in finder.list([])
    )
