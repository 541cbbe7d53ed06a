from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer


class JSONOnlyNegotiation(DefaultContentNegotiation):
    """Ignore `Accept`, and use the first renderer of the view, which is JSON."""

    def select_renderer(self, request: Any, renderers: Iterable[BaseRenderer], *_args: Any) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        return renderer, renderer.media_type or ""
