"""Quotas: the bytes of files are counted exactly, limited, and corrected after any crash."""

import asyncio
import itertools
import random
import re
import threading
import time

import pytest
import redis
from greenback import with_portal_run_sync
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chat.media.attachments import Files
from chat.media.avatars import Pictures
from chat.media.orphan_cleanup import miscounted
from chat.store import Store
from chat.store.person import GUEST, MEMBER, Person
from chat.store.stored_files import Full, Quotas

from ..running import Server, Visitor
from .test_api import Program
from .test_files import image, send, sweep

MB = 2**20
names = (f"Person {n}" for n in itertools.count(1))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """2 MB for a person, 1 for a guest, 6 for all guests, 8 for everybody."""
    quotas = {"CHAT_QUOTA_PER_PERSON": "2", "CHAT_QUOTA_PER_GUEST": "1"}
    quotas |= {"CHAT_QUOTA_GUESTS": "6", "CHAT_QUOTA": "8"}
    running = Server(
        tmp_path_factory.mktemp("chat"),
        CHAT_SIGN_IN="guest,password",
        CHAT_LIMITS="off",
        CHAT_FILE_SIZE="3",
        **quotas,
    ).start()
    yield running
    running.clean_up()


@pytest.fixture
def inside(server):
    """The store of the running chat; at the end of a test nothing is kept in it."""
    with server.redis() as client:
        store = Store(client)
        yield store
        for rid, fids in list(store.retention.held()):
            client.delete(f"chat:room:{{{rid}}}:files")
            store.stored_files.drop(sorted(fids))
        store.stored_files.drop([one.fid for page in store.stored_files.all() for one in page])


@pytest.fixture
def ann(server):
    return Visitor(server.url, next(names))


def on_disk(server, rid):
    there = (server.data / "files" / rid).rglob("*")
    return sum(path.stat().st_size for path in there if path.is_file())


# On the running chat


def test_the_bytes_of_a_person_are_those_on_the_disk(server, inside, ann):
    """Also of images, which are encoded anew and have a small one."""
    rid, counted = ann.create_room("Tea"), inside.stored_files.of
    assert send(ann, rid, ("a.txt", b"x" * 5000), ("b.png", image("PNG"))).status_code == 303
    assert counted(ann.uid) == on_disk(server, rid) > 5000
    assert inside.stored_files.sums() == (on_disk(server, rid),) * 2
    assert ann.submit(f"/rooms/{rid}/messages/2/delete").status_code == 303
    assert on_disk(server, rid) == counted(ann.uid) == 0
    assert inside.stored_files.sums() == (0, 0)
    assert inside.stored_files.largest(9) == []


@pytest.mark.parametrize("live", [False, True])
def test_who_has_sent_too_much_is_told_so_and_keeps_the_text(server, inside, ann, live):
    rid = ann.create_room("Tea")
    assert send(ann, rid, ("a.bin", b"x" * 700_000)).status_code == 303
    answer = send(ann, rid, ("b.bin", b"x" * 700_000), body="look at this", live=live)
    assert answer.status_code == 413
    assert "683.6 KB of 1 MB" in answer.text
    assert live or 'value="look at this"' in answer.text
    assert inside.stored_files.of(ann.uid) == on_disk(server, rid) == 700_000
    assert send(ann, rid, ("c.bin", b"x" * 300_000)).status_code == 303
    assert "Your files use 976.6 KB of 1 MB." in ann.get("/me").text


def test_a_program_is_told_so_in_json(server, inside, ann):
    program, rid = Program(ann), ann.create_room("Tea")
    answer = program.http.post(f"/rooms/{rid}/files?name=a.bin", content=b"x" * (MB + 1))
    assert answer.status_code == 413
    assert "of 1 MB" in answer.json()["error"]["text"]
    assert inside.stored_files.sums() == (0, 0)
    assert on_disk(server, rid) == 0


def test_of_several_files_that_do_not_fit_together_none_is_kept(server, inside, ann):
    rid = ann.create_room("Tea")
    files = [(f"{n}.bin", b"x" * 400_000) for n in range(3)]
    assert send(ann, rid, *files).status_code == 413
    assert inside.stored_files.sums() == (0, 0)
    assert on_disk(server, rid) == 0


def test_a_file_that_is_refused_counts_for_nothing(server, inside, ann):
    rid = ann.create_room("Tea")
    broken = ("a.png", image("PNG")[:100])
    assert send(ann, rid, ("a.txt", b"some bytes"), broken).status_code == 400
    assert inside.stored_files.sums() == (0, 0)


