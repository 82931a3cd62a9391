"""Every key and channel the chat uses in Redis, named here and nowhere else.

A room's keys share the hash tag {room id}, a person's share {user id}, so that each lives in
one slot of a Redis Cluster and one script never touches two tags.

| key                       | type   | holds                                                    |
|---------------------------|--------|----------------------------------------------------------|
| chat:room:{r}             | hash   | rid, its own id; name, about, kind, owner, epoch,        |
|                           |        | created; seq, number of                                  |
|                           |        | the newest event, and last, the line of the newest that  |
|                           |        | is something to read; first, the oldest number that is   |
|                           |        | kept, where some are no longer. The name of a direct     |
|                           |        | room is the ids of those in it                           |
| chat:room:{r}:events      | stream | entry <seq>-0: at (ms), data (events.pack)               |
| chat:room:{r}:members     | zset   | user ids by time of joining (ms)                         |
| chat:room:{r}:edits       | hash   | number of a message: its body, where that was changed    |
| chat:room:{r}:reactions   | hash   | number of a message: who reacted how (scripts/react.lua) |
| chat:room:{r}:quiet       | zset   | numbers of what makes no room unread (append.lua)        |
| chat:room:{r}:files       | zset   | ids of files by the number of their message              |
| chat:room:{r}:mentions    | hash   | number of a message: whom it mentions (mentions.pack)    |
| chat:room:{r}:mentioned   | zset   | `<user id> <at> <number>` of the same, all 0: what is in |
|                           |        | it for somebody is read by the id, in order of time      |
| chat:room:{r}:nonces      | zset   | author, nonce and digest of recent posts, by number      |
| chat:room:{r}:past        | zset   | who was in a room when it ended, until their lists lack  |
|                           |        | it (room_pointers)                                       |
| chat:room:{r}:read        | hash   | user id: number of the newest event that person has seen |
| chat:room:{r}:…:made      |        | a room that is being imported, until it is whole         |
| chat:user:{u}             | hash   | uid, its own id; name, role and the rest of person.Person|
| chat:user:{u}:sessions    | hash   | session id: how, where and when (sessions.Session)       |
| chat:user:{u}:rooms       | set    | ids of the rooms joined (their members are the truth)    |
| chat:user:{u}:levels      | hash   | room id: how much of it the person wants to hear, where  |
|                           |        | that is not everything (notifications.LEVELS)            |
| chat:user:{u}:drafts      | hash   | room id: what the person wrote and has not sent          |
| chat:login:{l}            | string | user id of the account with this login                   |
| chat:subject:{s}          | string | user id of who another site knows by this digest         |
| chat:used:{s}             | string | says that the signed token of this digest was used        |
| chat:reset:{s}            | string | user id that a link with this digest sets a password for |
| chat:admin                | string | login (or id) of the first admin                         |
| chat:first-run            | zset   | digests of the links that make the first admin, by the   |
|                           |        | time (s) until which they work                           |
| chat:schema               | string | number of the form in which all this is (schema.Schema)  |
| chat:schema:lease         | string | the server that brings it up to a newer one              |
| chat:trim:lease           | string | the process that lets old messages go                    |
| chat:files                | string | names the place where the files of this database are     |
| chat:files:lease          | string | the process that lets files go which nothing holds       |
| chat:{stored}:files       | hash   | file id: `<user id> <bytes> <time (s)> <room id> <1>`,   |
|                           |        | the 1 for a file of a guest (stored_files.StoredFiles)   |
| chat:{stored}:people      | zset   | user ids by the bytes of their files                     |
| chat:{stored}:all         | hash   | bytes, of all files; guests, of those of guests          |
| chat:guests:lease         | string | the process that forgets guests who are gone             |
| chat:guests:gone          | zset   | user ids of guests who are signed out everywhere, by the |
|                           |        | time (s) since when that is known                        |
| chat:audit                | stream | what admins did (audit.Entry)                            |
| chat:banned               | zset   | `<network> <user id>`, all 0: nobody comes in from there |
|                           |        | because of this person                                   |
| chat:throttle:{w}:{x}     | string | when the bucket of `whose` for `what` is full again (µs)  |
| chat:user:{u}:pages       | hash   | process: how many pages the person has open there        |
| chat:pages:{a}            | hash   | the same of an address                                   |
| chat:processes            | zset   | processes by the time (s) until which they are alive     |
| chat:here                 | zset   | user ids by the time (s) until which they count as here  |
| chat:untold:{chat:here}   | zset   | user ids of those who came or went and of whom nobody    |
|                           |        | was told yet, by the time (s) at which a process began   |
|                           |        | to tell. The same slot as chat:here                      |
| chat:looked:{chat:here}   | string | the time (s) at which a process last looked who is here  |
| chat:bots                 | set    | user ids of the bots                                     |
| chat:token:{t}            | hash   | a token by the digest of its secret (tokens.Token)       |
| chat:user:{u}:tokens      | set    | digests of the tokens of this person or bot              |
| chat:hooks                | set    | user ids of the bots that have a webhook                 |
| chat:hooks:lease          | string | the process that delivers to webhooks                    |
| chat:user:{u}:hook        | hash   | a bot's webhook (webhooks.Webhook)                       |
| chat:user:{u}:hook:rooms  | hash   | room id: number up to which the webhook was queued for   |
| chat:user:{u}:hook:queue  | zset   | `<room id> <number>` to deliver, by the time of it (ms)  |
| chat:user:{u}:hook:tries  | hash   | the same: how often it has failed                        |
| chat:user:{u}:hook:log    | list   | how the last tries went (webhooks.Try),newest first        |
| chat:names                | zset   | `<name from one of its words on>\\0<user id>`, all 0      |
| chat:lookalikes           | zset   | `<what a name looks like>\\0<user id>`, all 0             |
| chat:rooms:open           | zset   | ids of the rooms anyone may join, by time of creation    |
| chat:{random}:rooms       | zset   | ids of the random rooms by seats taken                   |
| chat:{random}:seats       | zset   | `<user id> <room id>` for each seat taken, all 0         |
| chat:{random}:count       | string | how many random rooms there ever were                    |
| chat:{random}:given:{u} {n}| string| id of the room in which the form with this nonce has     |
|                           |        | given this person a seat                                 |
| chat:unfinished           | set    | `<room id> <user id> <word>`: changes that have begun    |
|                           |        | and not ended (room_pointers)                            |
| chat:unfinished:lease     | string | the process that finishes them                           |

Channels, which are sharded (SPUBLISH), have the same hash tags, for a script publishes where its
keys are. chat:room:{r} carries `<seq> <at> <data>`, `~new` when its stream is to be read (after an
import), `~here` when somebody in it came or went,
`~<user id>` when that member is called or looks otherwise, and `~typing <user id>` and
`~typed <user id>` when that member writes a message and has sent it; a word on chat:user:{u} says
that the sessions, the rooms or the rights of this person have changed, and are to be read again;
a user id on chat:hooks, that the webhook of this bot has; a room id on chat:rooms, that the room
is new.
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
RELOAD = "~new"  # said of a room whose stream has more than was published
WEBHOOKS_LEASE = "chat:hooks:lease"
PRESENT = "chat:here"
UNANNOUNCED, PRESENCE_CHECKED = (
    "chat:untold:{chat:here}",
    "chat:looked:{chat:here}",
)  # in the slot of PRESENT
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
    """A new id of a room or a person: 22 characters that may stand in an address, 128 bits of
    chance. None begins with "-", which the console takes for an option."""
    while (made := secrets.token_urlsafe(16)).startswith("-"):
        pass
    return made


def direct_room_id(uids: list[str]) -> str:
    """The id of the direct room of these people, in the order of their ids."""
    return hashlib.sha256(" ".join(uids).encode()).hexdigest()[:32]


def repeatable_id(*said: str) -> str:
    """The id of what is made with these words, of which one is a nonce: the same when it is made
    again."""
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:32]


def given_seat(uid: str, nonce: str) -> str:
    return f"chat:{{random}}:given:{uid} {nonce}"


def _keys_of(noun: str, part: str = "") -> Callable[[str], str]:
    """Makes the key `chat:<noun>:{<id>}:<part>` of an id."""
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

# The keys of a room by name. This declares their order for Python and for the scripts with `@room`
# (store.lua). The last two are left out for a message without mentions.
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


@lru_cache(maxsize=4096)
def of_room(rid: str) -> tuple[str, ...]:
    """The ROOM_KEYS of a room. They are cached: making them took a twentieth of the time of a
    post."""
    return tuple(make(rid) for make in ROOM_KEYS.values())


def of_ending(rid: str) -> tuple[str, ...]:
    """The keys of a room that may end."""
    return (*of_room(rid), past_members(rid))


def imported(rid: str) -> dict[str, str]:
    """Temporary keys by their names in ROOM_KEYS (without "room"), for a room that is being
    imported."""
    return {name: f"{make(rid)}:made" for name, make in ROOM_KEYS.items() if name != "room"}


def address_pages(address: str) -> str:
    return f"chat:pages:{address}"


def parse_channel(channel: str) -> tuple[str, str]:
    """What a channel is of, "room" or "user", and the id."""
    _, what, ident = channel.split(":", 2)
    return what, ident[1:-1]


def token(tid: str) -> str:
    return f"chat:token:{tid}"


def of_webhook(uid: str) -> list[str]:
    """All that is kept of a webhook."""
    return [
        make(uid)
        for make in (webhook, webhook_cursors, webhook_queue, webhook_attempts, webhook_log)
    ]


def subject(digest: str) -> str:
    return f"chat:subject:{digest}"


def used(digest: str) -> str:
    return f"chat:used:{digest}"


def reset(digest: str) -> str:
    return f"chat:reset:{digest}"


def rate_limit(what: str, whose: str) -> str:
    return f"chat:throttle:{what}:{whose}"
