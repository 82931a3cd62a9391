"""The `chat` command."""

import argparse
import logging
import os
import sys
from typing import Any, NoReturn

from .config import BadSetting, Settings
from .observability.log_setup import set_up
from .runtime.heartbeat import write_stacks_when_asked
from .server import data_folder
from .server.embedded_valkey import CannotStart

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> None:
    """Run the command; exits with 1 and one line when it cannot be done."""
    parser = argparse.ArgumentParser(prog="chat", description="A web chat that is plain HTML.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the chat until SIGTERM or Ctrl-C")
    admin = commands.add_parser(
        "admin", help="make somebody an admin of the running chat, or print the first admin's link"
    )
    admin.add_argument(
        "who",
        help="login or id (the id ends the address of that person's page); or the word link, for a "
        "link that makes whoever opens it the first admin",
    )
    commands.add_parser("reload", help="let new processes take over the running chat, one by one")
    check = commands.add_parser(
        "check", help="look for what is wrong in the running chat's database"
    )
    check.add_argument("--repair", action="store_true", help="put right what can be")
    _archive_commands(commands)
    worker = commands.add_parser("worker")  # what `serve` starts; not for people
    worker.add_argument("listener", type=int)
    worker.add_argument("lifeline", type=int)
    worker.add_argument("replaced", type=int)
    worker.add_argument("heartbeat", type=int)
    indexer = commands.add_parser("indexer")  # so is this
    indexer.add_argument("lifeline", type=int)
    indexer.add_argument("heartbeat", type=int)
    args = parser.parse_args(argv)
    os.umask(data_folder.PRIVATE_UMASK)
    # Read before the other settings, so that what is wrong with them is logged in this format, too.
    # What people type at a console is answered in plain text.
    is_json = (
        args.command in ("serve", "worker", "indexer") and os.environ.get("CHAT_LOG") == "json"
    )
    set_up("json" if is_json else "plain")
    try:
        settings = Settings.from_env()
        if args.command in ("worker", "indexer"):
            write_stacks_when_asked()
        if args.command == "worker":
            from .server.worker import main as work

            work(settings, args.listener, args.lifeline, args.replaced, args.heartbeat)
        elif args.command == "indexer":
            from .search.indexer import main as index

            index(settings, args.lifeline, args.heartbeat)
        elif args.command == "serve":
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


def _leave(code: int) -> NoReturn:
    """End without an orderly end of the interpreter: where a thread of obstore is just about to
    tell Python of a file, that aborts the process, after all is done."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _archive_commands(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help="write rooms of the running chat, or all of it, into a file",
        usage="chat export ROOM... FILE | --all [--with-secrets] FILE | ROOM --html FILE",
    )
    export.add_argument("what", nargs="+", metavar="ROOM", help="its id or address; then FILE")
    export.add_argument("--all", action="store_true", help="all rooms and people")
    export.add_argument(
        "--with-secrets",
        action="store_true",
        help="with --all: also what people sign in with (hashes of passwords, sessions, tokens), "
        "webhooks and the audit; keep that file as you keep the database",
    )
    export.add_argument("--html", metavar="FILE", help="one room as a page for people")
    taking = commands.add_parser("import", help="put such a file into the running chat")
    taking.add_argument("file", metavar="FILE")
    taking.add_argument(
        "--all",
        action="store_true",
        help="the file is this chat's own: people come with their rights, rooms here go on",
    )

    for name, words in (
        ("backup", "copy all that the running chat keeps into a folder (embedded Valkey only)"),
        ("restore", "put such a copy into an empty CHAT_DATA, while no chat uses it"),
    ):
        commands.add_parser(name, help=words).add_argument("folder", metavar="FOLDER")


def _on_the_console(settings: Settings, args: argparse.Namespace) -> None:
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
            raise CannotStart("--html takes one room")
        console.export_html(settings, args.what[0], args.html)
    else:
        *rooms, file = args.what
        if args.with_secrets and not args.all:
            raise CannotStart("--with-secrets goes with --all only")
        if bool(rooms) == args.all:
            raise CannotStart("name rooms and then a file, or --all and a file")
        console.export(settings, rooms, file, args.with_secrets)


if __name__ == "__main__":
    main()
