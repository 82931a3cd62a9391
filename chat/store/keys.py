"""Every key and channel that the chat uses in Redis; no other module formats one.

The keys of a room have the hash tag {room id}, those of a person {user id}. So each group is in one
slot of a Redis Cluster, and no script touches two groups.

| key                       | type   | contents                                                 |
|---------------------------|--------|----------------------------------------------------------|
| chat:room:{r}             | hash   | rid, its own id; name, about, kind, owner, epoch,        |
|                           |        | created (ms); seq, the number of the newest event; last, |
|                           |        | the newest event that is not silent, as `<seq> <at>      |
|                           |        | <data>`; first, the oldest number that is kept, if older |
|                           |        | ones were trimmed. The name of a direct room is the ids  |
|                           |        | of its members                                           |
| chat:room:{r}:events      | stream | entry <seq>-0: at (ms), data (events.StoredEvent)        |
| chat:room:{r}:members     | zset   | user ids by the time of joining (ms)                     |
| chat:room:{r}:edits       | hash   | number of a message: its present body, if it was edited  |
| chat:room:{r}:reactions   | hash   | number of a message: its reactions (scripts/react.lua)   |
| chat:room:{r}:quiet       | zset   | numbers of events that do not count as unread            |
| chat:room:{r}:files       | zset   | ids of files by the number of their message              |
| chat:room:{r}:mentions    | hash   | number of a message: whom it mentions (mentions.pack)    |
| chat:room:{r}:mentioned   | zset   | `<user id> <at> <number>` for each mention, all 0: the   |
|                           |        | mentions of a person in order of time                    |
| chat:room:{r}:nonces      | zset   | author, nonce and digest of recent posts, by number      |
| chat:room:{r}:past        | zset   | the members when the room ended, until it is gone from   |
|                           |        | their lists (room_pointers)                              |
| chat:room:{r}:read        | hash   | user id: number of the newest event the person has seen  |
| chat:room:{r}:…:made      |        | parts of a room that is being imported                   |
| chat:user:{u}             | hash   | uid, its own id; name, role and the rest of person.Person|
| chat:user:{u}:sessions    | hash   | session id: how, where and when (sessions.Session)       |
| chat:user:{u}:rooms       | set    | ids of joined rooms (the truth is in their members)      |
| chat:user:{u}:levels      | hash   | room id: the notification level, if it is not the        |
|                           |        | default (notifications.LEVELS)                           |
| chat:user:{u}:drafts      | hash   | room id: what the person has typed and not sent          |
| chat:user:{u}:pages       | hash   | process: how many pages the person has open there        |
| chat:user:{u}:tokens      | set    | digests of the API tokens of this person or bot          |
| chat:user:{u}:hook        | hash   | a bot's webhook (webhooks.Webhook)                       |
| chat:user:{u}:hook:rooms  | hash   | room id: number up to which the webhook was queued for   |
| chat:user:{u}:hook:queue  | zset   | `<room id> <number>` to deliver, by the due time (ms)    |
| chat:user:{u}:hook:tries  | hash   | the same: how many attempts have failed                  |
| chat:user:{u}:hook:log    | list   | results of attempts (webhooks.Attempt), newest first     |
| chat:login:{l}            | string | user id of the account with this login                   |
| chat:subject:{s}          | string | user id of a person of another site, by a digest         |
| chat:used:{s}             | string | exists if the signed token with this digest was used     |
| chat:reset:{s}            | string | user id of the password link with this digest            |
| chat:admin                | string | login (or id) of the first administrator                 |
| chat:first-run            | zset   | digests of the links for the first administrator, by the |
|                           |        | time (s) until which they work                           |
| chat:schema               | string | number of the schema (migrations.Schema)                 |
| chat:schema:lease         | string | the server that migrates                                 |
| chat:trim:lease           | string | the process that trims old messages                      |
| chat:files                | string | name of the place that has the files of this database    |
| chat:files:lease          | string | the process that deletes files without a message         |
| chat:{stored}:files       | hash   | file id: `<user id> <bytes> <time (s)> <room id> <1>`,   |
|                           |        | the 1 for a file of a guest (stored_files.StoredFiles)   |
| chat:{stored}:people      | zset   | user ids by the bytes of their files                     |
| chat:{stored}:all         | hash   | bytes, of all files; guests, of those of guests          |
| chat:guests:lease         | string | the process that forgets absent guests                   |
| chat:guests:gone          | zset   | user ids of guests without a session, by the time (s)    |
|                           |        | since when this is known                                 |
| chat:audit                | stream | the audit log (audit_log.AuditEntry)                     |
| chat:banned               | zset   | `<network> <user id>`, all 0: the network is banned      |
|                           |        | because of this person                                   |
| chat:throttle:{w}:{x}     | string | when the bucket of `whose` for `what` is full again (µs) |
| chat:pages:{a}            | hash   | process: how many pages an address has open there        |
| chat:processes            | zset   | processes by the time (s) until which they are alive     |
| chat:here                 | zset   | user ids by the time (s) until which they are present    |
| chat:untold:{chat:here}   | zset   | user ids of people who came or went and were not         |
|                           |        | announced yet, by the time (s) at which a process began  |
|                           |        | to announce them. The same slot as chat:here             |
| chat:looked:{chat:here}   | string | time (s) of the last check of who is present             |
| chat:bots                 | set    | user ids of the bots                                     |
| chat:token:{t}            | hash   | an API token by the digest of its secret (tokens.Token)  |
| chat:hooks                | set    | user ids of the bots that have a webhook                 |
| chat:hooks:lease          | string | the process that delivers to webhooks                    |
| chat:names                | zset   | `<name from one of its words on>\\0<user id>`, all 0      |
| chat:lookalikes           | zset   | `<what a name looks like>\\0<user id>`, all 0             |
| chat:rooms:open           | zset   | ids of the open rooms, by time of creation               |
| chat:{random}:rooms       | zset   | ids of the random rooms by seats taken                   |
| chat:{random}:seats       | zset   | `<user id> <room id>` for each seat taken, all 0         |
| chat:{random}:count       | string | how many random rooms there ever were                    |
| chat:{random}:given:{u} {n}| string| id of the random room that this person's form with this  |
|                           |        | nonce has joined                                         |
| chat:unfinished           | set    | `[kind, …what it is about, random]`: changes that have   |
|                           |        | begun and not ended (unfinished)                         |
| chat:unfinished:lease     | string | the process that finishes them                           |

Some stored names are older than those in Python:

| stored                            | in Python                                                |
|-----------------------------------|----------------------------------------------------------|
| off, of chat:user:{u}             | Person.deactivated                                       |
| …:quiet                           | keys.uncounted, events.UNCOUNTED, Row.uncounted          |
| …:past                            | keys.past_members                                        |
| …:levels                          | keys.notification_levels, Row.notification_level         |
| …:hook, chat:hooks                | keys.webhook, keys.WEBHOOKS                              |
| …:hook:rooms                      | keys.webhook_cursors                                     |
| …:hook:tries                      | keys.webhook_attempts                                    |
| chat:throttle                     | keys.rate_limit                                          |
| chat:first-run                    | keys.SETUP_LINKS                                         |
| chat:here, chat:untold,           | keys.PRESENT, keys.UNANNOUNCED, keys.PRESENCE_CHECKED    |
| chat:looked                       |                                                          |
| {stored}                          | StoredFiles; keys.STORED                                 |

Channels are sharded (SPUBLISH) and have the same hash tags, because a script publishes on the node
that has its keys. chat:room:{r} carries events as `<seq> <at> <data>`, and signals: `~new` to read
the stream again (after an import), `~here` after a member came or went, `~<user id>` after a member
changed name or picture, `~typing <user id>` and `~typed <user id>` when a member types and has sent
a message. Any message on chat:user:{u} says that the person's sessions, rooms or rights changed and
are to be read again. chat:hooks carries the id of a bot whose webhook changed, and chat:rooms the
id of a new room.
"""

