"""What whoever runs the chat does on its machine, where no page can be trusted with it."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.exceptions import RedisError

from .embedded import CannotStart, EmbeddedValkey
from .settings import Settings
from .store import Person, Store
from .store.schema import TooNew
from .supervisor import masked


@contextmanager
def running(settings: Settings) -> Iterator[Store]:
    """The store of the running chat; raises CannotStart when no database answers, or one whose
    form this code does not know."""
    url = settings.redis_url or EmbeddedValkey(settings.data / "valkey").url
    try:
        with redis.Redis.from_url(url, decode_responses=True) as client:
            store = Store(client)
            store.schema.version()
            yield store
    except TooNew as error:
        raise CannotStart(str(error)) from None
    except RedisError as error:
        raise CannotStart(f"no chat is running on {masked(url)} (CHAT_DATA, REDIS_URL): {error}")  # noqa: B904


def make_admin(settings: Settings, who: str) -> None:
    """Make the person with the login or id `who` an admin, and say so.

    Names are nobody's own, so a name only lists who bears it. Raises CannotStart when there is no
    such person.
    """
    with running(settings) as store:
        uid = store.accounts.by_login(who)[0] or who.rpartition("/")[2]
        person = store.people.get(uid)
        if person is None or person.bot or person.off:
            listed = "".join(f"\n  {_line(found)}" for found in store.people.find(who))
            raise CannotStart(
                f"nobody has the login or id {who!r}; of that name there are:{listed}"
            )
        store.accounts.make_admin(person)
        store.audit.note(person, "was made an admin on the console")
        print(f"An admin now: {_line(person)}")


def check(settings: Settings, repair: bool) -> None:
    """Say what is wrong in the database, and with `repair` put right what can be. Raises
    CannotStart when something is wrong afterwards."""
    told: set[str] = set()
    wrong = 0
    with running(settings) as store:
        for finding in store.check.everything():
            if finding.text in told:
                continue  # found twice, for the database moves while it is looked at
            told.add(finding.text)
            repaired = bool(repair and finding.repair)
            if repaired and finding.repair:
                finding.repair()
            wrong += not repaired
            cannot = "" if finding.repair else " (this cannot be repaired)"
            print(f"{'Repaired: ' if repaired else ''}{finding.text}{cannot}")
    if wrong:
        hint = "" if repair else "; chat check --repair puts right what can be"
        raise CannotStart(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong{hint}")
    print("Everything is right." if not told else "Everything is right now.")


def _line(person: Person) -> str:
    return f"{person.uid}  {person.name} ({person.login or person.role})"
