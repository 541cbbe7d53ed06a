from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices.db.triggers import counts
from devices.models import Hospital
from devices.values.hospital_names import NO_HOSPITAL


class Command(BaseCommand):
    help = (
        "Compare the counts of devices, which triggers maintain, with the devices, and report every difference. There "
        "are none unless the triggers were disabled, for example to load a table."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="correct the counts, even while others write")

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        differences = counts.find_drift()
        names: dict[int | None, str] = dict(Hospital.objects.values_list("pk", "name"))
        for is_total, hospital_id, device_type, number in differences:
            holder = "all hospitals" if is_total else names.get(hospital_id, NO_HOSPITAL)
            self.stderr.write(f"{holder}, {device_type}: {number:+d}")
        if repair:
            counts.repair()
            self.stdout.write(f"{len(differences)} counts repaired.")
        elif differences:
            raise CommandError(f"{len(differences)} counts are wrong: run check_counts --repair.")
        else:
            self.stdout.write("Every count is right.")
