from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = _("Device registry")

    def ready(self) -> None:
        from devices import checks  # noqa: F401  (registers the start-up checks)
