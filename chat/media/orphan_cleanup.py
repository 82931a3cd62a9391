"""Letting go of files that no message holds: of posts that failed, and of what was let go with its
room or its age. A deleted message's files go at once (messages.delete); those that could not be
reached then go here.

One process at a time does it. The place of files and the database know each other by a name that
is kept in both: a chat over an empty or another database must not take all there is for left over.
"""

import asyncio
import logging
import secrets
from collections.abc import Iterator

from greenback import with_portal_run_sync
from obstore.exceptions import BaseError

from ..domain.errors import FilesAway
from ..store import Store, keys
from ..store.leases import run_leased
from ..store.retention import Retention
from .attachments import Files
from .stored_bytes import wrong

log = logging.getLogger(__name__)

YOUNG_SECONDS = 24 * 3600.0  # the message of a file that was kept just now may yet come
LEASE = 1800.0  # seconds for which one process has the work
REST = 3600.0  # seconds between two rounds
FIRST = 60.0  # seconds until the first round


def lost(store: Store, files: Files) -> Iterator[str]:
    """Sentences on files that messages hold and that are not where files are kept. Raises
    FilesAway."""
    for rid, fids in store.retention.held():
        there = {fid for page in files.all(rid) for _, fid, _, _ in page}
        gone = sorted(fids - there)
        # Not those whose message has just been deleted.
        for fid, held in zip(gone, store.retention.hold([(rid, fid) for fid in gone]), strict=True):
            if held:
                yield f"the file {fid} of the room {rid} is not where files are kept"


class Sweeper:
    def __init__(self, store: Store, files: Files) -> None:
        self.store = store
        self.retention: Retention = store.retention
        self.files = files
        self.lease = store.lease(keys.FILES_LEASE, LEASE)

    async def run(self) -> None:
        """Sweep now and then, until cancelled."""
        await asyncio.sleep(FIRST)
        errors = BaseError, FilesAway
        await run_leased(self.lease, self._work, REST, "files that nothing holds", errors)

    async def _work(self) -> float:
        await with_portal_run_sync(self._round)
        return REST

    def _round(self) -> None:
        self.sweep(self.store.clock.now() - YOUNG_SECONDS)

    def sweep(self, until: float) -> int:
        """Let go of what nothing holds and is older than `until` (s since 1970); returns how much
        that was. Then the bytes that are counted are those that are kept.

        How old a file is, the clock of the place of files says, which may be wrong by days; the
        database has dated the files that were counted, and both must find a file old."""
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
            held = self.retention.hold([(rid, fid) for rid, fid, _ in old])
            for (_, _, path), is_held in zip(old, held, strict=True):
                if not is_held:
                    self.files.delete_path(path)
                    gone += 1
        for finding in wrong(self.store, self.files):
            if finding.repair:
                finding.repair()
        return gone

    def _is_ours(self) -> bool:
        """Whether the files are those of this database; the first to ask gives them a name."""
        ours = self.retention.place(secrets.token_urlsafe(12))
        found = self.files.named(ours)
        if not found:
            log.warning("CHAT_FILES has the files of another database: nothing is let go there")
        return found
