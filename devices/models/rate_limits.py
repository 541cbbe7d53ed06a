"""How much of each rate is used up."""

from django.db import models


class RateLimitCounter(models.Model):
    """How many permits of a name have been used up in a window of time: see limiter.py. Written by stores.py alone."""

    name = models.CharField(max_length=80)
    began_at = models.BigIntegerField()  # seconds since 1970 UTC
    ends_at = models.BigIntegerField(db_index=True)
    used = models.BigIntegerField()
    leased = models.BigIntegerField()  # of these by whoever asked last

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="ratelimitcounter_unique", fields=["name", "began_at", "ends_at"])]

    def __str__(self) -> str:
        return f"{self.used} of {self.name}"
