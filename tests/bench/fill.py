"""Fills a chat's database with people, rooms and messages: with the chat's own code where that is
fast enough, otherwise by copying entries that it has made."""

import redis
from flask import session as cookie

from chat.app import create_app
from chat.config import Settings
from chat.store import Store, keys
from chat.web import auth
from tests.bench.texts import body

BATCH = 1000  # copies in one round trip

# Repeats the last entries of a room's stream. KEYS: the stream and the room's hash; ARGV: how many
# entries to add. Numbers stay consecutive; the next message corrects the room's last line.
_REPEAT = """
local seen = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 50)
local seq = tonumber(redis.call('HGET', KEYS[2], 'seq'))
for n = 1, tonumber(ARGV[1]) do
  redis.call('XADD', KEYS[1], string.format('%d-0', seq + n), unpack(seen[n % #seen + 1][2]))
end
redis.call('HSET', KEYS[2], 'seq', string.format('%d', seq + tonumber(ARGV[1])))
"""


class Filler:
    """A connection to a chat's database. secret: the chat's SECRET_KEY, which signs cookies;
    folder: where the application may write."""

    def __init__(self, url, secret, folder):
        self.client = redis.Redis.from_url(url, decode_responses=True)
        settings = Settings(redis_url=url, secret_key=secret, data=folder)
        self.app = create_app(settings, Store(self.client))
        self.store = self.app.store
        self.count = 0  # people who have ever been created
        self.people = []  # the people who were created last

    def come(self, count):
        """Create this many people, who are signed in and in no room. Returns their Cookie
        headers."""
        names = (f"Bench {number + 1}" for number in range(self.count, self.count + count))
        self.people = [self.store.people.create(name) for name in names]
        self.count += count
        return [f"Cookie: {self._cookie(person)}" for person in self.people]

    def _cookie(self, person):
        """Return the cookie that a browser would have after signing in."""
        with self.app.test_request_context("/"):
            auth.sign_in(person, "guest")
            response = self.app.response_class()
            self.app.session_interface.save_session(self.app, cookie, response)
            return response.headers["Set-Cookie"].partition(";")[0]

    def room(self, people):
        """Create an open room with these people (numbers among those created last). Returns its
        id."""
        members = [self.people[number] for number in people]
        return self.store.rooms.create("Bench", "open", members[0], members)

    def say(self, rid, count):
        """Let the first person post this many messages in a room."""
        for number in range(count):
            self.store.messages.post(rid, self.people[0], body(number))

    def other_rooms(self, count):
        """Make sure that somebody else has about this many open rooms, with three messages each."""
        owner = self.store.people.create("Owner of rooms")
        rid = self.store.rooms.create("Another", "open", owner)
        for number in range(3):
            self.store.messages.post(rid, owner, body(number), f"nonce-{number}")
        stored = {key: self._raw.dump(key) for key in keys.of_room(rid)}
        missing = range(self.client.zcard(keys.OPEN_ROOMS), count)
        for start in range(0, len(missing), BATCH):
            pipeline = self._raw.pipeline(transaction=False)
            for number in missing[start : start + BATCH]:
                copy = f"copy-{number}"
                for key, value in stored.items():
                    if value:
                        pipeline.restore(key.replace(rid, copy), 0, value)
                pipeline.zadd(keys.OPEN_ROOMS, {copy: number})
                pipeline.sadd(keys.user_rooms(owner.uid), copy)
            pipeline.execute()

    @property
    def _raw(self):
        """Return the same connection without decoding, for the answers to DUMP."""
        raw = {**self.client.connection_pool.connection_kwargs, "decode_responses": False}
        kind = self.client.connection_pool.connection_class
        return redis.Redis(connection_pool=redis.ConnectionPool(connection_class=kind, **raw))

    def history(self, rid, count):
        """Make sure that a room has this many events: repeated messages of the bench."""
        self.say(rid, 50)
        repeat = self.client.register_script(_REPEAT)
        missing = count - int(self.client.hget(keys.room(rid), "seq")) - 1
        for start in range(0, missing, 10 * BATCH):
            chunk = min(10 * BATCH, missing - start)
            repeat(keys=[keys.events(rid), keys.room(rid)], args=[chunk])
        self.say(rid, 1)
