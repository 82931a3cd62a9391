"""The link for the first administrator: when it is needed, and its text.

Whoever has the link can read the server's output, which visitors cannot. `chat serve` prints it
while there is no administrator, and `chat admin link` prints a new one.
"""

from ..config import Settings
from ..store import Store
from ..store.accounts import SETUP_LINK_SECONDS

VALID_HOURS = SETUP_LINK_SECONDS // 3600


def opens_without(settings: Settings, store: Store) -> bool:
    """True while a visitor may create the first account without the link: only this machine reaches
    the chat (Settings.is_local), passwords are on, and nobody has used the chat yet. In a chat that
    has people, the next visitor has no special role."""
    return settings.is_local and "password" in settings.sign_in and not store.people.exist()


def is_needed(settings: Settings, store: Store) -> bool:
    """True when `chat serve` should print the link. A chat of guests alone has no accounts to
    manage, so nothing is printed; `chat admin link` works there too."""
    if set(settings.sign_in) <= {"guest"} or store.accounts.has_admin():
        return False
    return not opens_without(settings, store)


def notice(settings: Settings, secret: str, port: int = 0) -> str:
    """The text for the operator. `port` is the port that the chat listens on, if known."""
    address = settings.origin or _address(settings, port or settings.port)
    return (
        "This chat has no administrator yet. "
        f"To become its administrator, open this link within {VALID_HOURS} hours:\n"
        f"\n    {address}/first-run/{secret}\n\n"
        "It works once. Keep it to yourself. `chat admin link` prints a new one."
    )


def _address(settings: Settings, port: int) -> str:
    host = settings.host
    if host in ("0.0.0.0", "::"):
        host = "ADDRESS-OF-THIS-MACHINE"
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
