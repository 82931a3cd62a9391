"""One Chromium for all tests, a context for each person, and no message in anybody's console."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from ..running import Server, Visitor
from .person import NO_SERVER, Person
from .proxy import Proxy

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Each new window would load pages of Chromium's own behind the address field, which takes as
    # much of the processor as a story. The switch counts once: the rest is of Playwright's list.
    "--disable-features=WebUIOmniboxAimPopup,WebUIOmniboxPopup,"
    "PaintHolding,LensOverlay,MediaRouter,OptimizationHints,NetworkTimeServiceQuerying",
]

# What Chromium remarks when somebody, or a #fragment, had the focus before the page was painted.
FOCUS = "Autofocus processing was blocked"

# What it remarks when htmx replaces the page while the socket of the old one is still connecting:
# on Back, for one. The page that comes has a socket of its own.
REPLACED = "WebSocket is closed before the connection is established"


# Not for the session: where Playwright's loop runs, other tests cannot start one of their own.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
        yield chromium
        chromium.close()


class People:
    """Everyone in a story. `allowed` are beginnings or parts of what a console may say."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.contexts: list[BrowserContext] = []
        self.all: list[Person] = []
        self.allowed: tuple[str, ...] = ()

    def come(self, url: str, name: str = "", **options: object) -> Person:
        """Somebody with a browser of their own, signed in when they have a name. How that looks is
        told by the stories of signing in; the others begin behind it."""
        context = self.browser.new_context(**options)
        self.contexts.append(context)
        person = self.tab(context, url, name)
        if name:
            person.visitor = Visitor(url, name)
            cookies = person.visitor.http.cookies.items()
            context.add_cookies([{"name": key, "value": text, "url": url} for key, text in cookies])
            person.open("/")
        return person

    def tab(self, context: BrowserContext, url: str, name: str = "") -> Person:
        person = Person(context.new_page(), url, name)
        self.all.append(person)
        return person

    def may_lose_the_server(self) -> None:
        self.allowed = NO_SERVER

    def leave(self) -> list[str]:
        """Close everything, and return the messages that the consoles should not have."""
        said = [
            f"{p.name}: {text}"
            for p in self.all
            for text in p.complaints
            if not (text.startswith(FOCUS) or REPLACED in text)
        ]
        for context in self.contexts:
            context.close()
        return [text for text in said if not any(part in text for part in self.allowed)]


@pytest.fixture
def people(browser: Browser) -> Iterator[People]:
    everyone = People(browser)
    yield everyone
    assert everyone.leave() == []


@pytest.fixture
def ann(people: People, server: Server) -> Person:
    return people.come(server.url, "Ann")


@pytest.fixture
def bob(people: People, server: Server) -> Person:
    return people.come(server.url, "Bob")


@pytest.fixture
def room(ann: Person, bob: Person) -> str:
    """The id of a room in which Ann and Bob are, live."""
    return meet(ann, bob)


def meet(*members: Person) -> str:
    """All in one room, live; returns its id."""
    first, *others = members
    rid = first.visitor.create_room("Tea")
    for other in others:
        other.visitor.join(rid)
    for member in members:
        member.open(f"/rooms/{rid}")
        member.wait_live().wait_next_form()
    return rid


@pytest.fixture
def network() -> Iterator[Callable[[Server], Proxy]]:
    """Makes a network in front of a server."""
    proxies: list[Proxy] = []

    def make(server: Server) -> Proxy:
        proxies.append(Proxy(server.port))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.close()


@pytest.fixture
def far(server: Server, network) -> Proxy:
    """A slow network: 0.5 s each way on the socket, 0.3 s until the next composer."""
    proxy = network(server)
    proxy.slow[b"/composer?"] = 0.3
    proxy.latency = 0.5
    return proxy


@pytest.fixture
def slow(people: People, far: Proxy) -> Person:
    """Somebody alone in a room, far away."""
    person = people.come(far.url, "Far")
    meet(person)
    return person
