"""The link that makes its reader the first admin: when one is needed, and how it is printed.

Whoever reads the output of the server runs the chat; a visitor does not. So the link is what the
first admin proves to be the operator with. `chat serve` prints it while there is no admin, and
`chat admin link` prints another one.
"""

from ..config import Settings
from ..store import Store
from ..store.setup_links import LINK_SECONDS

HOURS = LINK_SECONDS // 3600


def opens_without(settings: Settings, store: Store) -> bool:
    """True while the first visitor from this machine may make the first account without the link:
    only this machine reaches the chat (Settings.is_local), passwords are on, and nobody has used
    the chat yet. Where people are already, the next visitor is just one of them."""
    return settings.is_local and "password" in settings.sign_in and not store.people.exist()


def is_needed(settings: Settings, store: Store) -> bool:
    """True when `chat serve` should print the link. In a chat of guests alone nothing is printed,
    because there are no accounts to look after; `chat admin link` works all the same."""
    if set(settings.sign_in) <= {"guest"} or store.accounts.has_admin():
        return False
    return not opens_without(settings, store)


def notice(settings: Settings, secret: str, port: int = 0) -> str:
    """What is printed for the operator. `port` is the one that the chat listens on, if known."""
    address = settings.origin or _address(settings, port or settings.port)
    return (
        f"This chat has no admin yet. To become its admin, open this link within {HOURS} hours:\n"
        f"\n    {address}/first-run/{secret}\n\n"
        "It works once. Keep it to yourself. `chat admin link` prints a new one."
    )


def _address(settings: Settings, port: int) -> str:
    host = settings.host
    if host in ("0.0.0.0", "::"):
        host = "ADDRESS-OF-THIS-MACHINE"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
