"""The page on which visitors create accounts."""

from typing import Any

from flask import Blueprint, render_template
from werkzeug.exceptions import NotFound as NoPage

from ..domain.errors import Refused
from ..services.context import chat
from .auth import check_network, current_person
from .nonces import sent_nonce
from .security import network
from .sign_in_forms import can_sign_up, new_account, sign_in_and_go_on, typed
from .view_options import shows_errors_on

bp = Blueprint("sign_up", __name__)


@bp.before_request
def only_where_allowed() -> None:
    """Raise 404 if visitors may not create accounts."""
    if not can_sign_up():
        raise NoPage


@bp.get("/sign-up")
def page(error: str = "") -> Any:
    return render_template("sign_up.html", first=False, **typed(error))


@bp.post("/sign-up")
@shows_errors_on(page, Refused)
def sign_up() -> Any:
    """Create an account. A guest stays the same person."""
    check_network()
    chat().limits.use("sign-up", network())
    login, name, password = new_account()
    accounts, guest = chat().store.accounts, current_person()
    person = accounts.create(login, name, password, guest, nonce=sent_nonce())
    return sign_in_and_go_on(person, "password")
