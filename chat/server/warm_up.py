"""Does work that is slow the first time, before a worker is ready.

Compiling a template when a page first needs it held the event loop for up to 56 ms. Compiling all
60 at the start takes about 130 ms. (The lexers for highlighted code are imported by the process
that renders texts.)
"""

from jinja2 import Environment

from ..rendering.local_time import zones


def warm_up(templates: Environment) -> None:
    """Compile the templates and load the list of time zones."""
    for name in templates.list_templates():
        templates.get_template(name)
    zones()
