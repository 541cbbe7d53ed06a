"""How many devices there are."""

from django.db import models

from devices.models.hospitals import Hospital


class DeviceCount(models.Model):
    """A number of devices: of a hospital (or of nobody) and a type, or, where `everywhere`, of a type in all of them.

    Kept by the database itself (triggers/counts.py), read by devices/counts.py. On PostgreSQL a count is the sum of
    several rows. The columns have the names that they have in Device, so that a condition on devices is one on their
    counts.
    """

    everywhere = models.BooleanField(default=False)
    device_holder = models.ForeignKey(
        Hospital, null=True, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    device_type = models.CharField(max_length=16)
    number = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["everywhere", "device_holder", "device_type"], name="count_by_holder")]

    def __str__(self) -> str:
        return f"{self.number:+d}"
