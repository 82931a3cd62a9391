"""What somebody has written in a room and not sent, for when they come back to it.

Kept as well as it goes: that Redis fails is no reason to refuse or to end anything, so nothing
here raises RedisError or OSError.
"""

from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from ..domain.errors import Invalid
from ..domain.validation import clean_caption
from . import keys

KEPT_SECONDS = 30 * 24 * 3600  # seconds after the last change of any of a person's drafts


class Drafts:
    def __init__(self, client: Any) -> None:
        self.client = client

    def keep(self, uid: str, rid: str, text: str) -> None:
        """Keep this instead of what was kept; nothing, where it is blank or too long to be
        sent."""
        kept = _clean(text)
        pipeline = self.client.pipeline(transaction=False)
        if kept:
            pipeline.hset(keys.drafts(uid), rid, kept)
            pipeline.expire(keys.drafts(uid), KEPT_SECONDS)
        else:
            pipeline.hdel(keys.drafts(uid), rid)
        with suppress(RedisError, OSError):
            pipeline.execute()

    def of(self, uid: str, rid: str) -> str:
        """What is kept, "" for nothing."""
        with suppress(RedisError, OSError):
            return self.client.hget(keys.drafts(uid), rid) or ""
        return ""

    def sent(self, uid: str, rid: str, body: str) -> None:
        """A message was stored from a composer that may not be the one whose text is kept: that is
        let go where it is the message, or its beginning."""
        kept = self.of(uid, rid)
        if kept and _clean(body).startswith(kept):
            self.keep(uid, rid, "")


def _clean(text: str) -> str:
    try:
        return clean_caption(text)
    except Invalid:
        return ""
