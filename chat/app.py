"""The composition root: builds the parts of the chat, and passes to each what it needs."""

from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from flask import Flask
from flask_compress import Compress  # type: ignore[attr-defined, unused-ignore]
from werkzeug.utils import find_modules, import_string

from . import error_pages
from .api import endpoints
from .auth.signed_cookies import SignedCookies
from .config import Settings
from .media.avatars import MAX_AVATAR_BYTES
from .media.orphan_cleanup import OrphanCleanup
from .observability.loop_lag import LoopLag
from .redis_client.topology import SingleServer, Topology
from .rendering import assets, cached_html, environment, local_time
from .rendering.text_renderer import Texts
from .services.context import Parts, present
from .services.messages import post_text
from .services.retention import cleanups
from .services.unfinished_changes import UnfinishedChanges
from .store import Store
from .web import auth, compression, form_limits, jwt_sign_in, request_limits, upload_limits
from .web.security import SAFE_METHODS, add_page_headers, check_host, check_site, protect
from .webhooks.delivery import Sender
from .webhooks.dispatcher import Dispatcher


class BackgroundTask(Protocol):
    """Something that a server process does besides serving requests."""

    async def run(self) -> None:
        """Run until cancelled."""


class Chat(Flask, Parts):
    """The Flask application with all parts of the chat."""

    request_class = form_limits.Request

    def __init__(self, settings: Settings, store: Store, topology: Topology, texts: Texts) -> None:
        Flask.__init__(self, "chat", static_folder=None, template_folder=assets.folder("templates"))
        self.jinja_environment = environment.environment_class()
        self.session_interface = SignedCookies(store.clock.estimate)
        # A template gets the globals that exist when it is loaded.
        assets.init(self)
        cached_html.init(self.jinja_env, texts)
        Parts.__init__(self, settings, store, topology, texts, self.jinja_env)
        sender = Sender(store, self.outbound, settings.hook_wait_seconds, partial(post_text, self))
        self.background: tuple[BackgroundTask, ...] = (
            self.realtime.subscriber,
            self.realtime.presence,
            self.realtime.confirmations,
            self.connection_limits,
            Dispatcher(store, topology, sender),
            *cleanups(settings, store, self.pictures),
            OrphanCleanup(store, self.attachments),
            UnfinishedChanges(store),
            LoopLag(),
        )

    def ensure_sync(self, func: Any) -> Any:
        # Flask checks for each request whether its hooks and view are coroutines. None is.
        return func


def create_app(
    settings: Settings,
    store: Store,
    topology: Topology | None = None,
    texts: Texts | None = None,
) -> Chat:
    """Build the chat over a store. `settings.secret_key` must be set.

    topology: of the Redis servers that the store uses. Required for what runs in the background
        (`Chat.background`), such as open pages; requests need only the store.
    texts: renders messages. By default they are rendered at once, which blocks everything else.
    """
    app = Chat(settings, store, topology or SingleServer("redis://"), texts or Texts())
    app.config.update(
        SECRET_KEY=settings.secret_key,
        MAX_CONTENT_LENGTH=max(MAX_AVATAR_BYTES, app.attachments.max_message_bytes)
        + upload_limits.MAX_FORM_BYTES,
        SESSION_COOKIE_NAME="__Host-session" if settings.secure else "session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure,
        PERMANENT_SESSION_LIFETIME=timedelta(days=90),
        # Not with every response: caches keep style sheets and scripts (web.auth renews it).
        SESSION_REFRESH_EACH_REQUEST=False,
        # A page may stay open for days; the token lives as long as the session.
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=False,
        # Compression is safe from BREACH: cookies are SameSite, so no other site can request pages
        # and measure them. A response that never ends is not compressed (chat.web.event_stream).
        COMPRESS_ALGORITHM=["zstd", "gzip"],
        COMPRESS_LEVEL=4,
        COMPRESS_ZSTD_LEVEL=1,  # 3 % more bytes than the default level, and a third less work
        COMPRESS_STREAMS=False,
        # Responses with an ETag handle that themselves (chat.rendering.assets).
        COMPRESS_EVALUATE_CONDITIONAL_REQUEST=False,
    )
    Compress(app)
    compression.install()
    local_time.set_clock(store.clock.estimate)
    form_limits.install()
    app.after_request(request_limits.charge_response)
    app.teardown_request(upload_limits.end)
    auth.init(app)
    csrf = protect(app)
    csrf.exempt(endpoints.bp)  # no page of another site can send a token
    csrf.exempt(jwt_sign_in.sign_in)

    @app.before_request
    def admit() -> Any:
        """Check every request, in this order, before its blueprint and its view."""
        asked = present()
        form_limits.check_address(asked)
        check_host(asked)
        is_unsafe = asked.method not in SAFE_METHODS
        if is_unsafe:
            check_site(asked)
        request_limits.count(asked)
        upload_limits.limit_size(asked)
        if is_unsafe and app.config["WTF_CSRF_ENABLED"]:  # `csrf.protect` ignores the setting
            csrf.protect(apply_exemptions=True)
        return auth.require_person(asked)

    app.register_blueprint(endpoints.bp)
    for name in find_modules("chat.web"):
        if bp := getattr(import_string(name), "bp", None):
            app.register_blueprint(bp)
    app.after_request(add_page_headers)
    error_pages.register(app)
    return app
