"""Operations on the messages of a room, and on their reactions."""

from typing import Any

from flask import g

from ..domain.validation import MAX_BODY
from ..rendering.serializers import message_json
from ..services import messages as service
from ..services.context import chat
from ..store.message_reads import PAGE_SIZE as DEFAULT_LIMIT
from ..web.security import address
from .operation import Operation
from .rooms import ROOM_PATH
from .schemas import MAX_INTEGER, NONCE, PAGE_SIZE, integer, string


def list_messages(
    rid: str, before: int | None = None, after: int | None = None, limit: int = DEFAULT_LIMIT
) -> Any:
    found, store = chat().store.rooms.member(rid, g.person.uid), chat().store.messages
    if after is not None:
        events = store.after(rid, after, limit)
    else:
        events = store.before(rid, before or MAX_INTEGER, limit)
    return {"messages": [message_json(event) for event in events], "newest": found.seq}


def post_message(rid: str, body: str, nonce: str = "", reply: int = 0) -> Any:
    return get_message(rid, service.post(chat(), g.person, rid, body, nonce, reply))


def get_message(rid: str, seq: int) -> Any:
    chat().store.rooms.member(rid, g.person.uid)
    return message_json(chat().store.messages.get(rid, seq))


def edit_message(rid: str, seq: int, body: str) -> Any:
    service.edit(chat(), g.person, rid, seq, body, address())
    return get_message(rid, seq)


def delete_message(rid: str, seq: int) -> None:
    service.delete(chat(), g.person, rid, seq, address())


def add_reaction(rid: str, seq: int, emoji: str) -> Any:
    service.react(chat(), g.person, rid, seq, emoji, "on")
    return get_message(rid, seq)


def remove_reaction(rid: str, seq: int, emoji: str) -> Any:
    service.react(chat(), g.person, rid, seq, emoji, "off")
    return get_message(rid, seq)


MESSAGES_PATH = f"{ROOM_PATH}/messages"
MESSAGE_PATH = f"{MESSAGES_PATH}/<int:seq>"
REACTION_PATH = f"{MESSAGE_PATH}/reactions/<emoji>"
OPERATIONS = [
    Operation(
        "list_messages",
        "GET",
        MESSAGES_PATH,
        "The newest events, or those before or after a number, oldest first",
        list_messages,
        "Messages",
        query={"before": integer(1), "after": integer(0), "limit": integer(1, PAGE_SIZE)},
    ),
    Operation(
        "post_message",
        "POST",
        MESSAGES_PATH,
        "Post; the same nonce and body again is the same message",
        post_message,
        "Message",
        {"body": string(MAX_BODY, 1), "nonce": NONCE, "reply": integer(1)},
        ("body",),
        status=201,
        write_only_fields=("seq",),
    ),
    Operation("message", "GET", MESSAGE_PATH, "One event of a room", get_message, "Message"),
    Operation(
        "edit_message",
        "PATCH",
        MESSAGE_PATH,
        "Edit a message",
        edit_message,
        "Message",
        {"body": string(MAX_BODY)},
        ("body",),
    ),
    Operation(
        "delete_message",
        "DELETE",
        MESSAGE_PATH,
        "Delete a message for everyone",
        delete_message,
        status=204,
    ),
    Operation(
        "react", "PUT", REACTION_PATH, "React to a message with an emoji", add_reaction, "Message"
    ),
    Operation(
        "take_back", "DELETE", REACTION_PATH, "Take a reaction back", remove_reaction, "Message"
    ),
]
