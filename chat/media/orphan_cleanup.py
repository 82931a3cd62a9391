"""Deletes files that belong to no message: files of posts that failed, and of messages that were
deleted with their room or because of their age. The files of a deleted message are deleted at once
(chat.services.messages); this module deletes those that could not be reached then.

It also corrects the bytes counted for files. An entry is made before its file is stored and removed
after it is deleted, so a crash leaves an entry without a file. Files that are older than the
counting, or were imported, have no entry. `chat check` reports both.

One process at a time does this. The storage and the database contain the same name, so that a chat
with an empty or a different database does not delete the files of another chat.
"""

import asyncio
import logging
import secrets
from collections.abc import Iterator
from functools import partial

from obstore.exceptions import BaseError

from ..domain.errors import FilesAway
from ..store import Store, keys
from ..store.batches import batched
from ..store.findings import Finding, repair_all
from ..store.leases import run_leased
from ..store.person import MEMBER, Person
from ..store.stored_files import Stored
from .attachments import Files

log = logging.getLogger(__name__)

MIN_AGE_SECONDS = 24 * 3600.0  # because the message of a newer file may not be stored yet
LEASE_SECONDS = 1800.0  # until an unrenewed lease ends
INTERVAL_SECONDS = 3600.0
FIRST_RUN_SECONDS = 60.0  # after the start
BATCH_FILES = 500  # looked up by one command
MAX_UPLOAD_SECONDS = 3600  # between counting a file and storing it


def missing_files(store: Store, files: Files) -> Iterator[str]:
    """Yield a sentence for each file of a message that the storage lacks. Raises FilesAway."""
    for rid, fids in store.retention.held():
        there = {fid for page in files.all(rid) for _, fid, _, _ in page}
        gone = [(rid, fid) for fid in sorted(fids - there)]
        for _, fid in store.retention.held_among(gone):  # others were deleted just now
            yield f"the file {fid} of the room {rid} is missing from the file storage"


def miscounted(store: Store, files: Files) -> Iterator[Finding]:
    """Yield the errors in the counts, with their repairs. Raises FilesAway."""
    for rid, fids in store.retention.held():
        for some in batched(sorted(fids), BATCH_FILES):
            for fid in store.stored_files.missing(some):
                yield from _uncounted(store, files, rid, fid)
    until = store.clock.now() - MAX_UPLOAD_SECONDS
    for page in store.stored_files.all():
        yield from _gone(store, files, [one for one in page if one.at < until])
    if store.stored_files.wrong_sums():
        repair = partial(store.stored_files.wrong_sums, repair=True)
        yield Finding("the total size of files is not the sum of their sizes", repair)


def _uncounted(store: Store, files: Files, rid: str, fid: str) -> Iterator[Finding]:
    """Yield the files of messages that count towards nobody's quota."""
    uid, size = store.messages.author_of_file(rid, fid), files.bytes_of(rid, fid)
    if uid and size is not None:
        by = store.people.get(uid) or Person(uid, "", MEMBER)
        keep = partial(store.stored_files.keep, fid, rid, by, size)
        yield Finding(f"the file {fid} of the room {rid} is not counted for {uid}", keep)


def _gone(store: Store, files: Files, old: list[Stored]) -> Iterator[Finding]:
    """Yield the entries of files that belong to no message and do not exist."""
    held = set(store.retention.held_among([(one.rid, one.fid) for one in old]))
    for one in old:
        if (one.rid, one.fid) not in held and files.bytes_of(one.rid, one.fid) is None:
            drop = partial(store.stored_files.drop, [one.fid])
            yield Finding(f"the file {one.fid} is counted for {one.uid}, but is gone", drop)


class OrphanCleanup:
    def __init__(self, store: Store, files: Files) -> None:
        self.store = store
        self.files = files
        self.lease = store.lease(keys.FILES_LEASE, LEASE_SECONDS)

    async def run(self) -> None:
        """Clean up every hour, until cancelled."""
        await asyncio.sleep(FIRST_RUN_SECONDS)
        errors = BaseError, FilesAway
        what = "orphaned files"
        await run_leased(self.lease, self._round, INTERVAL_SECONDS, what, errors)

    def _round(self) -> None:
        self.sweep(self.store.clock.now() - MIN_AGE_SECONDS)

    def sweep(self, until: float) -> int:
        """Delete files that belong to no message and are older than `until` (s since 1970), and
        correct the counted bytes. Returns how many paths were deleted.

        The storage dates files by its own clock, which may be wrong by days; the database dates the
        files that it has counted. A file must be old by both clocks."""
        gone = 0
        if not self._is_ours():
            return gone
        for page in self.files.all():
            young = self.store.stored_files.since([fid for _, fid, _, _ in page], until)
            old = [
                (rid, fid, path)
                for rid, fid, path, at in page
                if at.timestamp() < until and fid not in young
            ]
            held = set(self.store.retention.held_among([(rid, fid) for rid, fid, _ in old]))
            for path in (path for rid, fid, path in old if (rid, fid) not in held):
                self.files.delete_path(path)
                gone += 1
        repair_all(miscounted(self.store, self.files))
        return gone

    def _is_ours(self) -> bool:
        """True if the files belong to this database. A new storage gets the database's name."""
        ours = self.store.retention.place(secrets.token_urlsafe(12))
        found = self.files.named(ours)
        if not found:
            log.warning("CHAT_FILES has the files of another database, so nothing is deleted there")
        return found
