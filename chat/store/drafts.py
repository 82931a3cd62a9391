"""Drafts: what a person has typed in a room and not sent.

A failure of Redis is no reason to refuse a request or to close a page. So nothing here raises
RedisError or OSError, and a draft may be lost.
"""

from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from ..domain.errors import Invalid
from ..domain.validation import clean_caption
from . import keys

DRAFTS_SECONDS = 30 * 24 * 3600  # after the last change of any of a person's drafts


class Drafts:
    def __init__(self, client: Any) -> None:
        self.client = client

    def keep(self, uid: str, rid: str, text: str) -> None:
        """Replace the draft. A text that is blank or too long to be sent deletes it."""
        draft = _clean(text)
        pipeline = self.client.pipeline(transaction=False)
        if draft:
            pipeline.hset(keys.drafts(uid), rid, draft)
            pipeline.expire(keys.drafts(uid), DRAFTS_SECONDS)
        else:
            pipeline.hdel(keys.drafts(uid), rid)
        with suppress(RedisError, OSError):
            pipeline.execute()

    def of(self, uid: str, rid: str) -> str:
        """The draft, "" for none."""
        with suppress(RedisError, OSError):
            return self.client.hget(keys.drafts(uid), rid) or ""
        return ""

    def sent(self, uid: str, rid: str, body: str) -> None:
        """Delete the draft if it is the posted message or its beginning. Otherwise it may belong to
        another composer."""
        draft = self.of(uid, rid)
        if draft and _clean(body).startswith(draft):
            self.keep(uid, rid, "")


def _clean(text: str) -> str:
    try:
        return clean_caption(text)
    except Invalid:
        return ""
