"""How long one person waits for the least of answers (`/healthz`) while others do what costs most.

    make lag

A chat with one worker, no limits and cold caches, and one table: for each kind of work how many
answers of its own came, and the median and the longest wait of a client that asks all the time. A
worker is started anew for each row. The figures mean something on a quiet machine only.
"""

import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chat.store import Store

from ..corpus import TEXTS
from ..integration.page import Page
from ..running import Server, Visitor, opened

MESSAGES = 300
SECONDS = 4.0
EVERY = 0.002  # seconds between two questions of the probe
QUESTIONS = 200  # on one connection, which the server ends after a thousand


def probe(port: int, done, waits) -> None:
    """Ask for /healthz on one connection until `done`; puts the waits in ms."""
    found = []
    question = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    while not done.is_set():
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(QUESTIONS):
                start = time.perf_counter()
                line.sendall(question)
                line.recv(65536)
                found.append(1000 * (time.perf_counter() - start))
                time.sleep(EVERY)
    waits.put(found)


class Chat:
    """A chat whose one room has the corpus, and those who use it."""

    def __init__(self, folder: Path) -> None:
        self.server = Server(folder, CHAT_LIMITS="off", CHAT_WORKERS="1").start()
        self.ann, self.eve = Visitor(self.server.url, "Ann"), Visitor(self.server.url, "Eve")
        self.rid = self.ann.create_room("Tea", members=[self.eve.uid], kind="closed")
        self.token = self._token()
        with self.server.redis() as client:
            store = Store(client)
            people = [store.people.get(self.ann.uid), store.people.get(self.eve.uid)]
            texts = list(TEXTS.values())
            for number in range(MESSAGES):
                body = texts[number % len(texts)].replace("x", "tea ", 1)[:4000]
                store.messages.post(self.rid, people[number % 2], body)

    def _token(self) -> str:
        page = self.eve.submit("/me/tokens", "/me/tokens", name="t", scopes=["read", "write"])
        return page.text.partition('value="chat_')[2].partition('"')[0]

    def api(self, path: str):
        headers = {"Authorization": f"Bearer chat_{self.token}"}
        return self.eve.http.get(f"/api{path}", headers=headers)

    # What costs most

    def page(self) -> None:
        assert self.eve.get(f"/rooms/{self.rid}").status_code == 200

    def history(self) -> None:
        for before in range(MESSAGES, 0, -50):
            self.eve.get(f"/rooms/{self.rid}/messages?before={before}")

    def watch(self) -> None:
        page = Page(self.eve, compression="deflate")
        page.watch(self.rid, 2)
        page.receive()
        page.socket.close()

    def preview(self) -> None:
        for text in TEXTS.values():
            self.eve.submit(f"/rooms/{self.rid}/preview", f"/rooms/{self.rid}", body=text)

    def search(self) -> None:
        self.eve.get("/search?q=tea")
        self.api("/search?q=tea&limit=200")

    def messages(self) -> None:
        self.api(f"/rooms/{self.rid}/messages?limit=200")

    def posts(self) -> None:
        page = Page(self.eve)
        page.watch(self.rid, MESSAGES + 50)
        for text in TEXTS.values():
            page.post(self.rid, text)
        page.socket.close()

    def lists(self) -> None:
        for path in ("/", "/unread", "/mentions", "/help/text", "/people", "/rooms", "/go?q=t"):
            self.eve.get(path)

    def export(self) -> None:
        done = self.server.console("export", self.rid, str(self.server.data / "room.html"))
        print(done.stderr[:200]) if done.returncode else None


KINDS = ["page", "history", "watch", "preview", "search", "messages", "posts", "lists", "export"]


def measure(chat: Chat, kind: str) -> tuple[int, list[float]]:
    chat.server.stop()
    chat.server.start()
    done, waits = multiprocessing.Event(), multiprocessing.Queue()
    watching = multiprocessing.Process(target=probe, args=(chat.server.port, done, waits))
    watching.start()
    end, count = time.monotonic() + SECONDS, 0

    def work() -> int:
        times = 0
        while time.monotonic() < end:
            getattr(chat, kind)()
            times += 1
        return times

    with ThreadPoolExecutor(4) as pool:
        count = sum(job.result() for job in [pool.submit(work) for _ in range(4)])
    done.set()
    found = waits.get()
    watching.join()
    return count, found


def main() -> None:
    kinds = sys.argv[1:] or KINDS
    with tempfile.TemporaryDirectory() as folder:
        chat = Chat(Path(folder))
        try:
            print("| work | done | /healthz: median | 99 % | longest (ms) |\n|---|--:|--:|--:|--:|")
            for kind in kinds:
                count, waits = measure(chat, kind)
                waits.sort()
                row = statistics.median(waits), waits[int(0.99 * len(waits))], waits[-1]
                print(f"| {kind} | {count} | " + " | ".join(f"{ms:.1f}" for ms in row) + " |")
                sys.stdout.flush()
        finally:
            opened.pop_all().close()
            chat.server.clean_up()


if __name__ == "__main__":
    main()
