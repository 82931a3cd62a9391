"""What would take long the first time is done before a worker is ready: 60 templates compiled one
by one as pages ask for them held the event loop for up to 56 ms each. All of it takes some 130 ms.
(The lexers that colour code are imported by the process that renders texts.)"""

from typing import TYPE_CHECKING

from ..rendering.local_time import zones

if TYPE_CHECKING:
    from ..app import Chat


def warm_up(app: "Chat") -> None:
    """Compile the templates, and read which time zones there are."""
    for name in app.jinja_env.list_templates():
        app.jinja_env.get_template(name)
    zones()
