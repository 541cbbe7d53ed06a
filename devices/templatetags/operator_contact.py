"""The contact of the operator in templates: `{% include "admin/operator_contact.html" %}`, or `operator_contact`.

A template that is rendered without a request has no context processors, so the included template loads the tag.
"""

from typing import Any
from urllib.parse import quote

from django import template
from django.conf import settings
from django.http import HttpRequest

register = template.Library()


@register.simple_tag(name="operator_contact")
def contact() -> dict[str, str] | None:
    """Return the name, email address and WhatsApp number of the operator with their URLs, or None if none is set."""
    name, email, whatsapp = settings.OPERATOR_NAME, settings.OPERATOR_EMAIL, settings.OPERATOR_WHATSAPP
    if not (name or email or whatsapp):
        return None
    digits = "".join(filter(str.isdigit, whatsapp))
    return {
        "name": name,
        "email": email,
        "email_url": f"mailto:{quote(email, safe='@')}" if email else "",
        "whatsapp": whatsapp,
        "whatsapp_url": f"https://wa.me/{digits}" if digits else "",
    }


def context(_request: HttpRequest) -> dict[str, Any]:
    """Add `operator_contact` to the context of each page."""
    return {"operator_contact": contact()}
