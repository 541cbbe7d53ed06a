"""The answers that are given again to a request that is sent again."""

from django.db import models
from django.utils import timezone

from devices.models.api_keys import ApiKey

IDEMPOTENCY_KEY_LENGTH = 255


class IdempotencyRecord(models.Model):
    """The first answer to a request that came with an Idempotency-Key, written in the transaction of the request."""

    # No key is ever deleted, so no constraint has to look for it each time, and `prune` may walk through them all.
    api_key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False)
    key = models.CharField(max_length=IDEMPOTENCY_KEY_LENGTH)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    etag = models.CharField(max_length=64, blank=True)
    body = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(name="idempotencyrecord_unique", fields=["api_key", "key"])]

    def __str__(self) -> str:
        return f"{self.status} at {self.created_at}"
