"""The commands for the operator, who works on the machine where the chat runs.

Each prints what it did, and raises CannotStart with one line that says why it cannot be done.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TypeVar

from greenback import with_portal_run_sync
from redis.exceptions import DataError, RedisClusterException, RedisError, ResponseError

from ..auth import setup_link
from ..config import Settings
from ..domain.errors import FilesAway, NotFound
from ..media.attachments import Files
from ..media.avatars import Pictures
from ..media.orphan_cleanup import miscounted, missing_files
from ..redis_client import urls
from ..rendering.transcript import transcript
from ..server.database import masked
from ..server.embedded_valkey import CannotStart, EmbeddedValkey
from ..server.pidfile import serving_process
from ..store import Person, Store, keys
from ..store.findings import Finding, repair_all
from ..store.importer import Importer
from ..store.migrations import TooNew
from . import archive
from . import backup as backups

Returned = TypeVar("Returned")

NOT_REPAIRABLE = " (this cannot be repaired)"
MAX_ERROR_CHARS = 200
# What an invalid record of an archive raises. Redis raises these for values of a wrong type.
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
    """Yield the store of the running chat. Raises CannotStart when no database answers, or when a
    newer version of the chat has written to it."""
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
    """Have the chat that runs on this data folder replace its workers by new ones, which run the
    code that is on the disk now. Raises CannotStart when no chat runs there."""
    pid = serving_process(settings.data)
    if pid is None:
        raise CannotStart(f"no chat is running on {settings.data} (CHAT_DATA)")
    try:
        os.kill(pid, signal.SIGHUP)
    except PermissionError:
        raise CannotStart(
            f"process {pid} belongs to another user: run this command as that user"
        ) from None
    print(f"Process {pid} is replacing its workers, one by one. Its log says when it has finished.")


def admin(settings: Settings, who: str) -> None:
    """Make the person with the login or id `who` an administrator; with "link", print a link that
    makes the person who opens it the first administrator.

    Names are not unique, so a name only lists the people who have it. Raises CannotStart when
    there is no such person.
    """
    if who == "link":
        return _print_setup_link(settings)
    with running(settings) as store:
        uid = store.accounts.by_login(who)[0] or who.rpartition("/")[2]
        person = store.people.get(uid)
        if person is None or person.bot or person.deactivated:
            listed = "".join(f"\n  {_described(found)}" for found in store.people.find(who))
            raise CannotStart(
                f"nobody has the login or id {who!r}. People with that name:{listed or ' none'}"
            )
        store.accounts.make_admin(person)
        store.audit_log.note(person, "was made an administrator on the console")
        print(f"This person is now an administrator: {_described(person)}")


def _print_setup_link(settings: Settings) -> None:
    """Raises CannotStart if the chat has an administrator, because the link would not work."""
    with running(settings) as store:
        if store.accounts.has_admin():
            raise CannotStart(
                "this chat already has an administrator, so the link would not work; "
                "`chat admin WHO` makes another person an administrator"
            )
        print(setup_link.notice(settings, store.setup_links.make()))


def check(settings: Settings, repair: bool) -> None:
    """Print what is wrong in the database. With `repair`, repair what can be repaired. Raises
    CannotStart if something is still wrong afterwards."""
    printed: set[str] = set()
    wrong = 0
    with running(settings) as store, _explained("CHAT_FILES"):
        for finding in _findings(store, files(settings)):
            if finding.text in printed:
                continue  # found twice, because the database changes while it is read
            printed.add(finding.text)
            if repair and finding.repair:
                finding.repair()
                print(f"Repaired: {finding.text}")
            else:
                wrong += 1
                print(finding.text + ("" if finding.repair else NOT_REPAIRABLE))
    if wrong:
        hint = "" if repair else "; chat check --repair repairs what can be repaired"
        raise CannotStart(f"{wrong} {'problem' if wrong == 1 else 'problems'}{hint}")
    print("No problems found." if not printed else "No problems are left.")


def export(
    settings: Settings, what: list[str], everything: bool, with_secrets: bool, html: str | None
) -> None:
    """Write rooms, or everything, into an archive, or one room into the file `html`.

    what: ids or addresses of rooms, and the path of the archive.
    """
    if html:
        if everything or len(what) != 1:
            raise CannotStart("--html requires exactly one room")
        return _export_html(settings, what[0], html)
    *rooms, file = what
    if with_secrets and not everything:
        raise CannotStart("--with-secrets requires --all")
    if bool(rooms) == everything:
        raise CannotStart("give rooms and then a file, or --all and a file")
    with running(settings) as store, _explained(file):
        dump = store.exporter(whole=everything, secrets=with_secrets)
        rids = [_room_id(store, room) for room in rooms]
        records = dump.everything() if everything else chain(*map(dump.room, rids))

        def write() -> None:
            stored = files(settings)
            found = archive.with_files(archive.with_pictures(records, stored.pictures), stored)
            count = archive.write(Path(file), found, everything, with_secrets)
            print(f"{file} has {count} records. Only you can read it.")

        _run(write)
    if everything and not with_secrets:
        print(
            "It contains no passwords or tokens, so nobody can sign in with it. "
            "--with-secrets adds them."
        )


def _export_html(settings: Settings, room: str, file: str) -> None:
    """Write a room into an HTML file for people to read."""
    with running(settings) as store, _explained(file), archive.private_file(Path(file)) as html:
        for piece in transcript(store, _room_id(store, room)):
            html.write(piece.encode())
    print(f"The room is in {file}. Only you can read it.")


def import_(settings: Settings, file: str, trusted: bool) -> None:
    """Add what an archive has and the running chat lacks. `trusted`: the archive was made by this
    chat, so people keep their rights. Raises CannotStart if some of it was not imported."""
    with running(settings) as store, _explained(file):
        header, records = archive.read(Path(file), settings.file_size_bytes)
        if header.get("whole") and not trusted:
            raise CannotStart(
                f"{file} is an archive of a whole chat: importing it makes its administrators "
                "administrators here and continues existing rooms. "
                "If you made it yourself, use: chat import --all FILE"
            )
        load = store.importer(trusted)

        def take() -> None:
            stored = files(settings)
            for record in records:
                load.take(record)
                archive.take_picture(record, load, stored.pictures)
                archive.take_file(record, load, stored)
            repair_all(miscounted(store, stored))

        store.audit_log.note(None, f"began to import{' --all' if trusted else ''}", Path(file).name)
        try:
            _run(take)
        except _BAD_RECORD as error:
            reason = " ".join(str(error).split())[:MAX_ERROR_CHARS]
            raise CannotStart(f"{file} has an invalid record: {reason}") from None
        finally:
            load.close()
            for what, whom in load.news:
                store.audit_log.note(None, what, whom)
            _print_summary(load)
    if load.problems:
        raise CannotStart("some of the archive was not imported")


def backup(settings: Settings, folder: str) -> None:
    """Copy everything that the running chat stores into a folder."""
    with running(settings) as store, _explained(folder):
        print(backups.backup(settings, store.client, Path(folder).absolute()))


def restore(settings: Settings, folder: str) -> None:
    """Copy a backup into an empty CHAT_DATA."""
    with _explained(folder):
        print(backups.restore(settings, Path(folder).absolute()))


def _print_summary(load: Importer) -> None:
    print(
        ", ".join(f"{count} {what}" for what, count in load.done.items())
        or "The archive contains nothing new."
    )
    for problem in load.problems:
        print(problem)


@contextmanager
def _explained(file: str) -> Iterator[None]:
    """Turn errors about a file or a room into CannotStart with one line."""
    try:
        yield
    except OSError as error:
        raise CannotStart(f"{error.filename or file}: {error.strerror or error}") from None
    except archive.BadArchive as error:
        raise CannotStart(f"{file}: {error}") from None
    except FilesAway as error:
        raise CannotStart(f"the files (CHAT_FILES) cannot be reached: {error.__cause__}") from None
    except NotFound as error:
        raise CannotStart(error.text) from None


def _findings(store: Store, stored: Files) -> Iterator[Finding]:
    """Yield what is wrong in the database and in the storage of files."""
    yield from store.integrity.everything()
    yield from _run(lambda: list(miscounted(store, stored)))
    for text in _run(lambda: list(missing_files(store, stored))):
        yield Finding(text, None)


def _run(function: Callable[[], Returned]) -> Returned:
    """Call a function that reads or writes pictures and files, which needs an event loop."""
    return asyncio.run(with_portal_run_sync(function))


def files(settings: Settings) -> Files:
    """The storage of the files of messages."""
    return Files(Pictures(settings.files or str(settings.data)), settings.file_size_bytes)


def _room_id(store: Store, room: str) -> str:
    """Return the id of a room, given its id or address. Names are not unique, so a name only lists
    the rooms that have it. Raises CannotStart."""
    rid = room.rstrip("/").rpartition("/")[2]
    if store.client.exists(keys.room(rid)):
        return rid
    found = {rid: store.client.hget(keys.room(rid), "name") for rid in store.retention.rooms()}
    listed = "".join(f"\n  {rid}  {name}" for rid, name in found.items() if name == room)
    raise CannotStart(
        f"there is no room with the id {room!r}. Rooms with that name:{listed or ' none'}"
    )


def _described(person: Person) -> str:
    return f"{person.uid}  {person.name} ({person.login or person.role})"
