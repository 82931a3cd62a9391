"""Operations on the files of messages."""

import tempfile
from shutil import copyfileobj
from typing import IO, Any, cast

from flask import g, request

from ..domain.file_types import MOST_NAME
from ..domain.validation import MAX_BODY
from ..media.attachments import Upload
from ..services import messages
from ..services.context import chat, present
from ..web import file_responses, upload_limits
from .messages import get_message
from .operation import Operation
from .rooms import ROOM_PATH
from .schemas import NONCE, integer, string

MAX_BYTES_IN_MEMORY = 1 << 16  # of a file while it comes in; what is longer goes to the disk


def post_file(rid: str, name: str, body: str = "", nonce: str = "", reply: int = 0) -> Any:
    chat().store.rooms.member(rid, g.person.uid)
    upload_limits.begin(present(), g.person.uid, chat().attachments.max_message_bytes)
    with tempfile.SpooledTemporaryFile(MAX_BYTES_IN_MEMORY) as spooled:
        copyfileobj(request.stream, spooled, MAX_BYTES_IN_MEMORY)
        sent = [Upload(name, cast(IO[bytes], spooled))]
        return get_message(rid, messages.post(chat(), g.person, rid, body, nonce, reply, sent))


def get_file(rid: str, fid: str) -> Any:
    return file_responses.file_response(rid, chat().store.messages.file(rid, g.person.uid, fid))


OPERATIONS = [
    Operation(
        "post_file",
        "POST",
        f"{ROOM_PATH}/files",
        "Post a file: its bytes are the body of the request",
        post_file,
        "Message",
        required=("name",),
        query={
            "name": string(MOST_NAME, 1),
            "body": string(MAX_BODY),
            "nonce": NONCE,
            "reply": integer(1),
        },
        status=201,
        is_file=True,
        write_only_fields=("seq",),
    ),
    Operation(
        "get_file", "GET", f"{ROOM_PATH}/files/<fid>", "A file of a message", get_file, "File"
    ),
]
