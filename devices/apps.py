from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = _("Device registry")

    def ready(self) -> None:
        from devices import checks  # noqa: F401  (registers the checks)
        from devices.accounts import receivers  # noqa: F401  (registers the signal receivers)

        post_migrate.connect(_install_triggers_and_indexes, sender=self)


def _install_triggers_and_indexes(sender: AppConfig, using: str, apps: Any = None, **_kwargs: Any) -> None:
    """Install the triggers and indexes that no migration creates, as far as their tables and columns exist.

    `migrate` sends `apps`, which has the models after the applied migrations. It does not contain this app after
    `migrate devices zero`, nor if all of its migrations were faked. The next `migrate` then installs them. `flush` does
    not send `apps`.
    """
    from devices.db import triggers, trigrams

    try:
        models = (sender if apps is None else apps.get_app_config(sender.label)).get_models(include_auto_created=True)
    except LookupError:
        return
    columns = {model._meta.db_table: {field.column for field in model._meta.concrete_fields} for model in models}
    triggers.install(connections[using], columns.keys())
    if "history_previous_name" in columns.get("devices_historicaldevice", ()):
        trigrams.install(connections[using])
