"""Compares the bytes counted for files with the files in the storage.

An entry is made before its file is stored and removed after it is deleted, so a crash leaves an
entry without a file. Files that are older than the counting, or were imported, have no entry.
`chat check` reports both, and the cleanup (orphan_cleanup) corrects them every hour.
"""

from collections.abc import Iterator
from functools import partial

from ..store import Store
from ..store.batches import batched
from ..store.findings import Finding
from ..store.person import MEMBER, Person
from ..store.stored_files import Stored
from .attachments import Files

BATCH_FILES = 500  # looked up by one command
MAX_UPLOAD_SECONDS = 3600  # between counting a file and storing it


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
