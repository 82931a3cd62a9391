"""Finding people by their names, and telling apart those whose names look the same."""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ..domain import lookalikes
from . import keys
from .batches import INDEXED_AT_ONCE, ask_each
from .name_index import entries, folded, range_of
from .people_reads import PeopleReads
from .person import ROLES, STAFF, Person

PAGE_SIZE = 50  # people in one answer of `find`
MAX_INDEX_READS = 10  # pieces of the index that are read for one page of people
SCAN_COUNT = 500  # entries of it in one answer, where all are looked at


@dataclass(frozen=True, slots=True)
class PeoplePage:
    """`before` and `after` name the places at its ends where there are more people; "" where there
    are not."""

    people: list[Person]
    before: str
    after: str


class PeopleSearch(PeopleReads):
    def find(
        self, text: str = "", limit: int = PAGE_SIZE, deactivated: bool = False
    ) -> list[Person]:
        """People by the beginning of a word of their name, in the order of names; at most
        `limit`. Those who were deactivated only with `deactivated`."""
        start = folded(text)
        low, high = range_of(start) if start else ("-", "+")
        entries = self.client.zrangebylex(keys.NAMES, low, high, start=0, num=4 * limit)
        found = dict.fromkeys(entry.rpartition("\0")[2] for entry in entries)
        people = self.several(list(found))
        self._forget(entries, {person.uid for person in people})
        return [person for person in people if deactivated or not person.deactivated][:limit]

    def page(
        self,
        text: str = "",
        limit: int = PAGE_SIZE,
        after: str = "",
        before: str = "",
        deactivated: bool = True,
    ) -> "PeoplePage":
        """A page of people by the beginning of a word of their name, or of everybody, in order:
        those behind the place `after` or in front of the place `before`, which pages name. Of all
        people somebody may be on two pages, whose name looks like two others."""
        start, back = folded(text), bool(before)
        low, high = range_of(start) if start else (b"-", b"+")
        if edge := _place_of(after or before):
            low, high = (low, b"(" + edge) if back else (b"(" + edge, high)
        found: list[tuple[str, Person]] = []
        seen: set[str] = set()
        some: list[str] = []
        for _ in range(MAX_INDEX_READS):
            some = self._entries(start, low, high, 2 * limit, back)
            for entry, person in self._of_entries(start, some):
                if (deactivated or not person.deactivated) and person.uid not in seen:
                    seen.add(person.uid)
                    found.append((entry, person))
            if not some or len(found) > limit:
                break
            edge = b"(" + some[-1].encode()
            low, high = (low, edge) if back else (edge, high)
        page = found[:limit]
        end = page[-1][0] if len(found) > limit else some[-1] if some else ""
        if back:
            page.reverse()
        first, last = (page[0][0], page[-1][0]) if page else ("", "")
        earlier, later = (end, last or before) if back else (first if after else "", end)
        people = [person for _, person in page]
        return PeoplePage(people, _name_of(earlier), _name_of(later))

    def _entries(self, start: str, low: bytes, high: bytes, limit: int, back: bool) -> list[str]:
        """Entries of an index in order; `back`: the last of them, the last one first. In that of
        words everybody is several times, in that of names that look alike hardly anybody."""
        key = keys.NAMES if start else keys.LOOKALIKES
        if back:
            return list(self.client.zrevrangebylex(key, high, low, start=0, num=limit))
        return list(self.client.zrangebylex(key, low, high, start=0, num=limit))

    def _of_entries(self, start: str, found: list[str]) -> list[tuple[str, Person]]:
        """The people of some entries: of those who fit a `start` several times only the first."""
        uids = [entry.rpartition("\0")[2] for entry in found]
        people = {person.uid: person for person in self.several(list(dict.fromkeys(uids)))}
        self._forget(found, people.keys())
        pairs = zip(found, uids, strict=True)
        return [
            (entry, people[uid])
            for entry, uid in pairs
            if uid in people and (not start or entry == _entry(start, people[uid]))
        ]

    def called(self, names: Sequence[str], limit: int) -> list[str]:
        """The ids of at most `limit` people of each of these names, and of some whose name merely
        ends so."""
        ends = [range_of(f"{folded(name)}\0") for name in names]
        return self._indexed(ends, limit)

    def beginning(self, text: str, limit: int) -> list[str]:
        """The ids of at most `limit` people with a word in their name that begins so."""
        start = folded(text)
        return self._indexed([range_of(start)], limit)

    def _indexed(self, ends: list[tuple[bytes, bytes]], limit: int) -> list[str]:
        """The ids behind the first `limit` entries between each of these ends, read in pieces."""
        found: list[list[str]] = [[] for _ in ends]
        going, step = list(range(len(ends))), min(limit, INDEXED_AT_ONCE)
        while going:
            some = going[: max(1, INDEXED_AT_ONCE // step)]
            going = going[len(some) :]
            pipeline = self.client.pipeline(transaction=False)
            for n in some:
                low, high = ends[n]
                low = b"(" + found[n][-1].encode() if found[n] else low
                pipeline.zrangebylex(keys.NAMES, low, high, start=0, num=step)
            for n, batch in zip(some, pipeline.execute(), strict=True):
                found[n] += batch
                if len(batch) == step and len(found[n]) < limit:
                    going.append(n)
        entries = [entry for of_one in found for entry in of_one[:limit]]
        return list(dict.fromkeys(entry.rpartition("\0")[2] for entry in entries))

    def tag(self, uid: str, name: str, role: str) -> str:
        """Four letters of this person's own, or "" for a name that looks like nobody else's.

        The first who bears a name goes without; whoever comes later with a name that looks the
        same, or calls themselves by a name that is reserved or of mixed scripts, has a tag."""
        is_told = lookalikes.is_told_apart(name, role in STAFF)
        return _own_tag(uid) if is_told or self._looking_like(uid, name, 2) else ""

    def tag_beside_older(self, person: Person) -> str:
        """The tag for somebody who was here before tags told apart what looks the same: only the
        one with most rights of those who look the same goes without, of equal ones the one whose
        id comes first."""
        rank = -ROLES.index(person.role), person.uid
        others = self.several(self._looking_like(person.uid, person.name, PAGE_SIZE))
        first = not any((-ROLES.index(other.role), other.uid) < rank for other in others)
        is_told = lookalikes.is_told_apart(person.name, person.role in STAFF)
        return "" if first and not is_told else _own_tag(person.uid)

    def _looking_like(self, uid: str, name: str, limit: int) -> list[str]:
        """The ids of others whose names look like this one, of `limit` found for each form."""
        forms = sorted(lookalikes.keys(name))
        asked = ((keys.LOOKALIKES, *range_of(f"{form}\0"), 0, limit) for form in forms)
        answers = ask_each(self.client, "zrangebylex", asked)
        found = {entry.rpartition("\0")[2] for some in answers for entry in some}
        return sorted(found - {uid})

    def _forget(self, entries: Sequence[str], there: Collection[str]) -> None:
        """Guests who are forgotten leave their names behind: these entries go as soon as somebody
        sees them, all others when `Guests.forget` comes by."""
        gone = [entry for entry in entries if entry.rpartition("\0")[2] not in there]
        if gone:
            self.client.zrem(keys.NAMES, *gone)
            self.client.zrem(keys.LOOKALIKES, *gone)


def _entry(start: str, person: Person) -> str:
    """The first in order of the entries of a person that begin so; "" for none."""
    its = (entry for entry in entries(person.uid, person.name) if entry.startswith(start))
    return min(its, key=str.encode, default="")


def _name_of(entry: str) -> str:
    """An entry as it may stand in an address."""
    return urlsafe_b64encode(entry.encode()).decode().rstrip("=")


def _place_of(name: str) -> bytes:
    """The entry that is named so, b"" for none."""
    try:
        return urlsafe_b64decode(name + "=" * (-len(name) % 4))
    except ValueError:
        return b""


def _own_tag(uid: str) -> str:
    return f"{zlib.crc32(uid.encode()) & 0xFFFF:04x}"
