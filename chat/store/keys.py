"""Every key and channel the chat uses in Redis, named here and nowhere else.

A room's keys share the hash tag {room id}, a person's share {user id}, so that each lives in
one slot of a Redis Cluster and one script never touches two tags.

| key                       | type   | holds                                                    |
|---------------------------|--------|----------------------------------------------------------|
| chat:room:{r}             | hash   | name, kind, owner, epoch, created; the newest event:     |
|                           |        | seq, its number, and last, its line                      |
| chat:room:{r}:events      | stream | entry <seq>-0: at (ms), data (events.pack)               |
| chat:room:{r}:members     | zset   | user ids by time of joining (ms)                         |
| chat:room:{r}:nonces      | zset   | author, nonce and digest of recent posts, by number      |
| chat:room:{r}:read        | hash   | user id: number of the newest event that person has seen |
| chat:user:{u}             | hash   | name, created                                            |
| chat:user:{u}:rooms       | set    | ids of the rooms joined (their members are the truth)    |
| chat:rooms:open           | zset   | ids of the rooms anyone may join, by time of creation    |

Channels: chat:room:{r} carries `<seq> <at> <data>`; chat:user:{u} carries the id of a room
that this person has just joined, or SIGNED_OUT.
"""

OPEN_ROOMS = "chat:rooms:open"
SIGNED_OUT = "!signed-out"  # on a person's channel; no room has such an id


def room(rid: str) -> str:
    return f"chat:room:{{{rid}}}"


def events(rid: str) -> str:
    return f"chat:room:{{{rid}}}:events"


def members(rid: str) -> str:
    return f"chat:room:{{{rid}}}:members"


def nonces(rid: str) -> str:
    return f"chat:room:{{{rid}}}:nonces"


def read(rid: str) -> str:
    return f"chat:room:{{{rid}}}:read"


def user(uid: str) -> str:
    return f"chat:user:{{{uid}}}"


def user_rooms(uid: str) -> str:
    return f"chat:user:{{{uid}}}:rooms"


def room_channel(rid: str) -> str:
    return f"chat:room:{rid}"


def user_channel(uid: str) -> str:
    return f"chat:user:{uid}"
