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
from .messages import POST_FIELDS, get_message
from .operation import Operations
from .schemas import string

MAX_BYTES_IN_MEMORY = 1 << 16  # of a file while it comes in; what is longer goes to the disk
FILE_QUERY = {"name": string(MOST_NAME, 1), **POST_FIELDS, "body": string(MAX_BODY)}

operations = Operations()


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
        return get_message(rid, messages.post(chat(), g.person, rid, body, nonce, reply, sent))


@operations.add("get_file", "GET", "/rooms/<rid>/files/<fid>", "File")
def get_file(rid: str, fid: str) -> Any:
    """A file of a message."""
    return file_responses.file_response(rid, chat().store.messages.file(rid, g.person.uid, fid))
