"""The `chat` command."""

import argparse
import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from .config import BadSetting, Settings
from .observability.log_setup import set_up
from .runtime.heartbeat import write_stacks_when_asked
from .server import data_folder
from .server.embedded_valkey import CannotStart

log = logging.getLogger(__name__)


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
    worker = commands.add_parser("worker")  # started by `serve`, not by people
    for descriptor in ("listener", "lifeline", "replaced", "heartbeat"):
        worker.add_argument(descriptor, type=int)
    indexer = commands.add_parser("indexer")  # the same
    for descriptor in ("lifeline", "heartbeat"):
        indexer.add_argument(descriptor, type=int)
    args = parser.parse_args(argv)
    os.umask(data_folder.PRIVATE_UMASK)
    # Read before the other settings, so that errors in them are logged in this format, too. Other
    # commands answer in plain text.
    is_json = (
        args.command in ("serve", "worker", "indexer") and os.environ.get("CHAT_LOG") == "json"
    )
    set_up("json" if is_json else "plain")
    try:
        settings = Settings.from_env()
        if args.command in ("worker", "indexer"):
            write_stacks_when_asked()
        if args.command == "worker":
            with without_garbage_collection():
                from .server.worker import main as work

            work(settings, args.listener, args.lifeline, args.replaced, args.heartbeat)
        elif args.command == "indexer":
            with without_garbage_collection():
                from .search.indexer import main as index

            index(settings, args.lifeline, args.heartbeat)
        elif args.command == "serve":
            with without_garbage_collection():
                from .server.supervisor import Supervisor

            Supervisor(settings).serve()
        else:
            _on_the_console(settings, args)
            _leave(0)
    except (BadSetting, CannotStart) as error:
        if is_json:
            log.critical("%s", error)
        else:
            print(f"chat: {error}", file=sys.stderr)
        _leave(1)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Turn garbage collection off during imports. Nothing that they create is garbage, and
    searching it again and again takes a sixth of the time that a start takes."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


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
    export.add_argument("--all", action="store_true", help="all rooms and people")
    export.add_argument(
        "--with-secrets",
        action="store_true",
        help="with --all: also password hashes, sessions, tokens, webhooks and the audit log; "
        "protect that file like the database",
    )
    export.add_argument("--html", metavar="FILE", help="write one room as an HTML page")
    import_ = commands.add_parser("import", help="read such a file into the running chat")
    import_.add_argument("file", metavar="FILE")
    import_.add_argument(
        "--all",
        action="store_true",
        help="the file is this chat's own: import rights of people, and continue existing rooms",
    )

    for name, words in (
        ("backup", "copy all data of the running chat to a folder (embedded Valkey only)"),
        ("restore", "copy a backup to an empty CHAT_DATA that no chat uses"),
    ):
        commands.add_parser(name, help=words).add_argument("folder", metavar="FOLDER")


def _on_the_console(settings: Settings, args: argparse.Namespace) -> None:
    with without_garbage_collection():
        from .cli import commands as console

    if args.command == "admin" and args.who == "link":
        console.print_setup_link(settings)
    elif args.command == "admin":
        console.make_admin(settings, args.who)
    elif args.command == "reload":
        console.reload(settings)
    elif args.command == "check":
        console.check(settings, args.repair)
    elif args.command == "import":
        console.import_(settings, args.file, args.all)
    elif args.command == "backup":
        console.backup(settings, args.folder)
    elif args.command == "restore":
        console.restore(settings, args.folder)
    elif args.html:
        if args.all or len(args.what) != 1:
            raise CannotStart("--html requires exactly one room")
        console.export_html(settings, args.what[0], args.html)
    else:
        *rooms, file = args.what
        if args.with_secrets and not args.all:
            raise CannotStart("--with-secrets requires --all")
        if bool(rooms) == args.all:
            raise CannotStart("give rooms and then a file, or --all and a file")
        console.export(settings, rooms, file, args.with_secrets)


if __name__ == "__main__":
    main()
