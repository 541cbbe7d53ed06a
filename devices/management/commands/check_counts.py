from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from devices.db.triggers import counts
from devices.models import Hospital
from devices.values.hospital_names import NO_HOSPITAL


class Command(BaseCommand):
    help = (
        "Compare the device counters, which triggers maintain, with the devices, and report every difference. "
        "Differences occur only if the triggers were disabled, for example while a table was loaded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--repair", action="store_true", help="correct the counters; other clients can write at the same time"
        )

    def handle(self, *args: Any, repair: bool, **options: Any) -> None:
        differences = counts.find_drift()
        names: dict[int | None, str] = dict(Hospital.objects.values_list("pk", "name"))
        for is_total, hospital_id, device_type, number in differences:
            hospital = "all hospitals" if is_total else names.get(hospital_id, NO_HOSPITAL)
            self.stderr.write(f"{hospital}, {device_type}: {number:+d}")
        if repair:
            counts.repair()
            self.stdout.write(f"{len(differences)} counters were corrected.")
        elif differences:
            raise CommandError(f"{len(differences)} counters do not match. Run check_counts --repair.")
        else:
            self.stdout.write("All counters match.")
