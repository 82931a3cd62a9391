"""Does before a worker is ready what takes long the first time.

Compiling a template when a page first needs it held the event loop for up to 56 ms. Compiling all
60 at the start takes about 130 ms. (The lexers for highlighted code are imported by the process
that renders texts.)
"""

from typing import TYPE_CHECKING

from ..rendering.local_time import zones

if TYPE_CHECKING:
    from ..app import Chat


def warm_up(app: "Chat") -> None:
    """Compile the templates and load the list of time zones."""
    for name in app.jinja_env.list_templates():
        app.jinja_env.get_template(name)
    zones()
