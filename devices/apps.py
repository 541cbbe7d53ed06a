from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = _("Device registry")

    def ready(self) -> None:
        from devices import checks  # noqa: F401  (registers the start-up checks)

        post_migrate.connect(_keep_counts, sender=self)


def _keep_counts(sender: DevicesConfig, using: str, apps: Any = None, **_kwargs: Any) -> None:
    """Let the database keep the counts, unless it was migrated back to before there were any."""
    from devices import triggers

    tables = sender.get_models() if apps is None else apps.get_app_config(sender.label).get_models()
    if "devices_devicecount" in {model._meta.db_table for model in tables}:
        triggers.install(connections[using])
