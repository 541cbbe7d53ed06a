"""Stored responses, which the API returns again for a retry with the same Idempotency-Key."""

from datetime import timedelta

from django.db import models
from django.utils import timezone

from devices.models.api_keys import ApiKey

IDEMPOTENCY_KEY_LENGTH = 255
RESPONSE_LIFETIME = timedelta(hours=24)  # how long a response is returned again


class IdempotencyRecord(models.Model):
    """The first response to a request with an Idempotency-Key. It is stored in the transaction of the request."""

    # API keys are never deleted, so a foreign key constraint is not necessary. It would cost a look-up per request.
    # The unique constraint has an index that begins with this column. `prune` reads the whole table.
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
