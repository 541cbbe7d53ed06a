"""Uploaded files between preview and import, and the imports in progress."""

from uuid import uuid4

from django.conf import settings
from django.db import models

from devices.models.fields import now_ms
from devices.values.normalization import MAX_LENGTH


class ImportPreview(models.Model):
    """A file that a user has uploaded but not yet imported. Only devices/imports/preview.py writes it."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)  # 122 random bits
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=MAX_LENGTH)  # the file's name, as the page shows it
    created_at = models.DateTimeField(default=now_ms, db_index=True)
    language = models.CharField(max_length=8)  # the language of the stored messages
    notes = models.JSONField(default=dict)  # messages about the file as a whole
    counts = models.JSONField(default=dict)  # the number of rows by action
    digest = models.CharField(max_length=64)  # covers everything that the preview shows

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class ImportPreviewRow(models.Model):
    """A row of an uploaded file: its cells, and the action that the import would take."""

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
    """An import in progress: each user can have one at a time. Only devices/imports/preview.py writes it."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, primary_key=True, on_delete=models.CASCADE, related_name="+")
    token = models.CharField(max_length=16)  # identifies the process that runs the import
    ends_at = models.BigIntegerField()  # seconds since 1970 UTC; later the process is considered dead

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.pk)
