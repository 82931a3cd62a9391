"""The page on which visitors create accounts."""

from typing import Any

from flask import Blueprint, render_template
from werkzeug.exceptions import NotFound as NoPage

from ..domain.errors import Busy, Invalid, Refused, TooOften
from ..services.context import chat
from .auth import check_network, current_person
from .nonces import sent_nonce
from .security import network
from .sign_in_forms import can_sign_up, new_account, sign_in_and_go_on, typed

bp = Blueprint("sign_up", __name__)


@bp.before_request
def only_where_allowed() -> None:
    """Raise 404 if visitors may not create accounts."""
    if not can_sign_up():
        raise NoPage


@bp.get("/sign-up")
def page() -> Any:
    return _page()


@bp.post("/sign-up")
def sign_up() -> Any:
    """Create an account. A guest stays the same person."""
    try:
        check_network()
        chat().limits.use("sign-up", network())
        login, name, password = new_account()
        accounts, guest = chat().store.accounts, current_person()
        person = accounts.create(login, name, password, guest, nonce=sent_nonce())
    except (Busy, Invalid, Refused, TooOften) as error:
        return _page(error.text), error.status, error.headers
    return sign_in_and_go_on(person, "password")


def _page(error: str = "") -> str:
    return render_template("sign_up.html", first=False, **typed(error))
