"""The bytes that are counted of files, held against the files that are kept.

An entry is made before its file and dropped after it, so a crash leaves an entry too many. What
was kept before files were counted, or came by an import, has none. Both are found here, for
`chat check` and for the sweeper, which puts them right every hour.
"""

from collections.abc import Iterator
from functools import partial

from ..store import Store
from ..store.batches import batched
from ..store.findings import Finding
from ..store.person import MEMBER, Person
from ..store.stored_files import Stored
from .attachments import Files

COUNTED_AT_ONCE = 500  # files that are asked for in one command
UPLOAD_SECONDS = 3600  # after which a file that was counted has been written, or never will be


def wrong(store: Store, files: Files) -> Iterator[Finding]:
    """What is counted wrongly, and what puts it right. Raises FilesAway."""
    for rid, fids in store.retention.held():
        for some in batched(sorted(fids), COUNTED_AT_ONCE):
            for fid in store.stored_files.missing(some):
                yield from _uncounted(store, files, rid, fid)
    until = store.clock.now() - UPLOAD_SECONDS
    for page in store.stored_files.all():
        yield from _gone(store, files, [one for one in page if one.at < until])
    if store.stored_files.wrong_sums():
        repair = partial(store.stored_files.wrong_sums, repair=True)
        yield Finding("the bytes of all files are not the sum of those of each", repair)


def _uncounted(store: Store, files: Files, rid: str, fid: str) -> Iterator[Finding]:
    """A file that a message holds and that counts for nobody."""
    uid, size = store.messages.author_of_file(rid, fid), files.bytes_of(rid, fid)
    if uid and size is not None:
        by = store.people.get(uid) or Person(uid, "", MEMBER)
        keep = partial(store.stored_files.keep, fid, rid, by, size)
        yield Finding(f"the file {fid} of the room {rid} does not count for {uid}", keep)


def _gone(store: Store, files: Files, old: list[Stored]) -> Iterator[Finding]:
    """Entries of files that no message holds and that are not there."""
    held = store.retention.hold([(one.rid, one.fid) for one in old])
    for one, is_held in zip(old, held, strict=True):
        if not is_held and files.bytes_of(one.rid, one.fid) is None:
            drop = partial(store.stored_files.drop, [one.fid])
            yield Finding(f"the file {one.fid} counts for {one.uid}, and is gone", drop)