import hashlib
import secrets
from collections.abc import Callable
from functools import lru_cache

OPEN_ROOMS = "chat:rooms:open"
NAMES = "chat:names"
LOOKALIKES = "chat:lookalikes"
BOTS = "chat:bots"
WEBHOOKS = "chat:hooks"
ROOMS = "chat:rooms"
RELOAD = "~new"  # the signal that the stream of a room has more than was published
WEBHOOKS_LEASE = "chat:hooks:lease"
PRESENT = "chat:here"
UNANNOUNCED = "chat:untold:{chat:here}"  # in the slot of PRESENT, like the next
PRESENCE_CHECKED = "chat:looked:{chat:here}"
PROCESSES = "chat:processes"
FIRST_ADMIN = "chat:admin"
SETUP_LINKS = "chat:first-run"
AUDIT = "chat:audit"
BANNED = "chat:banned"
SCHEMA = "chat:schema"
SCHEMA_LEASE = "chat:schema:lease"
TRIM_LEASE = "chat:trim:lease"
FILES = "chat:files"
FILES_LEASE = "chat:files:lease"
GUESTS_LEASE = "chat:guests:lease"
GUESTS_GONE = "chat:guests:gone"
STORED = "chat:{stored}:files", "chat:{stored}:people", "chat:{stored}:all"
RANDOM_ROOMS = "chat:{random}:rooms"
RANDOM_SEATS = "chat:{random}:seats"
RANDOM_COUNT = "chat:{random}:count"
UNFINISHED = "chat:unfinished"
UNFINISHED_LEASE = "chat:unfinished:lease"


