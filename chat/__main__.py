"""The `chat` command."""

import argparse
import gc
import logging
import os
import sys
from pkgutil import resolve_name
from typing import Any, NoReturn

from .config import BadSetting, Settings
from .observability.log_setup import set_up
from .runtime.heartbeat import write_stacks_when_asked
from .server import data_folder
from .server.embedded_valkey import CannotStart

log = logging.getLogger(__name__)

PROGRAMS = {
    "serve": "chat.server.supervisor:serve",
    "worker": "chat.server.worker:main",
    "indexer": "chat.search.indexer:main",
}
"""The commands that run until they are stopped, and write a log. The others are functions of
chat.cli.commands. Only the modules of one command are imported."""


def main(argv: list[str] | None = None) -> None:
    """Run a command. Exits with 1 after printing one line if it cannot run."""
    parser = argparse.ArgumentParser(prog="chat", description="A web chat in plain HTML.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the chat until SIGTERM or Ctrl-C")
    admin = commands.add_parser(
        "admin", help="make somebody an administrator, or print a link for the first administrator"
    )
    admin.add_argument(
        "who",
        help="a login or an id (from the end of the address of the person's page); or the word "
        "link, for a link that makes whoever opens it the first administrator",
    )
    commands.add_parser("reload", help="replace the workers of the running chat, one by one")
    check = commands.add_parser("check", help="look for errors in the database of the running chat")
    check.add_argument("--repair", action="store_true", help="repair what can be repaired")
    _archive_commands(commands)
    for name, descriptors in (  # started by `serve`, not by people
        ("worker", ("listener", "lifeline", "replaced", "heartbeat")),
        ("indexer", ("lifeline", "pipe")),
    ):
        program = commands.add_parser(name)
        for descriptor in descriptors:
            program.add_argument(descriptor, type=int)
    arguments = vars(parser.parse_args(argv))
    command = arguments.pop("command")
    os.umask(data_folder.PRIVATE_UMASK)
    # Read before the other settings, so that errors in them are logged in this format, too. Other
    # commands answer in plain text.
    is_json = command in PROGRAMS and os.environ.get("CHAT_LOG") == "json"
    set_up("json" if is_json else "plain")
    try:
        settings = Settings.from_env()
        if command in ("worker", "indexer"):
            write_stacks_when_asked()
        # Nothing that imports create is garbage, and searching it again and again takes a sixth of
        # the time that a start takes.
        gc.disable()
        run = resolve_name(PROGRAMS.get(command, f"chat.cli.commands:{command}"))
        gc.freeze()
        gc.enable()
        run(settings, **arguments)
        if command not in PROGRAMS:
            _leave(0)
    except (BadSetting, CannotStart) as error:
        if is_json:
            log.critical("%s", error)
        else:
            print(f"chat: {error}", file=sys.stderr)
        _leave(1)


def _leave(code: int) -> NoReturn:
    """Exit without finalizing the interpreter, which would abort the process if a thread of obstore
    is just about to call Python."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _archive_commands(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write rooms, or everything, of the running chat to a file",
        usage="chat export ROOM... FILE | --all [--with-secrets] FILE | ROOM --html FILE",
    )
    export.add_argument(
        "what", nargs="+", metavar="ROOM", help="id or address of a room, then FILE"
    )
    export.add_argument(
        "--all", action="store_true", dest="everything", help="all rooms and people"
    )
    export.add_argument(
        "--with-secrets",
        action="store_true",
        help="with --all: also password hashes, sessions, tokens, webhooks and the audit log; "
        "protect that file like the database",
    )
    export.add_argument("--html", metavar="FILE", help="write one room as an HTML page")
    import_ = commands.add_parser("import", help="read such a file into the running chat")
    import_.set_defaults(command="import_")  # the name of a function cannot be `import`
    import_.add_argument("file", metavar="FILE")
    import_.add_argument(
        "--all",
        action="store_true",
        dest="trusted",
        help="the file is this chat's own: import rights of people, and continue existing rooms",
    )

    for name, words in (
        ("backup", "copy all data of the running chat to a folder (embedded Valkey only)"),
        ("restore", "copy a backup to an empty CHAT_DATA that no chat uses"),
    ):
        commands.add_parser(name, help=words).add_argument("folder", metavar="FOLDER")


if __name__ == "__main__":
    main()
