"""Uploaded files between preview and import, and who is importing."""

from uuid import uuid4

from django.conf import settings
from django.db import models

from devices.models.fields import now_ms
from devices.values.normalization import MAX_LENGTH


class ImportPreview(models.Model):
    """A file that a user uploaded, until it is imported. Written by devices/imports/preview.py only."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)  # 122 random bits
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=MAX_LENGTH)  # of the file, to show it
    created_at = models.DateTimeField(default=now_ms, db_index=True)
    language = models.CharField(max_length=8)  # of the messages about its lines
    notes = models.JSONField(default=dict)  # about the file as a whole
    counts = models.JSONField(default=dict)  # of its lines, by kind
    digest = models.CharField(max_length=64)  # of all that the preview showed

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class ImportPreviewRow(models.Model):
    """A line of such a file: its cells, and what it would do."""

    preview = models.ForeignKey(ImportPreview, on_delete=models.CASCADE, related_name="rows", db_index=False)
    number = models.PositiveIntegerField()
    action = models.CharField(max_length=9)
    data = models.TextField()  # JSON

    class Meta:
        default_permissions = ()
        indexes = [
            models.Index(fields=["preview", "number"], name="importpreviewrow_by_number"),
            models.Index(fields=["preview", "action", "number"], name="importpreviewrow_by_action"),
        ]

    def __str__(self) -> str:
        return str(self.number)


class ImportTurn(models.Model):
    """A user has an import in progress, in some process. Written by devices/imports/preview.py only."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="+")
    token = models.CharField(max_length=16)  # of the process that holds the turn
    ends_at = models.BigIntegerField()  # seconds since 1970 UTC, should the process die

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.pk)
