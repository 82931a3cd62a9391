"""The operation that finds messages."""

from typing import Any

from flask import g

from ..rendering.local_time import today
from ..rendering.serializers import message_json
from ..search.query import MAX_QUERY_CHARS, parse
from ..services import search
from ..services.context import chat
from .operation import Operations
from .schemas import PAGE_SIZE, integer, string

MAX_CURSOR_CHARS = 200
QUERY = {
    "q": string(MAX_QUERY_CHARS),
    "older": string(MAX_CURSOR_CHARS),
    "limit": integer(1, PAGE_SIZE),
}

operations = Operations()


@operations.add("find", "GET", "/search", "Hits", query=QUERY)
def find_messages(q: str = "", older: str = "", limit: int = search.PAGE_SIZE) -> Any:
    """Find messages in one's rooms, the newest first; the words as in the page's field."""
    query = parse(q, today(g.person.zone))
    found = search.search(chat(), g.person, query, older, limit)
    hits = [{"room": hit.room.rid, "message": message_json(hit.event)} for hit in found.hits]
    return {"hits": hits, "older": found.older}
