"""A person in front of Chromium, with the verbs of a chat."""

import json
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, WebSocket, expect

from ..running import Visitor

KEY = 15  # ms between two keys
DEADLINE = 20.0  # seconds for anything to become true on a page
# Seconds for a page to come back. Its tries are 1, 2, 4, ... s apart, and up to twice that.
BACK = 70.0
# What Chromium and htmx say when there is no server to be reached.
NO_SERVER = (
    "WebSocket connection to",
    "net::ERR",
    "Failed to load resource",
    "Failed to fetch",
    "htmx: htmx:ws:error:",
)

LOOK = """() => {
    const scroll = document.querySelector("#scroll"), top = scroll.getBoundingClientRect().top;
    const first = [...document.querySelectorAll("#messages > li[id]")]
        .find(item => item.getBoundingClientRect().bottom > top);
    const edge = scroll.scrollHeight - scroll.clientHeight + scroll.scrollTop;
    return {id: first.id, y: first.getBoundingClientRect().top, from_end: -scroll.scrollTop, edge};
}"""

STATE = """() => {
    const connection = document.querySelector("#live")?._htmx?.ws?.connection;
    return connection && {ready: connection.socket?.readyState, attempt: connection.attempt};
}"""


class Person:
    """One tab. What its console says is kept in `complaints`."""

    def __init__(self, page: Page, url: str, name: str = "") -> None:
        self.page = page
        self.url = url
        self.name = name
        self.visitor: Visitor  # the same person without a browser, where others made the session
        self.complaints: list[str] = []
        self.sockets: list[WebSocket] = []  # of the page that is open
        self.frames: list[dict[str, Any]] = []  # what the newest socket sent
        self.forms: list[str] = []  # addresses of the next composers that were fetched
        page.set_default_timeout(DEADLINE * 1000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._leave)
        page.on("websocket", self._socket)
        page.on("response", self._answered)

    # Going places

    def open(self, path: str) -> None:
        self.page.goto(self.url + path, wait_until="domcontentloaded")

    def sign_in(self, name: str) -> None:
        self.name = name
        self.open("/sign-in")
        self.page.get_by_label("Your name").fill(name)
        self.page.get_by_role("button", name="Start chatting").click()
        expect(self.page.locator("#side")).to_be_attached()

    def create_room(self, name: str) -> str:
        """Start a room and be in it; returns its id."""
        self.open("/rooms/new")
        self.page.get_by_label("Name", exact=True).fill(name)
        self.page.get_by_role("button", name="Create the room").click()
        # Without scripts a room never ends loading: its new messages are one endless answer.
        self.page.wait_for_url(lambda url: not url.endswith("/new"), wait_until="commit")
        expect(self.page.locator("#room-name")).to_have_text(name)
        return self.room

    def join_room(self, rid: str) -> None:
        self.open(f"/rooms/{rid}")
        self.page.get_by_role("button", name="Join").click()
        expect(self.page.locator("#panel")).to_have_attribute("data-room", rid)

    def switch_to(self, rid: str) -> None:
        """Choose another room in the list on the side."""
        self.page.locator(f"#room-{rid} a").click()
        expect(self.page.locator("#panel")).to_have_attribute("data-room", rid)

    @property
    def room(self) -> str:
        """The id of the room on screen."""
        return self.page.locator("#panel").get_attribute("data-room") or ""

    # Writing

    def type(self, text: str, delay: float = KEY) -> None:
        """Type where the cursor is."""
        self.page.keyboard.type(text, delay=delay)

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def enter(self, text: str, delay: float = KEY) -> None:
        """Type and press Enter, whatever comes of it."""
        self.type(text, delay)
        self.press("Enter")

    def send(self, text: str) -> None:
        """Write a message and see an empty composer before going on."""
        self.enter(text)
        self.wait_empty()

    def wait_empty(self) -> None:
        """Wait for a composer in which the next message can be typed."""
        expect(self.page.locator("#body:focus")).to_have_value("")

    def draft(self) -> str:
        """What stands in the composer that has the focus."""
        body = self.page.locator("#body")
        expect(body).to_be_focused()
        return body.input_value()

    def fields(self) -> list[str]:
        """What stands in the fields of the composers that can be seen."""
        return self.page.locator("#composer form:visible .composer__body").evaluate_all(
            "fields => fields.map(field => field.value)"
        )

    # Reading

    def messages(self) -> list[str]:
        return self.page.locator("#messages .message__body").all_inner_texts()

    def seqs(self) -> list[int]:
        """The numbers of all that stands in the room, messages and others."""
        return self.page.locator("#messages > li[id^='m-']").evaluate_all(
            "items => items.map(item => Number(item.id.slice(2)))"
        )

    def wait_for(self, *texts: str) -> None:
        self.until(lambda: set(texts) <= set(self.messages()), f"{texts} at {self.name}")

    def look(self) -> dict[str, Any]:
        """Which item is at the top of the view, and where."""
        return self.page.evaluate(LOOK)

    def scroll(self, pixels: int) -> None:
        """Turn the wheel over the messages, and wait until they stand still."""
        self.page.locator("#scroll").hover()
        self.page.mouse.wheel(0, pixels)
        seen: list[float] = []

        def still() -> bool:
            seen.append(self.look()["from_end"])
            return len(seen) > 5 and len(set(seen[-5:])) == 1

        self.until(still, "standing still")

    # The connection

    def is_live(self) -> bool:
        """True when the open socket has asked for the room on screen. Nothing on the page says
        so, and nothing must: what comes before is read from the history."""
        watches = [frame for frame in self.frames if frame["type"] == "watch"]
        open_ = bool(self.sockets) and not self.sockets[-1].is_closed()
        return open_ and bool(watches) and watches[-1]["room"] == self.room

    def wait_live(self, deadline: float = DEADLINE) -> "Person":
        """Wait for the socket."""
        self.until(self.is_live, f"{self.name}'s page being live", deadline)
        expect(self.page.locator("#connection")).to_be_empty()
        return self

    def wait_next_form(self, count: int = 1) -> None:
        self.until(lambda: len(self.forms) >= count, "the next composer being at hand")

    def sent(self, type: str) -> list[dict[str, Any]]:
        """The frames of a type that left on the newest socket."""
        return [frame for frame in self.frames if frame["type"] == type]

    def until(self, true: Callable[[], object], what: str, deadline: float = DEADLINE) -> None:
        """Wait for a state of the page, and fail with `what`."""
        end = time.monotonic() + deadline
        while not true():
            if time.monotonic() > end:
                raise AssertionError(
                    f"{what} did not happen within {deadline:.0f} s; {self.page.url} sent "
                    f"{self.frames} on the last of {len(self.sockets)} sockets; now {self.state()}"
                )
            self.page.wait_for_timeout(20)

    def state(self) -> Any:
        """What htmx knows of its socket."""
        return self.page.evaluate(STATE)

    def _leave(self, request: Any) -> None:
        """Another page is asked for. That the sockets of this one closed may be told late, or
        never: the next page would be taken for live before it is."""
        if request.is_navigation_request() and request.frame == self.page.main_frame:
            self.sockets, self.frames = [], []

    def _socket(self, socket: WebSocket) -> None:
        self.sockets.append(socket)
        self.frames = frames = []
        socket.on("framesent", lambda text: frames.append(json.loads(text)))

    def _answered(self, response: Any) -> None:
        if "/composer?" in response.url:
            self.forms.append(response.url)

    def _dialog(self, dialog: Any) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()
