"""What the change feed keeps besides the history that it is read from."""

from django.db import models
from django.db.models import Q


class ChangeFeed(models.Model):
    """What the cursors of the change feed depend on: one row, made when the first is needed."""

    key = models.BinaryField()  # seals the cursors: not SECRET_KEY, which may be renewed at any time
    pruned_to = models.BigIntegerField(default=0)  # up to this change, all but the last of each device may be gone

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(name="changefeed_is_one", condition=Q(pk=1))]

    def __str__(self) -> str:
        return f"pruned to {self.pruned_to}"
