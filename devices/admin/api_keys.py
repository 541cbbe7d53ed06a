"""API keys in the admin: what each may and when it was last used. `manage.py create_api_key` issues them."""

from django.contrib import admin

from devices.admin.hospitals import ReadOnlyAdmin
from devices.models import ApiKey


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    fields = (
        "name",
        "prefix",
        "hospital",
        "read_only",
        "naming",
        "legacy",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )
    list_display = fields
    list_select_related = ("hospital",)
    search_fields = ("name", "prefix")
    ordering = ("-id",)
