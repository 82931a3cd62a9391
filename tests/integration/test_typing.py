"""The note that somebody is typing is shown until their message arrives."""

from chat.store import keys

from ..running import Visitor
from .page import Page


def test_who_has_sent_the_message_is_not_shown_typing_afterwards(server, ann, bob, tea):
    """Both words may come at once: a text is pasted and sent. The name has to be read first."""
    cyd = Visitor(server.url, "Cyd")
    page = Page(bob).watch(tea)
    page.wait_for("created this room")
    with server.redis() as database:
        channel = keys.room_channel(tea)
        with database.pipeline() as pipeline:
            for word in (f"~typing {ann.uid}", f"~typed {ann.uid}"):
                pipeline.spublish(channel, word)
            pipeline.execute()
        database.spublish(channel, f"~typing {cyd.uid}")
    told = page.wait_for(f'id="typing-{cyd.uid}"') and "".join(page.frames)
    assert f'id="typing-{ann.uid}"' not in told.rpartition(f"#typing-{ann.uid}")[2]
    with server.redis() as database:
        database.spublish(channel, f"~typing {ann.uid}")
        page.wait_for(f'id="typing-{ann.uid}"')
