"""Serves static files, compressed once, under fingerprinted names that browsers cache forever.

`asset("chat.css")` returns `/static/chat.<digest>.css`. The style sheets in static/css are served
as this one file; the numbers in their names are the order in which they apply, from general to
particular. The vendored htmx files have their version in the name. Files are also served
under their plain names; browsers revalidate these by ETag (RFC 9110, section 13).
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, request

_FOREVER = "public, max-age=31536000, immutable"
_TYPES = {
    ".svg": "image/svg+xml",
    ".wav": "audio/wav",
    ".js": "text/javascript; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}


def folder(name: str) -> Path:
    """The folder `templates` or `static`: in the installed package, or next to it in a checkout."""
    inside = Path(__file__).parents[1] / name
    return inside if inside.is_dir() else Path(__file__).parents[2] / name


@dataclass(frozen=True)
class Asset:
    content: bytes
    packed: bytes  # by gzip; empty if that is no shorter
    etag: str
    mimetype: str


class Assets:
    """All static files, read once at start. Names are paths relative to static/."""

    def __init__(self, root: Path) -> None:
        self.files = {
            str(path.relative_to(root)): _asset(path.name, path.read_bytes())
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.parent != root / "css"
        }
        sheets = [path.read_bytes() for path in sorted((root / "css").glob("*.css"))]
        self.files["chat.css"] = _asset("chat.css", b"".join(sheets))
        self.fingerprinted = {_fingerprinted(n, a): n for n, a in self.files.items()}
        self.urls = {name: f"/static/{path}" for path, name in self.fingerprinted.items()}

    def serve(self, path: str) -> Response:
        name: str = self.fingerprinted.get(path, path)
        asset = self.files.get(name)
        if asset is None:
            abort(404)
        packed = bool(asset.packed) and request.accept_encodings.quality("gzip") > 0
        response = Response(asset.packed if packed else asset.content, mimetype=asset.mimetype)
        if packed:
            response.content_encoding = "gzip"
        lasting = path in self.fingerprinted or name.startswith("vendor/")
        response.headers["Cache-Control"] = _FOREVER if lasting else "no-cache"
        response.headers["Vary"] = "Accept-Encoding"
        response.set_etag(asset.etag + ("-gz" if packed else ""))
        response.make_conditional(request)
        return response


def init(app: Flask) -> None:
    """Serve the static files under /static, and give templates the function `asset`."""
    assets = Assets(folder("static"))
    app.jinja_env.globals["asset"] = assets.urls.__getitem__
    template = (folder("templates") / "me.css").read_bytes()
    app.jinja_env.globals["me_version"] = _asset("me.css", template).etag
    bp = Blueprint("assets", __name__)
    bp.add_url_rule("/static/<path:path>", "static", assets.serve)
    app.register_blueprint(bp)


def _asset(name: str, content: bytes) -> Asset:
    suffix = Path(name).suffix
    kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(content, 9, mtime=0)
    digest = hashlib.sha256(content).hexdigest()[:12]
    return Asset(content, packed if len(packed) < len(content) else b"", digest, kind)


def _fingerprinted(name: str, asset: Asset) -> str:
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{asset.etag}.{suffix}" if stem else name
