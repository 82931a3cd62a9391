"""The page that finds messages."""

from typing import Any

from flask import Blueprint, g, render_template, request

from ..domain.errors import Busy, Invalid, TooOften
from ..rendering.local_time import today
from ..search.query import parse
from ..services.context import chat
from ..services.search import SearchResults, search
from .htmx import is_panel

bp = Blueprint("search", __name__)


@bp.get("/search")
def page() -> Any:
    """The messages that `q` finds, from the cursor `older` on; for htmx, only the results."""
    q, older = request.args.get("q", ""), request.args.get("older", "")
    query, found, error, status = parse(q, today(g.person.zone)), SearchResults(), "", 200
    try:
        found = search(chat(), g.person, query, older)
    except (Invalid, TooOften, Busy) as refusal:
        error, status = refusal.text, refusal.status
    template = "search/found.html" if is_panel() else "search/page.html"
    shown = {"q": q, "query": query, "found": found, "error": error, "later": bool(older)}
    return render_template(template, **shown), status
