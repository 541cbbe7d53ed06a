"""Describe who makes a change: user or API key, channel, IP address, request and scope."""

from dataclasses import dataclass

from django.http import HttpRequest

from devices.access import scopes
from devices.access.client_ip import client_ip
from devices.models import ApiKey, Channel
from devices.values.scope import UNRESTRICTED, Scope


@dataclass(frozen=True, slots=True)
class Actor:
    """The context of a change, which its history records, and the scope that limits the change.

    It has a user or an API key. A command has neither.

    registers_hospitals: whether a device with the name of an unknown hospital registers that hospital.
    """

    channel: Channel
    user_id: int | None = None
    api_key: ApiKey | None = None
    ip_address: str | None = None
    request_id: str = ""
    scope: Scope = UNRESTRICTED
    registers_hospitals: bool = True


SYSTEM = Actor(Channel.COMMAND)
IMPORT = Actor(Channel.IMPORT)


def actor_from_request(
    request: HttpRequest, channel: Channel, api_key: ApiKey | None = None, *, registers_hospitals: bool = True
) -> Actor:
    return Actor(
        channel=channel,
        user_id=None if api_key else request.user.pk,
        api_key=api_key,
        ip_address=client_ip(request),
        request_id=request.request_id,  # type: ignore[attr-defined]
        scope=scopes.scope_for_key(api_key) if api_key else scopes.scope_for_user(request.user),
        registers_hospitals=registers_hospitals,
    )
