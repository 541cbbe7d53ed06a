from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from devices.models import ApiKey

HEADINGS = ("ID", "NAME", "PREFIX", "HOSPITAL", "ACCESS", "NAMING", "RATE", "ISSUED", "EXPIRES", "LAST USED", "STATUS")


class Command(BaseCommand):
    help = (
        "List all API keys with their settings and status. The keys themselves cannot be shown: only hashes are stored."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        keys = ApiKey.objects.select_related("hospital").order_by("pk")
        active = set(ApiKey.objects.active().values_list("pk", flat=True))
        rows = [HEADINGS, *(_row(key, key.pk in active) for key in keys)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        self.stderr.write(f"{len(rows) - 1} keys, {len(active)} active.")


def _row(key: ApiKey, is_active: bool) -> tuple[str, ...]:
    status = "active" if is_active else "revoked" if key.revoked_at else "expired"
    return (
        str(key.pk),
        key.name,
        f"cxp_{key.prefix}" if key.prefix else "(legacy)",
        key.hospital.name if key.hospital else "(all)",
        "read" if key.read_only else "read, write",
        key.naming,
        key.rate or "(default)",
        _format_time(key.created_at),
        _format_time(key.expires_at),
        _format_time(key.last_used_at),
        status,
    )


def _format_time(time: Any) -> str:
    return f"{timezone.localtime(time):%Y-%m-%d %H:%M}" if time else "never"
