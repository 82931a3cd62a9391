"""The parts of the application, which requests, open pages and background work share."""

from collections.abc import Callable
from typing import cast

from flask import Request, current_app, request
from jinja2 import Environment

from ..auth.jwt import Keys, Secret
from ..auth.oidc_client import Provider
from ..config import Settings
from ..http_client.public_only import PublicClient
from ..media.attachments import Files, quotas
from ..media.avatars import Pictures
from ..observability.failed_sign_ins import FailedSignIns
from ..realtime.connection_limits import ConnectionLimits
from ..realtime.parts import Realtime
from ..redis_client.topology import Topology
from ..rendering.fragments import Fragments
from ..rendering.text_renderer import Texts
from ..store import Store
from .limits import Limits
from .uploads import Uploads


class Parts:
    """Builds the parts over a store. The parameters are those of `chat.app.create_app`.

    templates: the application's, with all globals.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        topology: Topology,
        texts: Texts,
        templates: Environment,
    ) -> None:
        self.settings = settings
        self.store = store
        self.limits = Limits(store.rate_limits, settings.pages_per_address, settings.limits)
        self.connection_limits = ConnectionLimits(store, settings)
        self.failed_sign_ins = FailedSignIns()
        self.pictures = Pictures(settings.files or str(settings.data))
        self.attachments = Files(
            self.pictures, settings.file_size_bytes, store.stored_files, quotas(settings)
        )
        self.uploads = Uploads(settings.limits)
        self.outbound = PublicClient(settings.hook_networks)
        self.provider = Provider(settings, store.clock.now)
        # With which another site signs tokens.
        secret, address = settings.jwt_secret, settings.jwt_jwks
        self.jwt_keys = Secret(secret) if secret else Keys(address)
        # Each function returns what this process cannot do at the moment, or "" (web.health).
        self.problems: list[Callable[[], str]] = []
        self.fragments = Fragments(templates)
        self.realtime = Realtime(store, self.fragments, texts, topology)


def chat() -> Parts:
    """The parts of the application that serves the current request. They may be kept after it."""
    return cast("Parts", current_app._get_current_object())  # type: ignore[attr-defined]


def present() -> Request:
    """The current request itself. `request` is a proxy that looks it up for each attribute, and the
    hooks of every request read a dozen of them."""
    return cast("Request", request._get_current_object())  # type: ignore[attr-defined]
