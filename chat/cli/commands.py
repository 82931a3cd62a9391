"""What whoever runs the chat does on its machine, where no page can be trusted with it."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from greenback import with_portal_run_sync
from redis.exceptions import DataError, RedisClusterException, RedisError, ResponseError

from ..auth import setup_link
from ..config import Settings
from ..domain.errors import FilesAway, NotFound
from ..media import stored_bytes
from ..media.attachments import Files
from ..media.avatars import Pictures
from ..media.orphan_cleanup import lost
from ..redis_client import urls
from ..rendering.transcript import transcript
from ..server.database import masked
from ..server.embedded_valkey import CannotStart, EmbeddedValkey
from ..server.pidfile import serving_process
from ..store import Person, Store, keys
from ..store.importer import Load
from ..store.integrity import Finding
from ..store.migrations import TooNew
from . import archive
from . import backup as copies

CANNOT = " (this cannot be repaired)"
# What a record leads to that is none. Redis's answers are to values of a wrong type.
_BAD_RECORD = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
    DataError,
    ResponseError,
)


@contextmanager
def running(settings: Settings) -> Iterator[Store]:
    """The store of the running chat; raises CannotStart when no database answers, or one whose
    form this code does not know."""
    url = settings.redis_url or EmbeddedValkey(settings.data / "valkey").url
    try:
        with urls.client(url) as client:
            store = Store(client)
            store.schema.version()
            yield store
    except TooNew as error:
        raise CannotStart(str(error)) from None
    except (RedisError, RedisClusterException) as error:
        raise CannotStart(f"no chat is running on {masked(url)} (CHAT_DATA, REDIS_URL): {error}")  # noqa: B904


def reload(settings: Settings) -> None:
    """Let the chat that runs on this data folder replace its workers, which are what the code on
    the disk is now, and say so. Raises CannotStart when none runs there."""
    pid = serving_process(settings.data)
    if pid is None:
        raise CannotStart(f"no chat is running on {settings.data} (CHAT_DATA)")
    try:
        os.kill(pid, signal.SIGHUP)
    except PermissionError:
        raise CannotStart(f"process {pid} is somebody else's: ask as its user") from None
    print(f"Process {pid} replaces its workers, one by one. Its log says when that is done.")


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


def print_setup_link(settings: Settings) -> None:
    """Print a link that makes whoever opens it the first admin. Raises CannotStart when there is
    an admin."""
    with running(settings) as store:
        if store.accounts.has_admin():
            raise CannotStart(
                "this chat has an admin, so a link would be of no use; "
                "`chat admin WHO` makes somebody else an admin too"
            )
        print(setup_link.notice(settings, store.setup_links.make()))


def check(settings: Settings, repair: bool) -> None:
    """Say what is wrong in the database, and with `repair` put right what can be. Raises
    CannotStart when something is wrong afterwards."""
    told: set[str] = set()
    wrong = 0
    with running(settings) as store:
        for finding in chain(store.check.everything(), _wrong_bytes(settings, store)):
            if finding.text in told:
                continue  # found twice, for the database moves while it is looked at
            told.add(finding.text)
            repaired = bool(repair and finding.repair)
            if repaired and finding.repair:
                finding.repair()
            wrong += not repaired
            cannot = "" if finding.repair else CANNOT
            print(f"{'Repaired: ' if repaired else ''}{finding.text}{cannot}")
        with _told("CHAT_FILES"):
            gone = _lost(settings, store)
        wrong += len(gone)
        told.update(gone)
        for text in gone:
            print(f"{text}{CANNOT}")
    if wrong:
        hint = "" if repair else "; chat check --repair puts right what can be"
        raise CannotStart(f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong{hint}")
    print("Everything is right." if not told else "Everything is right now.")


def export(settings: Settings, rooms: Iterable[str], file: str, secrets: bool) -> None:
    """Write rooms into a file, or everything when none is named."""
    with running(settings) as store, _told(file):
        dump = store.dump(whole=not rooms, secrets=secrets)
        rids = [_rid(store, room) for room in rooms]
        records = chain(*map(dump.room, rids)) if rids else dump.everything()

        def write() -> None:
            pictures = _pictures(settings)
            found = archive.with_pictures(records, pictures)
            found = archive.with_files(found, Files(pictures, settings.file_size_mb))
            count = archive.write(Path(file), found, not rids, secrets)
            print(f"{count} records are in {file}; only you may read it.")

        _run(write)
    if not rids and not secrets:
        print("Nobody can sign in with it: passwords and tokens go along with --with-secrets.")


def export_html(settings: Settings, room: str, file: str) -> None:
    """Write a room into a file for people."""
    with running(settings) as store, _told(file), archive.private_file(Path(file)) as made:
        for piece in transcript(store, _rid(store, room)):
            made.write(piece.encode())
    print(f"The room is in {file}; only you may read it.")


def import_(settings: Settings, file: str, trusted: bool) -> None:
    """Put in what a file has and the running chat has not. `trusted`: the file is the chat's own,
    and people come with their rights. Raises CannotStart when some of it had to be left alone."""
    with running(settings) as store, _told(file):
        header, records = archive.read(Path(file), settings.file_size_mb * 2**20)
        if header.get("whole") and not trusted:
            raise CannotStart(
                f"{file} is a file of everything: it makes its admins admins here and goes on with "
                "rooms that are here. If it is your own, say so: chat import --all FILE"
            )
        load = store.load(trusted)

        def take() -> None:
            pictures = _pictures(settings)
            files = Files(pictures, settings.file_size_mb)
            for record in records:
                load.take(record)
                archive.take_picture(record, load, pictures)
                archive.take_file(record, load, files)
            for finding in stored_bytes.wrong(store, files):
                if finding.repair:
                    finding.repair()

        store.audit.note_console(f"began to import{' --all' if trusted else ''}", Path(file).name)
        try:
            _run(take)
        except _BAD_RECORD as error:
            said = " ".join(str(error).split())[:200]
            raise CannotStart(f"{file} has a record that makes no sense: {said}") from None
        finally:
            load.close()
            for what, whom in load.news:
                store.audit.note_console(what, whom)
            _say_done(load)
    if load.problems:
        raise CannotStart("not everything could be imported")


def backup(settings: Settings, folder: str) -> None:
    """Copy all that the running chat keeps into a folder."""
    with running(settings) as store, _told(folder):
        print(copies.backup(settings, store.client, Path(folder).absolute()))


def restore(settings: Settings, folder: str) -> None:
    """Put such a copy into an empty CHAT_DATA."""
    with _told(folder):
        print(copies.restore(settings, Path(folder).absolute()))


def _say_done(load: Load) -> None:
    print(", ".join(f"{count} {what}" for what, count in load.done.items()) or "Nothing is new.")
    for problem in load.problems:
        print(problem)


@contextmanager
def _told(file: str) -> Iterator[None]:
    """What is wrong with a file or a room, in a line."""
    try:
        yield
    except OSError as error:
        raise CannotStart(f"{error.filename or file}: {error.strerror or error}") from None
    except archive.BadArchive as error:
        raise CannotStart(f"{file}: {error}") from None
    except FilesAway as error:
        raise CannotStart(f"the place of files (CHAT_FILES): {error.__cause__}") from None
    except NotFound as error:
        raise CannotStart(error.text) from None


def _lost(settings: Settings, store: Store) -> list[str]:
    found: list[str] = []
    files = Files(_pictures(settings), settings.file_size_mb)
    _run(lambda: found.extend(lost(store, files)))
    return found


def _wrong_bytes(settings: Settings, store: Store) -> list[Finding]:
    found: list[Finding] = []
    files = Files(_pictures(settings), settings.file_size_mb)
    with _told("CHAT_FILES"):
        _run(lambda: found.extend(stored_bytes.wrong(store, files)))
    return found


def _run(function: Callable[[], None]) -> None:
    """Call what reads or writes pictures and files, which needs an event loop."""
    asyncio.run(with_portal_run_sync(function))


def _pictures(settings: Settings) -> Pictures:
    return Pictures(settings.files or str(settings.data))


def _rid(store: Store, room: str) -> str:
    """The id of a room, from that or its address. A name only lists who bears it, for names are
    no room's own. Raises CannotStart."""
    rid = room.rstrip("/").rpartition("/")[2]
    if store.client.exists(keys.room(rid)):
        return rid
    found = {rid: store.client.hget(keys.room(rid), "name") for rid in store.dump().rids()}
    listed = "".join(f"\n  {rid}  {name}" for rid, name in found.items() if name == room)
    raise CannotStart(f"there is no room with the id {room!r}; of that name there are:{listed}")


def _line(person: Person) -> str:
    return f"{person.uid}  {person.name} ({person.login or person.role})"
