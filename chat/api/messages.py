"""Operations on messages, their files and reactions, and the search for them."""

import tempfile
from shutil import copyfileobj
from typing import IO, Any, cast

from flask import g, request

from ..domain.file_types import MAX_FILE_NAME_CHARS
from ..domain.validation import MAX_BODY_CHARS
from ..media.attachments import Upload
from ..rendering.local_time import today
from ..rendering.serializers import message_json
from ..search.query import MAX_QUERY_CHARS, parse
from ..services import messages as service
from ..services import search
from ..services.context import chat, present
from ..store.message_reads import PAGE_SIZE as DEFAULT_LIMIT
from ..web import file_responses, upload_limits
from ..web.security import address
from .operation import Operations
from .schemas import MAX_INTEGER, NONCE, PAGE_SIZE, integer, string

MESSAGES_PATH = "/rooms/<rid>/messages"
MESSAGE_PATH = f"{MESSAGES_PATH}/<int:seq>"
REACTION_PATH = f"{MESSAGE_PATH}/reactions/<emoji>"
LIST_QUERY = {"before": integer(1), "after": integer(0), "limit": integer(1, PAGE_SIZE)}
POST_FIELDS = {"body": string(MAX_BODY_CHARS, 1), "nonce": NONCE, "reply": integer(1)}
MAX_BYTES_IN_MEMORY = 1 << 16  # of an uploaded file; a longer one is written to a temporary file
FILE_QUERY = {"name": string(MAX_FILE_NAME_CHARS, 1), **POST_FIELDS, "body": string(MAX_BODY_CHARS)}
MAX_SEARCH_CURSOR_CHARS = 200  # that name a place in the results of a search
SEARCH_QUERY = {
    "q": string(MAX_QUERY_CHARS),
    "older": string(MAX_SEARCH_CURSOR_CHARS),
    "limit": integer(1, PAGE_SIZE),
}

operations = Operations()


@operations.add("list_messages", "GET", MESSAGES_PATH, "Messages", query=LIST_QUERY)
def list_messages(
    rid: str, before: int | None = None, after: int | None = None, limit: int = DEFAULT_LIMIT
) -> Any:
    """The newest events of a room, or those before or after a number, oldest first."""
    found, store = chat().store.rooms.member(rid, g.person.uid), chat().store.messages
    if after is not None:
        events = store.after(rid, after, limit)
    else:
        events = store.before(rid, before or MAX_INTEGER, limit)
    return {"messages": [message_json(event) for event in events], "newest": found.seq}


@operations.add(
    "post_message", "POST", MESSAGES_PATH, "Message", body=POST_FIELDS, status=201, id_field="seq"
)
def post_message(rid: str, body: str, nonce: str = "", reply: int = 0) -> Any:
    """Post a message; repeating the same nonce and body returns the same message."""
    return get_message(rid, service.post(chat(), g.person, rid, body, nonce, reply))


@operations.add("message", "GET", MESSAGE_PATH, "Message")
def get_message(rid: str, seq: int) -> Any:
    """One event of a room."""
    chat().store.rooms.member(rid, g.person.uid)
    return message_json(chat().store.messages.get(rid, seq))


@operations.add(
    "edit_message", "PATCH", MESSAGE_PATH, "Message", body={"body": string(MAX_BODY_CHARS)}
)
def edit_message(rid: str, seq: int, body: str) -> Any:
    """Edit a message."""
    service.edit(chat(), g.person, rid, seq, body, address())
    return get_message(rid, seq)


@operations.add("delete_message", "DELETE", MESSAGE_PATH)
def delete_message(rid: str, seq: int) -> None:
    """Delete a message for everyone."""
    service.delete(chat(), g.person, rid, seq, address())


@operations.add("react", "PUT", REACTION_PATH, "Message")
def add_reaction(rid: str, seq: int, emoji: str) -> Any:
    """React to a message with an emoji."""
    service.react(chat(), g.person, rid, seq, emoji, "on")
    return get_message(rid, seq)


@operations.add("take_back", "DELETE", REACTION_PATH, "Message")
def remove_reaction(rid: str, seq: int, emoji: str) -> Any:
    """Remove your reaction."""
    service.react(chat(), g.person, rid, seq, emoji, "off")
    return get_message(rid, seq)


@operations.add(
    "post_file",
    "POST",
    "/rooms/<rid>/files",
    "Message",
    query=FILE_QUERY,
    status=201,
    is_file=True,
    id_field="seq",
)
def post_file(rid: str, name: str, body: str = "", nonce: str = "", reply: int = 0) -> Any:
    """Post a file: its bytes are the body of the request."""
    chat().store.rooms.member(rid, g.person.uid)
    upload_limits.begin(present(), g.person.uid, chat().attachments.max_message_bytes)
    with tempfile.SpooledTemporaryFile(MAX_BYTES_IN_MEMORY) as spooled:
        copyfileobj(request.stream, spooled, MAX_BYTES_IN_MEMORY)
        sent = [Upload(name, cast(IO[bytes], spooled))]
        return get_message(rid, service.post(chat(), g.person, rid, body, nonce, reply, sent))


@operations.add("get_file", "GET", "/rooms/<rid>/files/<fid>", "File")
def get_file(rid: str, fid: str) -> Any:
    """A file of a message."""
    return file_responses.file_response(rid, chat().store.messages.file(rid, g.person.uid, fid))


@operations.add("find", "GET", "/search", "Hits", query=SEARCH_QUERY)
def find_messages(q: str = "", older: str = "", limit: int = search.PAGE_SIZE) -> Any:
    """Find messages in your rooms, newest first; `q` is as in the search field of the page."""
    query = parse(q, today(g.person.zone))
    found = search.search(chat(), g.person, query, older, limit)
    hits = [{"room": hit.room.rid, "message": message_json(hit.event)} for hit in found.hits]
    return {"hits": hits, "older": found.older}
