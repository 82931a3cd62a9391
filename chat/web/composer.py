"""The composer: a row of forms, each with a nonce that makes a resend a repeat."""

import secrets
from typing import Any

from flask import Blueprint, abort, render_template, request
from flask import session as cookie

bp = Blueprint("composer", __name__)


def new_nonce() -> str:
    """The name of one form: unguessable and unique."""
    return secrets.token_urlsafe(9)


def sent_nonce() -> str:
    """The nonce of the form that was sent, "" where it has none."""
    nonce = request.form.get("nonce", "")
    return nonce if is_nonce(nonce) else ""


def is_nonce(text: str) -> bool:
    """True for what may stand in an element's id and in a key."""
    return (
        0 < len(text) <= 64 and text.isascii() and text.replace("-", "").replace("_", "").isalnum()
    )


@bp.get("/rooms/<rid>/composer")
def next_composer(rid: str) -> Any:
    """The next form, to be put behind the one named `after`. It asks Redis nothing, so that
    people can go on writing while Redis is away; what is posted is checked then."""
    after = request.args.get("after", "")
    if "uid" not in cookie or not is_nonce(after) or not is_nonce(rid):
        abort(404)
    return render_template("rooms/composer.html", rid=rid, nonce=new_nonce(), after=after)