def test_what_was_sent_twice_counts_once(server, inside, ann):
    rid = ann.create_room("Tea")
    for _ in range(3):
        assert send(ann, rid, ("a.txt", b"x" * 1000), nonce="k1").status_code == 303
    assert inside.stored_files.of(ann.uid) == on_disk(server, rid) == 1000


def test_guests_and_the_whole_chat_have_a_limit_of_their_own(server, inside):
    """Whoever comes: many guests are not many times as much."""
    rid, answers = "", []
    for _ in range(7):
        guest = Visitor(server.url, next(names))
        rid = rid or guest.create_room("Tea")
        guest.join(rid)
        answers.append(send(guest, rid, ("a.bin", b"x" * MB)))
    assert [answer.status_code for answer in answers] == [303] * 6 + [413]
    assert "Guests have used all space for files" in answers[-1].text
    people = [inside.people.create("Somebody", MEMBER) for _ in range(3)]
    quotas = Quotas(person=2 * MB, guest=MB, guests=6 * MB, chat=8 * MB)
    for n, person in enumerate(people[:2]):
        assert inside.stored_files.keep(f"f{n}", "r", person, MB, quotas) is None
    assert inside.stored_files.keep("f3", "r", people[2], 1, quotas) == Full("chat", 8 * MB)


def test_admins_see_whose_files_there_are(server, inside, ann):
    rid = ann.create_room("Tea")
    send(ann, rid, ("a.bin", b"x" * 500_000))
    ada = Visitor(server.url)
    ada.sign_in("Ada")
    inside.people.edit(inside.people.get(ada.uid), role="admin")
    page = re.sub(r"<[^>]+>", " ", ada.get("/admin/files").text)
    assert "All files together use 488.3 KB of 8 MB, files of guests use 488.3 KB of 6 MB" in page
    assert re.search(rf"{inside.people.get(ann.uid).name}\s.*guest\s+488\.3 KB", page, re.S)
    assert ann.get("/admin/files").status_code == 403


def test_what_was_let_go_counts_until_it_is_swept(server, inside, ann):
    """With its room, with its age, with all of a person's messages."""
    rid = ann.create_room("Tea")
    send(ann, rid, ("a.bin", b"x" * 1000))
    inside.client.delete(f"chat:room:{{{rid}}}:files")  # as when an ended room is over
    assert inside.stored_files.of(ann.uid) == 1000
    _age(inside)
    sweep(server, _tomorrow())
    assert inside.stored_files.of(ann.uid) == on_disk(server, rid) == 0


def _tomorrow():
    return time.time() + 24 * 3600


def _age(store):
    """As if every file had been counted long ago."""
    for page in store.stored_files.all():
        for one in page:
            entry = store.client.hget("chat:{stored}:files", one.fid).split(" ")
            entry[2] = "1000"
            store.client.hset("chat:{stored}:files", one.fid, " ".join(entry))


def findings(server, store, repair=False):
    """What is counted wrongly, as texts."""

    def look():
        found = []
        for finding in miscounted(store, Files(Pictures(str(server.data)), 1)):
            found.append(finding.text)
            if repair:
                finding.repair()
        return found

    async def run():
        return await with_portal_run_sync(look)

    return asyncio.run(run())


def test_check_finds_what_is_counted_wrongly_and_puts_it_right(server, inside, ann):
    rid, client = ann.create_room("Tea"), inside.client
    send(ann, rid, ("a.bin", b"x" * 1000), ("b.png", image("PNG")))
    right = inside.stored_files.of(ann.uid)
    fid = next(one.fid for page in inside.stored_files.all() for one in page)
    assert findings(server, inside) == []
    client.zincrby("chat:{stored}:people", 5, ann.uid)
    client.zadd("chat:{stored}:people", {"nobody": 7})
    client.hincrby("chat:{stored}:all", "bytes", -9)
    assert "sum of their sizes" in " ".join(findings(server, inside))
    inside.stored_files.drop(
        [fid]
    )  # as if it had come by an import, or from before this was counted
    texts = findings(server, inside)
    assert f"the file {fid} of the room {rid} is not counted for {ann.uid}" in texts
    inside.stored_files.keep("cut-off", rid, Person(ann.uid, "Ann"), 50)
    assert len(findings(server, inside)) == 2, "an upload may yet be on its way"
    _age(inside)
    assert f"the file cut-off is counted for {ann.uid}, but is gone" in findings(server, inside)
    answer = server.console("check")
    assert answer.returncode == 1
    assert "is not counted for" in answer.stdout
    server.console("check", "--repair")
    assert findings(server, inside) == []
    assert inside.stored_files.of(ann.uid) == right == on_disk(server, rid)
    assert inside.stored_files.sums() == (right, right)


