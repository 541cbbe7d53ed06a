from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = _("Device registry")

    def ready(self) -> None:
        from devices import checks  # noqa: F401  (registers the checks)
        from devices.accounts import receivers  # noqa: F401  (registers the signal receivers)

        post_migrate.connect(_complete, sender=self)


def _complete(sender: DevicesConfig, using: str, apps: Any = None, **_kwargs: Any) -> None:
    """Install the triggers and indexes that migrations do not keep, as far as their columns exist."""
    from devices.db import triggers, trigrams

    # The models of the state that is migrated to: none of them, if all migrations were reversed.
    models = [model for model in (apps or installed).get_models() if model._meta.app_label == sender.label]
    columns = {model._meta.db_table: {field.column for field in model._meta.concrete_fields} for model in models}
    triggers.install(connections[using], columns.keys())
    if "history_previous_name" in columns.get("devices_historicaldevice", ()):
        trigrams.install(connections[using])
