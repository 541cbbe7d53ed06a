"""Hospitals in the admin: read for now. Devices name them, and registering a device registers its hospital."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from devices.models import Hospital


class ReadOnlyAdmin(ModelAdmin):
    """Shows, and changes nothing: what changes these tables has verbs of its own."""

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Hospital)
class HospitalAdmin(ReadOnlyAdmin):
    list_display = ("name", "created_at")
    search_fields = ("name",)
    ordering = ("name",)
