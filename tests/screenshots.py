"""Pictures of the chat to be looked at: `python -m tests.screenshots FOLDER [STATE ...]`.

Every state below at three widths, light and dark. Those in docs/screenshots are some of these, with
Debian's fonts-noto-color-emoji installed; without it emoji are empty boxes.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

from .browser.conftest import ARGS
from .browser.person import Person
from .running import Server
from .showcase import SETTINGS, Showcase, cookies

State = Callable[[Person, Showcase], None]
# Every picture that is in sight has come.
SHOWN = """() => [...document.images].every(image => {
    const {top, bottom} = image.getBoundingClientRect();
    return image.naturalWidth || top > innerHeight || bottom < 0;
})"""
WIDTHS = {360: 740, 768: 1024, 1280: 800}  # and heights, CSS pixels


def garden(person: Person, show: Showcase) -> None:
    person.open(f"/rooms/{show.rooms['garden']}")
    person.wait_live()


def menu(person: Person, show: Showcase, of: str = "plan") -> None:
    garden(person, show)
    message = person.page.locator(f"#m-{show.seqs[of]}")
    message.hover()
    message.get_by_role("button", name="More").click()
    expect(person.page.get_by_role("dialog")).to_be_visible()


def editor(person: Person, show: Showcase) -> None:
    menu(person, show, "reply")
    person.page.get_by_role("link", name="Edit or delete").click()
    person.page.get_by_text("Delete…").click()
    expect(person.page.get_by_role("button", name="Delete for everyone")).to_be_visible()


def files(person: Person, show: Showcase) -> None:
    garden(person, show)
    person.page.get_by_role("button", name="Attach files").click()
    expect(person.page.locator(".attach__field")).to_be_visible()


def preview(person: Person, show: Showcase) -> None:
    garden(person, show)
    person.page.get_by_role("button", name="Write multiple lines").click()
    person.page.locator("textarea#body").fill("**Seeds** to buy:\n\n- radish\n- `dill`")
    person.page.get_by_role("button", name="Preview").click()
    expect(person.page.locator(".composer__preview")).to_be_visible()


def refused(person: Person, show: Showcase) -> None:
    garden(person, show)
    person.enter("   ")
    expect(person.page.locator("#composer .error")).to_be_visible()


def reconnecting(person: Person, show: Showcase) -> None:
    garden(person, show)
    person.page.evaluate(
        "document.querySelector('#live').dispatchEvent(new Event('htmx:ws:close'))"
    )
    expect(person.page.locator(".connection__text")).to_have_css("opacity", "1")


def paper(person: Person, show: Showcase) -> None:
    garden(person, show)
    person.page.emulate_media(media="print")


def at(path: str) -> State:
    """A page by its address; `{garden}` and the like are ids of rooms, `{plan}` is a number."""

    def reach(person: Person, show: Showcase) -> None:
        person.open(path.format(**show.rooms, **show.seqs))
        person.page.wait_for_load_state("load")

    return reach


# Name, who looks ("" for a stranger), and how to get there.
STATES: dict[str, tuple[str, State]] = {
    "sign-in": ("", at("/sign-in")),
    "no-rooms": ("new", at("/")),
    "rooms": ("ann", at("/")),
    "room": ("ann", garden),
    "menu": ("bob", menu),
    "editor": ("ann", editor),
    "files": ("ann", files),
    "search": ("ann", at("/search?q=the")),
    "unread": ("ann", at("/unread")),
    "preview": ("ann", preview),
    "refused": ("ann", refused),
    "reconnecting": ("bob", reconnecting),
    "arabic": ("ann", at("/rooms/{arabic}")),
    "empty": ("ann", at("/rooms/{quiet}")),
    "history": ("bob", at("/rooms/{garden}/messages/{plan}#m-{plan}")),
    "people": ("ann", at("/rooms/{garden}/people")),
    "new-room": ("ann", at("/rooms/new")),
    "profile": ("ann", at("/me")),
    "admin": ("ann", at("/admin/people")),
    "open-rooms": ("new", at("/rooms")),
    "not-found": ("ann", at("/nope")),
    "paper": ("ann", paper),
}


def shoot(browser: Browser, show: Showcase, name: str, folder: Path) -> None:
    """One state at every width, light and dark."""
    who, reach = STATES[name]
    for width, height in WIDTHS.items():
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                reduced_motion="reduce",
                has_touch=width < 700,
                is_mobile=width < 700,
            )
            if who:
                context.add_cookies(cookies(getattr(show, who)))
            person = Person(context.new_page(), show.server.url)
            reach(person, show)
            person.page.wait_for_function(SHOWN)
            person.page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
            context.close()


def main() -> None:
    folder, states = Path(sys.argv[1]), sys.argv[2:] or list(STATES)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        server = Server(Path(data) / "chat", **SETTINGS).start()
        try:
            browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGS)
            show = Showcase(server)
            for name in states:
                shoot(browser, show, name, folder)
            browser.close()
        finally:
            server.clean_up()


if __name__ == "__main__":
    main()
