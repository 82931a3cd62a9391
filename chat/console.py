"""What whoever runs the chat does on its machine, where no page can be trusted with it."""

import redis
from redis.exceptions import RedisError

from .embedded import CannotStart, EmbeddedValkey
from .settings import Settings
from .store import Person, Store
from .supervisor import masked


def make_admin(settings: Settings, who: str) -> str:
    """Make the person with the login or id `who` an admin; returns a sentence on it.

    Names are nobody's own, so a name only lists who bears it. Raises CannotStart when there is no
    such person, or no database that answers.
    """
    url = settings.redis_url or EmbeddedValkey(settings.data / "valkey").url
    try:
        with redis.Redis.from_url(url, decode_responses=True) as client:
            return _make_admin(Store(client), who)
    except (RedisError, OSError) as error:
        raise CannotStart(f"no chat is running on {masked(url)} (CHAT_DATA, REDIS_URL): {error}")  # noqa: B904


def _make_admin(store: Store, who: str) -> str:
    uid = store.accounts.by_login(who)[0] or who.rpartition("/")[2]
    person = store.people.get(uid)
    if person is None or person.bot or person.off:
        listed = "".join(f"\n  {_line(found)}" for found in store.people.find(who))
        raise CannotStart(f"nobody has the login or id {who!r}; of that name there are:{listed}")
    store.accounts.make_admin(person)
    store.audit.note(person, "was made an admin on the console")
    return f"An admin now: {_line(person)}"


def _line(person: Person) -> str:
    return f"{person.uid}  {person.name} ({person.login or person.role})"