def new_id() -> str:
    """A new id of a room or a person: 128 random bits in 22 characters that URLs allow. It never
    begins with "-", which the console would take for an option."""
    while (made := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return made


def digest(text: str) -> str:
    """SHA-256 of a text as hexadecimal digits: of a secret, nobody can find it out from them."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def direct_room_id(uids: list[str]) -> str:
    """The id of the direct room of these people, in the order of their ids."""
    return digest(" ".join(uids))[:32]


def repeatable_id(*said: str) -> str:
    """Return an id made from these texts. One of them is a nonce, so a repeated request gets the
    same id."""
    return digest("\0".join(said))[:32]


def _keys_of(noun: str, part: str = "") -> Callable[[str], str]:
    """Return a function that makes the key `chat:<noun>:{<id>}:<part>` from an id."""
    before, behind = f"chat:{noun}:{{", f"}}:{part}" if part else "}"
    return lambda ident: f"{before}{ident}{behind}"


room = room_channel = _keys_of("room")  # a channel is named like the key
events = _keys_of("room", "events")
members = _keys_of("room", "members")
edits = _keys_of("room", "edits")
reactions = _keys_of("room", "reactions")
uncounted = _keys_of("room", "quiet")
files = _keys_of("room", "files")
mentions = _keys_of("room", "mentions")
mentioned = _keys_of("room", "mentioned")
nonces = _keys_of("room", "nonces")
past_members = _keys_of("room", "past")
read = _keys_of("room", "read")
user = user_channel = _keys_of("user")
sessions = _keys_of("user", "sessions")
user_rooms = _keys_of("user", "rooms")
notification_levels = _keys_of("user", "levels")
drafts = _keys_of("user", "drafts")
user_pages = _keys_of("user", "pages")
tokens = _keys_of("user", "tokens")
webhook = _keys_of("user", "hook")
webhook_cursors = _keys_of("user", "hook:rooms")
webhook_queue = _keys_of("user", "hook:queue")
webhook_attempts = _keys_of("user", "hook:tries")
webhook_log = _keys_of("user", "hook:log")
login = _keys_of("login")
address_pages = "chat:pages:{}".format
token = "chat:token:{}".format
subject = "chat:subject:{}".format
used = "chat:used:{}".format
reset = "chat:reset:{}".format
rate_limit = "chat:throttle:{}:{}".format
given_seat = "chat:{{random}}:given:{} {}".format

# The keys of a room by name, in the order in which Python and the scripts with `@room` (store.lua)
# have them. The last two are left out for a message without mentions.
ROOM_KEYS: dict[str, Callable[[str], str]] = {
    "room": room,
    "events": events,
    "members": members,
    "read": read,
    "nonces": nonces,
    "edits": edits,
    "reactions": reactions,
    "uncounted": uncounted,
    "files": files,
    "mentions": mentions,
    "mentioned": mentioned,
}

# The keys of a bot's webhook by name, in the order in which Python and the scripts with `@webhook`
# have them.
WEBHOOK_KEYS: dict[str, Callable[[str], str]] = {
    "webhook": webhook,
    "cursors": webhook_cursors,
    "queue": webhook_queue,
    "attempts": webhook_attempts,
    "log": webhook_log,
}


@lru_cache(maxsize=4096)
def of_room(rid: str) -> tuple[str, ...]:
    """The ROOM_KEYS of a room; cached, because formatting them took a twentieth of the time of a
    post."""
    return tuple(make(rid) for make in ROOM_KEYS.values())


def of_ending(rid: str) -> tuple[str, ...]:
    """Return the keys that the end of a room changes."""
    return (*of_room(rid), past_members(rid))


def imported(rid: str) -> dict[str, str]:
    """The temporary keys of a room that is being imported, by their names in ROOM_KEYS (without
    "room")."""
    return {name: f"{make(rid)}:made" for name, make in ROOM_KEYS.items() if name != "room"}


def parse_channel(channel: str) -> tuple[str, str]:
    """Return "room" or "user", whichever a channel belongs to, and the id."""
    _, what, ident = channel.split(":", 2)
    return what, ident[1:-1]


def of_webhook(uid: str) -> list[str]:
    """The WEBHOOK_KEYS of a bot."""
    return [make(uid) for make in WEBHOOK_KEYS.values()]
