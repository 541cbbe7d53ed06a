from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from devices.accounts import api_key_texts
from devices.models import ApiKey

HEADINGS = (
    *("ID", "NAME", "PREFIX", "HOSPITALS", "ACCESS", "NAMING", "RATE", "PAGE SIZE", "UNKNOWN HOSPITALS", "NETWORKS"),
    *("ISSUED", "EXPIRES", "LAST USED", "STATUS"),
)


class Command(BaseCommand):
    help = (
        "List all API keys with their settings and status. The keys themselves cannot be shown: only hashes are stored."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        keys = ApiKey.objects.prefetch_related("hospitals").order_by("pk")
        active = ApiKey.objects.active().count()
        rows = [HEADINGS, *map(_row, keys)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        self.stderr.write(f"{len(rows) - 1} keys, {active} active.")


def _row(key: ApiKey) -> tuple[str, ...]:
    return (
        str(key.pk),
        key.name,
        api_key_texts.describe_token(key),
        api_key_texts.describe_scope(key),
        api_key_texts.describe_access(key),
        key.naming,
        key.rate or "(default)",
        str(key.page_size or "(default)"),
        key.unknown_holder,
        key.allowed_networks or "all",
        _format_time(key.created_at),
        _format_time(key.expires_at),
        _format_last_use(key),
        api_key_texts.describe_state(key),
    )


def _format_time(time: Any) -> str:
    return f"{timezone.localtime(time):%Y-%m-%d %H:%M}" if time else "never"


def _format_last_use(key: ApiKey) -> str:
    return _format_time(key.last_used_at) + (f" from {key.last_used_ip_address}" if key.last_used_ip_address else "")
