"""The `chat` command."""

import argparse
import logging
import sys

from .embedded import CannotStart
from .settings import BadSetting, Settings


def main(argv: list[str] | None = None) -> None:
    """Run the command; exits with 1 and one line when it cannot be done."""
    parser = argparse.ArgumentParser(prog="chat", description="A web chat that is plain HTML.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the chat until SIGTERM or Ctrl-C")
    admin = commands.add_parser("admin", help="make somebody an admin of the running chat")
    admin.add_argument("who", help="login or id; the id ends the address of that person's page")
    check = commands.add_parser(
        "check", help="look for what is wrong in the running chat's database"
    )
    check.add_argument("--repair", action="store_true", help="put right what can be")
    worker = commands.add_parser("worker")  # what `serve` starts; not for people
    worker.add_argument("listener", type=int)
    worker.add_argument("lifeline", type=int)
    args = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        settings = Settings.from_env()
        if args.command == "worker":
            from .worker import main as work

            work(settings, args.listener, args.lifeline)
        elif args.command == "admin":
            from . import console

            console.make_admin(settings, args.who)
        elif args.command == "check":
            from . import console

            console.check(settings, args.repair)
        else:
            from .supervisor import Supervisor

            Supervisor(settings).serve()
    except (BadSetting, CannotStart) as error:
        sys.exit(f"chat: {error}")


if __name__ == "__main__":
    main()
