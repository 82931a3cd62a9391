"""Deletes files that belong to no message: files of posts that failed, and of messages that were
deleted with their room or because of their age. The files of a deleted message are deleted at once
(chat.services.messages); this module deletes those that could not be reached then.

One process at a time does this. The storage and the database contain the same name, so that a chat
with an empty or a different database does not delete the files of another chat.
"""

import asyncio
import logging
import secrets
from collections.abc import Iterator

from obstore.exceptions import BaseError

from ..domain.errors import FilesAway
from ..store import Store, keys
from ..store.findings import repair_all
from ..store.leases import run_leased
from .attachments import Files
from .stored_bytes import miscounted

log = logging.getLogger(__name__)

MIN_AGE_SECONDS = 24 * 3600.0  # because the message of a newer file may not be stored yet
LEASE_SECONDS = 1800.0  # until an unrenewed lease ends
INTERVAL_SECONDS = 3600.0
FIRST_RUN_SECONDS = 60.0  # after the start


def missing_files(store: Store, files: Files) -> Iterator[str]:
    """Yield a sentence for each file of a message that the storage lacks. Raises FilesAway."""
    for rid, fids in store.retention.held():
        there = {fid for page in files.all(rid) for _, fid, _, _ in page}
        gone = [(rid, fid) for fid in sorted(fids - there)]
        for _, fid in store.retention.held_among(gone):  # others were deleted just now
            yield f"the file {fid} of the room {rid} is missing from the file storage"


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
        """Whether the files belong to this database. A new storage gets the database's name."""
        ours = self.store.retention.place(secrets.token_urlsafe(12))
        found = self.files.named(ours)
        if not found:
            log.warning("CHAT_FILES has the files of another database, so nothing is deleted there")
        return found