def test_what_comes_by_an_import_counts(server, inside, ann, tmp_path):
    rid = ann.create_room("Tea")
    send(ann, rid, ("a.bin", b"x" * 1000))
    file = str(tmp_path / "tea.jsonl")
    assert server.console("export", rid, file).returncode == 0
    other = Server(tmp_path / "other").start()
    try:
        done = other.console("import", file)
        assert done.returncode == 0, done.stderr
        with other.redis() as client:
            assert Store(client).stored_files.of(ann.uid) == 1000
    finally:
        other.clean_up()


# The sums


def test_at_once_no_more_is_kept_than_there_is_room_for(valkey, client):
    """Of twenty files that come in at the same moment, as many as fit."""
    quotas, person, answers = Quotas(person=10 * MB), Person("ann", "Ann", MEMBER), []

    def keep(n):
        with redis.Redis.from_url(valkey.url, decode_responses=True) as own:
            answers.append(Store(own).stored_files.keep(f"f{n}", "r", person, 3 * MB, quotas))

    threads = [threading.Thread(target=keep, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(answer is None for answer in answers) == 3
    assert Store(client).stored_files.of("ann") == 9 * MB


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["keep", "keep", "drop"]),
        st.integers(0, 5),
        st.sampled_from(["ann", "bob", "gus"]),
        st.integers(0, 2**40),
    ),
    max_size=30,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS, st.integers(0, 2**41))
@example([("keep", 0, "ann", 0), ("drop", 0, "ann", 0)], 0)
def test_the_sums_are_those_of_the_files_whatever_happens(client, steps, most):
    """Kept, kept anew with another size, refused, dropped, dropped again."""
    client.flushall()
    stored, model = Store(client).stored_files, {}
    quotas = Quotas(person=most, guest=most // 2, guests=most, chat=2 * most)
    for what, n, who, size in steps:
        fid = f"{who}-{n}"
        if what == "drop":
            stored.drop([fid, "nothing"])
            model.pop(fid, None)
        else:
            person = Person(who, who, GUEST if who == "gus" else MEMBER)
            before = {k: v for k, v in model.items() if k != fid}
            own = sum(v for k, v in before.items() if k.startswith(who))
            guests = sum(v for k, v in before.items() if k.startswith("gus"))
            fits = [(own + size, quotas.of(person)), (sum(before.values()) + size, quotas.chat)]
            fits += [(guests + size, quotas.guests)] if who == "gus" else []
            less = size <= model.get(fid, 0)
            room = less or all(not limit or used <= limit for used, limit in fits)
            assert (stored.keep(fid, "room", person, size, quotas) is None) == room
            if room:
                model[fid] = size
        for uid in ("ann", "bob", "gus"):
            assert stored.of(uid) == sum(v for k, v in model.items() if k.startswith(uid))
        guests = sum(v for k, v in model.items() if k.startswith("gus"))
        assert stored.sums() == (sum(model.values()), guests)
    assert stored.wrong_sums() == 0
    seen = {one.fid: one.size for page in stored.all() for one in page}
    assert seen == model
    for key in ("chat:{stored}:people", "chat:{stored}:all"):
        client.delete(key) if random.random() < 0.5 else None
    assert stored.wrong_sums(repair=True) >= 0
    assert stored.wrong_sums() == 0
    assert stored.sums() == (sum(model.values()), guests if steps else 0)


def test_files_never_take_the_last_of_the_disk(tmp_path, monkeypatch):
    pictures = Pictures(str(tmp_path))
    usage = type("usage", (), {"total": 100 * 2**30, "free": 3 * 2**30})
    monkeypatch.setattr("chat.media.avatars.shutil.disk_usage", lambda _: usage)
    assert pictures.has_room(2 * 2**30 - 1)
    assert not pictures.has_room(2 * 2**30)
    usage.total, usage.free = 2 * 2**30, 2**30
    assert pictures.has_room(900 * MB), "of a small disk a twentieth stays free"
    assert not pictures.has_room(930 * MB)
