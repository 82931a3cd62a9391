"""Sends one delivery, and handles the program's answer.

A delivery stays in its bot's queue until it succeeds or is given up. If a process dies, a program
may get a message twice, with the same id. Its answer is posted once, because the id is the nonce.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..bridge import await_
from ..domain.errors import ChatError, NotFound, TooOften
from ..domain.events import POST
from ..http_client.public_only import PublicClient
from ..rendering.serializers import message_json, person_json, room_json
from ..store import Person, Store
from ..store.room_kinds import DIRECT
from ..store.webhooks import Delivery
from . import signing
from .queueing import active_webhook, now_ms

PostReply = Callable[[Person, str, str, str], object]
"""Posts a text: author, room id, text, nonce. Raises ChatError, TooOften among them."""


@dataclass(eq=False)
class Sender:
    """`first_wait` is the time in seconds between the first two attempts; `post_reply` posts what
    a program answers, within the limits that everybody has."""

    store: Store
    outbound: PublicClient
    first_wait: float
    post_reply: PostReply

    def attempt(self, delivery: Delivery) -> bool | None:
        """Send a delivery, and store the result. Runs in a greenlet. Returns True if it was
        delivered, False if it failed, None if there is nothing to deliver, or nobody to deliver it
        for. Raises RedisError and OSError if the result cannot be stored."""
        request, hooks = self._request(delivery), self.store.webhooks
        if request is None:
            return None
        try:
            answer = await_(self.outbound.post(*request))
        except ChatError as error:
            self.fail(delivery, error.text)
            return False
        if 200 <= answer.status < 300:
            result = self._reply(delivery, signing.reply_text(answer))
            hooks.done(delivery)
            hooks.log_attempt(delivery, now_ms(self.store), result)
            return True
        if answer.status == 410:
            why = "The program answered 410 (Gone)."
            hooks.log_attempt(delivery, now_ms(self.store), why)
            hooks.switch_off(delivery.uid, why)
            return None
        is_redirect = 300 <= answer.status < 400
        why = f"The program answered {answer.status}."
        why += " Redirects are not followed." if is_redirect else ""
        self.fail(delivery, why, signing.requested_wait(answer, self.store.clock.now()))
        return False

    def fail(self, delivery: Delivery, why: str, wait: float = 0.0) -> None:
        """Schedule another try after at least `wait` seconds, or give up."""
        hooks, tries = self.store.webhooks, delivery.tries + 1
        if tries >= signing.MAX_TRIES:
            hooks.done(delivery)
            hooks.log_attempt(delivery, now_ms(self.store), f"{why} Given up.")
            return
        wait = max(wait, signing.retry_wait(tries, self.first_wait))
        hooks.retry(delivery, now_ms(self.store) + int(wait * 1000))
        hooks.log_attempt(delivery, now_ms(self.store), why)

    # The request

    def _request(self, delivery: Delivery) -> tuple[str, bytes, dict[str, str]] | None:
        """Return the address, the body and the headers; None if there is nothing left to
        deliver."""
        active = active_webhook(self.store, delivery.uid)
        if active is None:
            return None
        bot, hook = active
        message = self._message(delivery)
        if message is None:
            self.store.webhooks.done(delivery)
            return None
        is_direct = message["room"]["kind"] == DIRECT
        event = {"event": "direct" if is_direct else "mention", "bot": person_json(bot), **message}
        body = json.dumps(event, ensure_ascii=False).encode()
        now = now_ms(self.store) // 1000
        return hook.address, body, signing.signed_headers(hook.secret, delivery.did, body, now)

    def _message(self, delivery: Delivery) -> dict[str, Any] | None:
        """Return the room and the message as the API gives them to the bot; None if the message was
        deleted or the bot has left the room."""
        try:
            room = self.store.rooms.member(delivery.rid, delivery.uid)
            event = self.store.messages.get(delivery.rid, delivery.seq)
        except NotFound:
            return None
        is_there = event.kind == POST
        return {"room": room_json(room), "message": message_json(event)} if is_there else None

    # The answer

    def _reply(self, delivery: Delivery, text: str) -> str:
        """Post the program's reply, and return the result of the delivery. If the bot has reached
        the rate limit for messages, the reply waits, and so do the bot's next deliveries. Nothing
        is lost."""
        if not text:
            return "Delivered."
        while active := active_webhook(self.store, delivery.uid):
            bot, _ = active
            try:
                if self.store.messages.posted(delivery.rid, bot, delivery.did) is None:
                    self.post_reply(bot, delivery.rid, text, delivery.did)
                return "Delivered, and the reply was posted."
            except TooOften as error:
                await_(asyncio.sleep(float(error.headers["Retry-After"])))
            except ChatError as error:
                return f"Delivered, but the reply was not posted: {error.text}"
        return "Delivered. The reply was not posted, because the bot was stopped in the meantime."
