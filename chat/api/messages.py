"""Operations on the messages of a room, and on their reactions."""

from typing import Any

from flask import g

from ..domain.validation import MAX_BODY
from ..rendering.serializers import message_json
from ..services import messages as service
from ..services.context import chat
from ..store.message_reads import PAGE_SIZE as DEFAULT_LIMIT
from ..web.security import address
from .operation import Operations
from .schemas import MAX_INTEGER, NONCE, PAGE_SIZE, integer, string

MESSAGES_PATH = "/rooms/<rid>/messages"
MESSAGE_PATH = f"{MESSAGES_PATH}/<int:seq>"
REACTION_PATH = f"{MESSAGE_PATH}/reactions/<emoji>"
LIST_QUERY = {"before": integer(1), "after": integer(0), "limit": integer(1, PAGE_SIZE)}
POST_FIELDS = {"body": string(MAX_BODY, 1), "nonce": NONCE, "reply": integer(1)}

operations = Operations()


@operations.add("list_messages", "GET", MESSAGES_PATH, "Messages", query=LIST_QUERY)
def list_messages(
    rid: str, before: int | None = None, after: int | None = None, limit: int = DEFAULT_LIMIT
) -> Any:
    """The newest events, or those before or after a number, oldest first."""
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
    """Post; the same nonce and body again is the same message."""
    return get_message(rid, service.post(chat(), g.person, rid, body, nonce, reply))


@operations.add("message", "GET", MESSAGE_PATH, "Message")
def get_message(rid: str, seq: int) -> Any:
    """One event of a room."""
    chat().store.rooms.member(rid, g.person.uid)
    return message_json(chat().store.messages.get(rid, seq))


@operations.add("edit_message", "PATCH", MESSAGE_PATH, "Message", body={"body": string(MAX_BODY)})
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
    """Take a reaction back."""
    service.react(chat(), g.person, rid, seq, emoji, "off")
    return get_message(rid, seq)
