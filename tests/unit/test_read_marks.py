"""Read marks that arrive together are written together, each once, whatever happens to the
others."""

import asyncio

from redis.exceptions import ConnectionError as RedisConnectionError

from chat.realtime import read_marks
from chat.realtime.read_marks import ReadMarks


class Written:
    """What was written, and which pages were told so. Rooms in `failing` cannot be written."""

    def __init__(self, failing=()) -> None:
        self.failing, self.scripts, self.told = failing, [], []
        self.done = asyncio.Event()
        self.marks = ReadMarks(self.write, self.ask)

    def ask(self, function) -> None:
        function()
        self.done.set()

    def write(self, rid, uids, seq, at) -> None:
        if rid in self.failing:
            raise RedisConnectionError("away")
        self.scripts.append((rid, sorted(uids), seq, at))

    def add(self, uid, *event) -> None:
        self.marks.add(uid, event, lambda: self.told.append((uid, *event)))

    async def all(self):
        await asyncio.wait_for(self.done.wait(), 60)
        self.done.clear()
        return sorted(self.scripts)


def run(story, **written):
    async def inside():
        return await story(Written(**written))

    return asyncio.run(inside())


def test_marks_of_one_event_are_one_script_and_a_person_is_in_it_once():
    async def story(written):
        for uid in ("ann", "bob", "ann"):
            written.add(uid, "tea", 7, 1000)
        written.add("ann", "tea", 8, 1001)
        written.add("cy", "den", 7, 1000)
        assert await written.all() == [
            ("den", ["cy"], 7, 1000),
            ("tea", ["ann"], 8, 1001),
            ("tea", ["ann", "bob"], 7, 1000),
        ]
        assert len(written.told) == 5, "every page is told, two of one person too"

    run(story)


def test_what_comes_later_is_written_later():
    async def story(written):
        written.add("ann", "tea", 7, 0)
        await written.all()
        written.add("ann", "tea", 8, 0)
        assert await written.all() == [("tea", ["ann"], 7, 0), ("tea", ["ann"], 8, 0)]

    run(story)


def test_a_room_whose_marks_cannot_be_written_takes_no_others_with_it():
    async def story(written):
        for rid in ("den", "tea", "zoo"):
            written.add("ann", rid, 7, 0)
        assert [rid for rid, *_ in await written.all()] == ["den", "zoo"]
        assert [rid for _, rid, *_ in written.told] == ["den", "zoo"]

    run(story, failing=("tea",))


def test_a_script_is_bounded(monkeypatch):
    monkeypatch.setattr(read_marks, "MAX_PEOPLE", 2)

    async def story(written):
        for number in range(5):
            written.add(f"{number}", "tea", 7, 0)
        scripts = await written.all()
        assert sorted(len(uids) for _, uids, *_ in scripts) == [1, 2, 2]
        assert len(written.told) == 5

    run(story)
