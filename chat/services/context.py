"""The parts of the application, for code that serves a request."""

from collections.abc import Callable
from typing import Protocol, cast

from flask import Request, current_app, request

from ..auth.jwt import Keys, Secret
from ..auth.oidc_client import Provider
from ..config import Settings
from ..http_client.public_only import PublicClient
from ..media.attachments import Files
from ..media.avatars import Pictures
from ..observability.failed_sign_ins import FailedSignIns
from ..realtime.connection_limits import ConnectionLimits
from ..realtime.parts import Realtime
from ..rendering.fragments import Fragments
from ..store import Store
from .limits import Limits
from .uploads import Uploads


class Parts(Protocol):
    """What `chat.app.create_app` builds for services and routes."""

    settings: Settings
    store: Store
    fragments: Fragments
    realtime: Realtime
    limits: Limits
    connection_limits: ConnectionLimits
    failed_sign_ins: FailedSignIns
    pictures: Pictures
    attachments: Files
    uploads: Uploads
    outbound: PublicClient
    provider: Provider
    jwt_keys: Keys | Secret
    # Each returns what this process cannot do at the moment, or "" (web.health).
    problems: list[Callable[[], str]]


def chat() -> Parts:
    """The parts of the application that serves the current request. They may be kept after it."""
    return cast("Parts", current_app._get_current_object())  # type: ignore[attr-defined]


def present() -> Request:
    """The current request itself. `request` is a proxy that looks it up for each attribute, and the
    hooks of every request read a dozen of them."""
    return cast("Request", request._get_current_object())  # type: ignore[attr-defined]
