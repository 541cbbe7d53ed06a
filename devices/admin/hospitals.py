"""Hospitals in the admin: read for now. Devices name them, and registering a device registers its hospital."""

from django.contrib import admin

from devices.admin.access import OnlyToRead, WithinReach
from devices.models import Hospital


@admin.register(Hospital)
class HospitalAdmin(OnlyToRead, WithinReach):
    narrowed_by = "pk"
    list_display = ("name", "created_at")
    search_fields = ("name",)
    ordering = ("name",)
