"""Shared counters of the rate limits."""

from django.db import models


class RateLimitCounter(models.Model):
    """The number of used permits of a name in a time window (ratelimit/limiter.py). Only stores.py writes it."""

    name = models.CharField(max_length=80)
    began_at = models.BigIntegerField()  # seconds since 1970 UTC
    ends_at = models.BigIntegerField(db_index=True)
    used = models.BigIntegerField()
    leased = models.BigIntegerField()  # the part of `used` that the last reservation took

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="ratelimitcounter_unique", fields=["name", "began_at", "ends_at"])]

    def __str__(self) -> str:
        return f"{self.used} of {self.name}"
