"""The errors that people see, with their HTTP status.

ChatError
 ├── Invalid        400  the input is invalid; the text says what to change
 │    └── OverQuota 413  the files do not fit into a quota
 ├── Unauthorized   401  a program sent no valid token
 ├── NotFound       404  the object does not exist, or this person cannot see it
 ├── NotMember      403  the person has not joined this open room
 ├── Refused        403  the person has no right to do this, or it is not possible now
 ├── Misdirected    421  the request names a host other than this chat's
 ├── TooOften       429  a person or an address exceeded a limit
 ├── SiteAway       502  another site does not respond correctly
 ├── Busy           503  too many slow requests are waiting
 ├── FilesAway      503  the file storage is full, or cannot be reached
 └── StoreAway      503  Redis cannot be reached; nothing was lost

One handler turns an error into a page. The live socket shows it next to the message that caused it.
"""

import math
from collections.abc import Mapping


class ChatError(Exception):
    """An error in plain words. `text` is shown to the person unchanged."""

    status = 500
    title = "Something went wrong"
    text = ""  # for errors that always have the same text
    headers: Mapping[str, str] = {}  # of the HTTP response

    def __init__(self, text: str = "") -> None:
        self.text = text or self.text
        super().__init__(self.text)


class Invalid(ChatError):
    status = 400
    title = "That does not work"


class OverQuota(Invalid):
    status = 413
    title = "Not enough space for these files"


class Unauthorized(ChatError):
    status = 401
    title = "Please sign in"
    headers: Mapping[str, str] = {"WWW-Authenticate": "Bearer"}


class NotFound(ChatError):
    status = 404
    title = "Not found"


class NotMember(ChatError):
    status = 403
    title = "You are not in this room"


class Refused(ChatError):
    status = 403
    title = "That is not possible"


class Misdirected(ChatError):
    status = 421
    title = "Wrong address"


class TooOften(ChatError):
    """`wait`: seconds after which it is worth trying again."""

    status = 429
    title = "Too many requests"

    def __init__(self, text: str, wait: float) -> None:
        super().__init__(text)
        self.headers = {"Retry-After": str(math.ceil(wait))}


class SiteAway(ChatError):
    status = 502
    title = "Another site is not responding"


class Busy(ChatError):
    status = 503
    title = "The server is busy"
    text = "The server is busy. Nothing you wrote is lost. Try again in a moment."
    headers: Mapping[str, str] = {"Retry-After": "2"}


class FilesAway(ChatError):
    status = 503
    title = "The file storage is unavailable"
    text = (
        "The server cannot reach its file storage, or the storage is full. Nothing you wrote "
        "is lost. Try again later, or send the text without files."
    )


class StoreAway(ChatError):
    status = 503
    title = "The database is unavailable"
    text = "The server cannot reach its database. Nothing you wrote is lost. Try again in a moment."
