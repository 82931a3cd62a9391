"""Measures how long searches take: `python -m tests.bench.finding [messages]` (default: 1,000,000).

Fills a chat with messages over a year, in 200 rooms of very different sizes, lets the indexer read
them, and searches as a person who is in 50 of the rooms. It measures the search page, from the
request to the last byte. Words are made up, with frequencies like those of a language (Zipf).
"""

import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from chat.search.index import INDEX_FILE
from chat.store import Store, keys
from tests.running import Server, Visitor

ROOMS, MINE, PEOPLE, VOCABULARY = 200, 50, 100, 60_000
YEAR = 365 * 24 * 3600 * 1000  # ms
BATCH = 2000
ASKED = 40  # times that each query is repeated


def main(count):
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), CHAT_LIMITS="off").start()
        try:
            measure(server, count)
        finally:
            server.clean_up()


def measure(server, count):
    visitor = Visitor(server.url, "Asker")
    words = vocabulary()
    began = time.perf_counter()
    fill(server, visitor.uid, words, count)
    print(f"{count:,} messages filled in {time.perf_counter() - began:.0f} s", flush=True)
    wait_read(server, count)
    size = (server.data / INDEX_FILE).stat().st_size
    print(f"index: {size / 1e6:.0f} MB, {size / count:.0f} bytes a message", flush=True)
    common, often, rare = words[0], words[200], words[20_000]
    rows = {
        "a common word": common,
        "an ordinary word": often,
        "a rare word": rare,
        "a word that nobody wrote": "qqqqq ",
        "two common words": f"{common} {words[1]} ",
        "two ordinary words": f"{often} {words[300]} ",
        "a common and a rare word": f"{common} {rare} ",
        "a common phrase": f'"{common} {words[1]}"',
        "two letters, while typing": common[:2],
        "three letters": often[:3],
        "five letters": often[:5],
        "a common word, from:": f"{common} from:me",
        "from: alone": 'from:"Person 7"',
        "a common word in one room": f'{common} in:"Room 40" ',
        "a common word, early days": f"{common} before:2026-01-15",
        "an ordinary word on one day": f"{often} on:2026-03-03",
        "a rare word with all of it": f"{rare} from:me after:2025 before:2027",
    }
    print(f"{'question':32} {'found':>5} {'p50 ms':>8} {'p95 ms':>8} {'worst':>8}")
    for name, q in rows.items():
        times, found = [], 0
        for _ in range(ASKED):
            began = time.perf_counter()
            answer = visitor.get("/search", params={"q": q})
            times.append((time.perf_counter() - began) * 1000)
            assert answer.status_code == 200, answer.text
            found = answer.text.count("found__link")
        p95 = statistics.quantiles(times, n=20)[-1]
        print(f"{name:32} {found:5} {statistics.median(times):8.1f} {p95:8.1f} {max(times):8.1f}")


def vocabulary():
    """Return made-up words, the most frequent and shortest first."""
    parts = [c + v for c in "bdfghklmnprstvwz" for v in "aeiou"]
    made = {}
    while len(made) < VOCABULARY:
        size = 1 + min(4, int(len(made) ** 0.15))
        made["".join(random.choices(parts, k=size + random.randrange(2)))] = None
    return list(made)


def fill(server, uid, words, count):
    with server.redis() as client:
        store = Store(client)
        people = [store.people.create(f"Person {n}") for n in range(PEOPLE)] + [
            store.people.get(uid)
        ]
        rids = [
            store.rooms.create(f"Room {n}", "closed", people[n % PEOPLE], people[-1:] * (n < MINE))
            for n in range(ROOMS)
        ]
        # Some of the person's rooms are small, some large.
        shares = [1 / (1 + (n * 7) % ROOMS) for n in range(ROOMS)]
        weights = [1 / (n + 3) for n in range(len(words))]
        now = int(time.time() * 1000)
        seqs = dict.fromkeys(rids, 1)
        for start in range(0, count, BATCH):
            pipeline = client.pipeline(transaction=False)
            some = min(BATCH, count - start)
            text = random.choices(words, weights, k=some * 12)
            for n, rid in enumerate(random.choices(rids, shares, k=some)):
                seqs[rid] += 1
                author = random.choice(people)
                body = " ".join(text[12 * n : 12 * n + random.randint(2, 12)])
                data = json.dumps(["post", author.uid, author.name, body])
                at = now - YEAR + (start + n) * (YEAR // count)
                pipeline.xadd(keys.events(rid), {"at": at, "data": data}, f"{seqs[rid]}-0")
            pipeline.execute()
        for rid, seq in seqs.items():
            line = f"{seq} {now} " + json.dumps(["post", uid, "Asker", "the end"])
            client.hset(keys.room(rid), mapping={"seq": seq, "last": line})


def wait_read(server, count):
    """Let a new indexer read everything, and print how long that takes."""
    server.stop()
    for path in server.data.glob(f"{INDEX_FILE}*"):
        path.unlink()
    server.start()
    began = time.perf_counter()
    import sqlite3

    total, ticks = 0, indexer_ticks(server)
    while total < count:
        time.sleep(0.5)
        try:
            db = sqlite3.connect(f"file:{server.data / INDEX_FILE}?mode=rw", uri=True)
            total = db.execute("SELECT coalesce(sum(cursor), 0) FROM room").fetchone()[0]
            db.close()
        except sqlite3.Error:
            pass
    ticks = indexer_ticks(server)
    took = time.perf_counter() - began
    print(f"read in {took:.0f} s ({count / took:,.0f} a second), {ticks:.0f} s of CPU", flush=True)


def indexer_ticks(server):
    from tests.bench.processes import cpu_seconds, descendants

    below = descendants(server.process.pid)
    return cpu_seconds([pid for pid, command in below.items() if " indexer " in command])


if __name__ == "__main__":
    os.environ.setdefault("TZ", "UTC")
    main(int(sys.argv[1].replace(",", "")) if len(sys.argv) > 1 else 1_000_000)
