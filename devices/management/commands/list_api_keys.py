from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from devices.models import ApiKey

HEADINGS = ("ID", "NAME", "BEGINS", "HOSPITAL", "MAY", "NAMING", "RATE", "ISSUED", "EXPIRES", "LAST USED", "STATE")


class Command(BaseCommand):
    help = "List all API keys: what each may, and whether it still works. The keys themselves are kept nowhere."

    def handle(self, *args: Any, **options: Any) -> None:
        keys = ApiKey.objects.select_related("hospital").order_by("pk")
        working = set(ApiKey.objects.active().values_list("pk", flat=True))
        rows = [HEADINGS, *(_row(key, key.pk in working) for key in keys)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        self.stderr.write(f"{len(rows) - 1} keys, {len(working)} of them work.")


def _row(key: ApiKey, works: bool) -> tuple[str, ...]:
    state = "works" if works else "revoked" if key.revoked_at else "expired"
    return (
        str(key.pk),
        key.name,
        f"cxp_{key.prefix}" if key.prefix else "(legacy)",
        key.hospital.name if key.hospital else "(all)",
        "read" if key.read_only else "read, write",
        key.naming,
        key.rate or "(default)",
        _minute(key.created_at),
        _minute(key.expires_at),
        _minute(key.last_used_at),
        state,
    )


def _minute(instant: Any) -> str:
    return f"{timezone.localtime(instant):%Y-%m-%d %H:%M}" if instant else "never"
