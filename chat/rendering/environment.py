"""The Jinja environment of the application.

Everything that depends on Jinja's internals is in this module: a code generator whose templates
escape and call functions faster, and two lookups without locks and copies. Together they save about
a third of the time to render a room page. They are used only with the minor versions of Jinja in
TESTED_JINJA. With any other version, Flask's own environment renders the templates, more slowly and
with the same output (tests/unit/test_environment.py compares the two).
"""

import logging
import re
from importlib.metadata import version
from operator import call
from typing import Any

from flask.templating import Environment
from jinja2 import Template, nodes
from jinja2.compiler import CodeGenerator, Frame
from markupsafe import Markup, escape

log = logging.getLogger(__name__)

TESTED_JINJA = ("3.1",)  # minor versions for which FastCodeGenerator was written and tested
_SPECIAL_IN_HTML = re.compile("[&<>'\"]")


def environment_class(jinja_version: str = "") -> type[Environment]:
    """The fastest environment for this version of Jinja, by default the installed one."""
    found = jinja_version or version("jinja2")
    if found.rpartition(".")[0] in TESTED_JINJA:
        return FastEnvironment
    log.warning(
        "Jinja %s has not been tested with the fast templates (tested: %s). Pages are rendered by "
        "Flask's own environment, which is slower.",
        found,
        ", ".join(TESTED_JINJA),
    )
    return Environment


def escape_output(value: object) -> str:
    """Escape a value for HTML, as markupsafe does.

    markupsafe returns a Markup object for each value, which takes 0.6 µs, twenty times a message.
    The pieces of a template are joined at once, so a plain string is enough here.
    """
    if type(value) is Markup:
        return value
    if type(value) is str and not _SPECIAL_IN_HTML.search(value):
        return value
    return escape(value)


class FastCodeGenerator(CodeGenerator):
    """Generates templates that escape with `escape_output` and call functions directly.

    Jinja first asks every function it calls whether it wants the template's context. None of the
    functions given to these templates does, and macros escape as the environment says.
    """

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        self.write("environment.call(")
        self.visit(node.node, frame)
        self.signature(node, frame, {"caller": "caller"} if forward_caller else None)
        self.write(")")

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        if frame.eval_ctx.autoescape and not frame.eval_ctx.volatile and finalize.src is None:
            self.write("environment.escape_output(")
        else:
            super()._output_child_pre(node, frame, finalize)


class FastEnvironment(Environment):
    """Flask's environment with FastCodeGenerator. Set its globals before the first template is
    loaded."""

    code_generator_class = FastCodeGenerator
    escape_output = staticmethod(escape_output)
    call: Any = staticmethod(call)  # type: ignore[arg-type]

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        self._loaded: dict[str, Template] = {}

    def get_template(self, name: Any, parent: Any = None, globals: Any = None) -> Template:
        # A page imports eight files. Jinja's cache takes a lock for each of them and reorders its
        # entries.
        if self.auto_reload or globals or type(name) is not str:
            return super().get_template(name, parent, globals)
        if (template := self._loaded.get(name)) is None:
            template = self._loaded[name] = super().get_template(name, parent)
        return template

    def make_globals(self, d: Any) -> Any:
        # Jinja returns a ChainMap, which every rendering and every import of a macro copies in
        # Python: a twentieth of the time of a room page. A copy would lack what is added later, and
        # Jinja runs an imported file again for each page that has more globals than that file.
        return {**self.globals, **d} if d else self.globals
