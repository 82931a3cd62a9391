"""What every response says to the browser, and which sites may open the socket.

The policy allows no inline script or style, no eval, and scripts from the vendored folder only,
named by its full address: a bare 'self' would run an uploaded file. A websocket is not subject
to the same-origin policy, so its handshake must come from our own origin exactly (RFC 6455,
section 10.2); a missing, null or foreign Origin is refused.
"""

from functools import lru_cache
from ipaddress import IPv4Address, ip_address, ip_network

from flask import Flask, Response, g, request
from flask import session as cookie
from flask_wtf.csrf import CSRFProtect, generate_csrf

from .current import chat

TOKENS_KEPT = 4096  # forms' tokens that are not signed anew for each page

_POLICY = (
    "default-src 'none'; script-src {origin}/static/vendor/; style-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; frame-src 'self'; manifest-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)

_ALWAYS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Permissions-Policy", "camera=(), microphone=(), geolocation=()"),
)


def own_origin() -> str:
    """This site's origin as the browser names it: CHAT_ORIGIN, or scheme and Host."""
    if chat().settings.origin:
        return chat().settings.origin
    scheme = {"ws": "http", "wss": "https"}.get(request.scheme, request.scheme)
    return f"{scheme}://{request.host}"


def address() -> str:
    """The visitor's address: what the connection says, or, where that is a proxy of
    CHAT_PROXIES, the nearest that is none in X-Forwarded-For."""
    seen = request.remote_addr or ""
    for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if not is_proxy(seen) or not hop.strip():
            break
        seen = hop.strip()
    return seen


def network() -> str:
    """Whose tries and pages count as one: the visitor's address, or the network of 64 bits for
    IPv6, where who has one address has them all (RFC 6177)."""
    return network_of(address())


def network_of(seen: str) -> str:
    """`network` for an address."""
    seen = seen[:64]
    try:
        ip = ip_address(seen)
    except ValueError:
        return seen
    if isinstance(ip, IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ip_network((ip, 64), strict=False))


def is_public(network: str) -> bool:
    """True for a network of the internet. Any other is this machine, one's own house, or a proxy
    that is missing in CHAT_PROXIES, behind which everybody is."""
    try:
        return ip_network(network).is_global
    except ValueError:
        return False


def is_proxy(seen: str) -> bool:
    """True for the address of a proxy of CHAT_PROXIES."""
    try:
        ip = ip_address(seen)
    except ValueError:
        return False
    # A socket for both families says ::ffff:10.0.0.1 of an IPv4 neighbour.
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in network for network in chat().settings.proxies)


def is_own_origin() -> bool:
    """True when the request was made by a page of this site."""
    return request.headers.get("Origin") == own_origin()


def csrf_token() -> str:
    """The token of the forms of this session, which `protect` asks for. It is signed once for
    each secret that a cookie holds; it has no age of its own (WTF_CSRF_TIME_LIMIT)."""
    secret = cookie.get("csrf_token")
    return _signed(secret) if secret else str(generate_csrf())


@lru_cache(maxsize=TOKENS_KEPT)
def _signed(secret: str) -> str:
    g.pop("csrf_token", None)  # of another secret, when somebody signs in with this request
    return str(generate_csrf())


def protect(app: Flask) -> CSRFProtect:
    """Ask each form for its token, which templates get from `csrf_token`."""
    csrf = CSRFProtect(app)
    app.jinja_env.globals["csrf_token"] = csrf_token
    app.context_processor(lambda: {"csrf_token": csrf_token})
    return csrf


@lru_cache(maxsize=16)  # a Host header may say anything
def _policy(origin: str) -> str:
    return _POLICY.format(origin=origin)


def secure(app: Flask) -> None:
    """Put the security headers on every response."""

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", _policy(own_origin()))
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.extend(_ALWAYS)  # which nothing else sets
        if chat().settings.secure:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response
