"""The state of the change feed. Its changes are the history of devices."""

from django.db import models
from django.db.models import Q


class ChangeFeed(models.Model):
    """What cursors depend on: one row, created when it is first needed."""

    key = models.BinaryField()  # encrypts the cursors; SECRET_KEY may change at any time
    pruned_to = models.BigIntegerField(default=0)  # up to this change, all but the last of each device may be gone

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="changefeed_is_one", condition=Q(pk=1))]

    def __str__(self) -> str:
        return f"pruned to {self.pruned_to}"
