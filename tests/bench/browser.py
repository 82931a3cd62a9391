"""Measures what a browser loads, in a process of its own that drives Chromium and prints one line
of JSON.

The task (a JSON object on standard input) has `port`, two `rooms` of one person, and this person's
cookie in `headers`. The bytes are those on the network, with headers, in the compression that the
server chose. Responses from the browser's cache and frames of the websocket do not count.
"""

import json
import shutil
import sys
import time

from playwright.sync_api import Error, sync_playwright

ARGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
DEADLINE = 20_000  # ms
QUIET = 2  # seconds without a response, after which everything is loaded


class Traffic:
    """The requests of a page since the last `take`."""

    def __init__(self, page):
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.on("Network.responseReceived", self.answered)
        session.on("Network.loadingFinished", self.finished)
        self.page = page
        self.answers = {}  # by request: address, bytes, encoding
        self.last = time.monotonic()

    def answered(self, event):
        """The headers of a response have arrived. A response that nothing has read yet (the next
        composer, which is fetched in advance) never counts as finished, so its Content-Length is
        used."""
        response = event["response"]
        headers = {name.lower(): value for name, value in response["headers"].items()}
        size = response["encodedDataLength"] + int(headers.get("content-length", 0))
        if response.get("fromDiskCache") or response.get("fromPrefetchCache"):
            return
        encoding = headers.get("content-encoding", "none")
        self.answers[event["requestId"]] = [response["url"], int(size), encoding]
        self.last = time.monotonic()

    def finished(self, event):
        """A response is complete."""
        if answer := self.answers.get(event["requestId"]):
            answer[1] = int(event["encodedDataLength"])
            self.last = time.monotonic()

    def take(self, path):
        """Wait until nothing more arrives for a while, and return what has arrived since the last
        call. `path` is the path of the main request."""
        self.last = time.monotonic()
        while time.monotonic() - self.last < QUIET:
            self.page.wait_for_timeout(100)
        taken, self.answers = list(self.answers.values()), {}
        main = next(answer for answer in taken if answer[0].endswith(path))
        return {
            "bytes": sum(size for _, size, _ in taken),
            "requests": len(taken),
            "document": main[1],
            "encoding": main[2],
            "each": taken,
        }


def weigh(task, chromium):
    """Load a room with an empty cache, then switch to another one with a click."""
    origin = f"http://127.0.0.1:{task['port']}"
    one, other = task["rooms"][:2]
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(DEADLINE)
    name, _, value = task["headers"][0][0].partition(": ")[2].partition("=")
    context.add_cookies([{"name": name, "value": value, "url": origin}])
    page = context.new_page()
    traffic = Traffic(page)
    page.goto(f"{origin}/rooms/{one}", wait_until="load")
    first = traffic.take(f"/rooms/{one}")
    page.locator(f"#room-{other} a").click()
    page.locator(f"#panel[data-room='{other}']").wait_for()
    return {"first": first, "switch": traffic.take(f"/rooms/{other}")}


def main():
    """Do the task, print its result or {"error": …}."""
    task = json.load(sys.stdin)
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    if not binary:
        print(json.dumps({"error": "needs Chromium: apt-get install chromium"}))
        return
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=binary, args=ARGS)
            print(json.dumps(weigh(task, chromium)))
            chromium.close()
    except Error as error:
        print(json.dumps({"error": str(error).split("\n", 1)[0]}))


if __name__ == "__main__":
    main()
