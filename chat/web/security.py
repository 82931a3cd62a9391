"""The content security policy of pages, and the checks of where a request comes from.

The policy allows no inline script or style, no eval, and only scripts of the vendored folder, by
its full address: a bare 'self' would run an uploaded file. A websocket is not subject to the
same-origin policy, so its handshake must come from our own origin exactly (RFC 6455, section 10.2);
a missing, null or foreign Origin is refused. Requests that change something must not come from
another site either, whatever token they have.
"""

import logging
import secrets
from functools import lru_cache
from ipaddress import ip_network

from flask import Flask, Request, Response, current_app, g, request
from flask import session as cookie
from flask_wtf.csrf import CSRFProtect
from itsdangerous import URLSafeTimedSerializer

from ..domain.errors import Invalid, Misdirected, Refused
from ..domain.host_header import names_origin, parse_host
from ..services.context import chat, present
from .client_address import MAX_ADDRESS_CHARS, network_of, parse_address

log = logging.getLogger(__name__)

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")  # RFC 9110, section 9.2.1

MAX_CACHED_TOKENS = 4096  # signed tokens of forms
CSRF_SALT = "wtf-csrf-token"  # of flask_wtf.csrf.validate_csrf

_POLICY = (
    "default-src 'none'; script-src {origin}/static/vendor/; style-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; frame-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)

# Probes and Prometheus ask for these by an IP address or the name of a container. Pages do not.
_FOR_ANY_HOST = ("health.healthz", "health.readyz", "health.prometheus")


def check_host(asked: Request) -> None:
    """Raise Invalid if the Host header is not a host, and Misdirected if it is not the host of
    CHAT_ORIGIN (RFC 9110, section 7.4). HTTP/1.0 has requests without a Host."""
    host, origin = asked.headers.get("Host"), chat().settings.origin
    try:
        is_ours = names_origin(host, origin) if origin and host is not None else not origin
        if host is not None:
            parse_host(host)
            g.host = host
    except ValueError:
        raise Invalid("The Host header of the request is invalid.") from None
    if not is_ours and asked.endpoint not in _FOR_ANY_HOST:
        raise Misdirected(f"This chat is at {origin}. The address you used does not work.")


def own_origin() -> str:
    """This site's origin as the browser names it: CHAT_ORIGIN, or scheme and Host."""
    if origin := chat().settings.origin:
        return origin
    asked = present()
    scheme = {"ws": "http", "wss": "https"}.get(asked.scheme, asked.scheme)
    return f"{scheme}://{g.get('host') or asked.host}"


def address() -> str:
    """The visitor's IP address: that of the connection or, if it is a proxy of CHAT_PROXIES, the
    nearest one in X-Forwarded-For that is not a proxy. "" for a connection without an address, such
    as a Unix socket. Raises Invalid if a proxy of ours wrote no address there: limits and bans
    could not apply to that visitor."""
    if "address" not in g:
        g.address = _address()
    return str(g.address)


def _address() -> str:
    if not request.remote_addr:
        return ""
    forwarded = request.headers.get("X-Forwarded-For", "")
    hops = [request.remote_addr, *reversed(forwarded.split(",") if forwarded.strip() else [])]
    seen = ""
    for hop in hops:
        try:
            ip = parse_address(hop)
        except ValueError:
            log.warning(
                "not the address of a visitor: %r, sent by %s", hop[:MAX_ADDRESS_CHARS], seen
            )
            raise Invalid(
                "A proxy in front of the chat does not pass on your address. "
                "The operator of the chat has to set up X-Forwarded-For."
            ) from None
        seen = str(ip)
        if not is_proxy(seen):
            break
    return seen


def network() -> str:
    """The visitor's network (client_address.network_of): attempts and open pages are counted for
    each network. Raises as `address` does."""
    return network_of(address())


def is_public(network: str) -> bool:
    """True for a network of the internet. Any other network is this machine, a local network, or a
    proxy that is missing in CHAT_PROXIES and stands for everybody."""
    try:
        return ip_network(network).is_global
    except ValueError:
        return False


def is_proxy(seen: str) -> bool:
    """True for the address of a proxy of CHAT_PROXIES, also in the form ::ffff:10.0.0.1, which a
    socket for both families has for IPv4."""
    try:
        ip = parse_address(seen)
    except ValueError:
        return False
    return any(ip in network for network in chat().settings.proxies)


def is_own_origin() -> bool:
    """True if the browser says that a page of this site made the request."""
    return request.headers.get("Origin") == own_origin() and not _comes_from_another_site()


def check_site(asked: Request) -> None:
    """Raise Refused for an unsafe request if the browser says that a page of another site made it.
    This protects in addition to the form's token, which such a page may know.

    The headers `Sec-Fetch-Site` (w3.org/TR/fetch-metadata) and `Origin` (RFC 6454) are trusted,
    because no page can make a browser omit or forge them. Old browsers and programs send neither;
    for them only the token counts. Requests that are authenticated by other means than a cookie may
    come from anywhere."""
    if asked.blueprint == "api" or asked.endpoint in (None, "jwt_sign_in.sign_in"):
        return
    origin = asked.headers.get("Origin")
    if _comes_from_another_site() or origin not in (None, own_origin()):
        raise Refused(
            "Your browser says that this was sent from another site. Open the chat in a new tab "
            "and try again. If that fails too, the chat does not know its own address, and its "
            "operator has to set CHAT_ORIGIN."
        )


def _comes_from_another_site() -> bool:
    """`none`: the person did it without a page, such as sending a form again."""
    return request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")


def csrf_token() -> str:
    """The token of this session's forms, which `protect` verifies. Its secret is in the signed
    cookie. It does not expire (WTF_CSRF_TIME_LIMIT)."""
    secret = cookie.get("csrf_token")
    if not secret:
        secret = cookie["csrf_token"] = secrets.token_hex(20)
    return _signed(secret)


@lru_cache(maxsize=MAX_CACHED_TOKENS)
def _signed(secret: str) -> str:
    """The token as flask_wtf.csrf.generate_csrf signs it, without its cache for the request, which
    is wrong after a sign-in."""
    return str(URLSafeTimedSerializer(current_app.secret_key or "", CSRF_SALT).dumps(secret))


def protect(app: Flask) -> CSRFProtect:
    """Return the object that verifies the tokens of forms. Templates get a token from `csrf_token`.
    Flask-WTF's own hook is off, because it looks for exemptions even in safe requests; app.admit
    calls the object instead."""
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False
    csrf = CSRFProtect(app)
    app.jinja_env.globals["csrf_token"] = csrf_token
    app.context_processor(lambda: {"csrf_token": csrf_token})
    return csrf


@lru_cache(maxsize=16)  # few, because a Host header may contain anything
def _policy(origin: str) -> str:
    return _POLICY.format(origin=origin)


def add_page_headers(response: Response) -> Response:
    """Add the content security policy to a response, and forbid caching unless the view allows it.
    Headers that are the same for every response are added below Flask (security_headers)."""
    response.headers.setdefault("Content-Security-Policy", _policy(own_origin()))
    response.headers.setdefault("Cache-Control", "no-store")
    return response
