"""`make dev`: serve the chat, and load every change of its files.

A change in chat/, templates/ or static/ makes the supervisor replace its workers, as `chat reload`
does: the new worker compiles the templates, reads the style sheets and imports the code anew. When
it cannot start, because of a syntax error for example, the old one keeps serving and the traceback
is on the terminal. A change of what the supervisor itself runs restarts the whole chat.

Settings come from the environment, as with `chat serve`.
"""

import signal
import subprocess
import sys
from pathlib import Path

from watchfiles import watch

from chat.config import Settings
from chat.server.pidfile import serving_process

ROOT = Path(__file__).parents[1]
FOLDERS = [ROOT / name for name in ("chat", "templates", "static")]
SUPERVISOR = ("chat/server/", "chat/config.py", "chat/__main__.py")  # loaded by a restart only
DEBOUNCE_MS = 100  # an editor, or git, that writes many files causes one reload


class DevServer:
    """`chat serve` as a child process, which is reloaded or restarted."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.process = self._start()

    def reload(self) -> None:
        """Replace the workers; the address keeps answering."""
        if serving_process(self.data) == self.process.pid:
            self.process.send_signal(signal.SIGHUP)
        else:  # it is still starting, or it could not start
            self.restart()

    def restart(self) -> None:
        self.stop()
        self.process = self._start()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        # A session of its own: Ctrl-C reaches this process only, which stops the chat in order.
        command = [sys.executable, "-m", "chat", "serve"]
        return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a script may have started it without SIGINT
        signal.signal(number, signal.default_int_handler)
    server = DevServer(Settings.from_env().data)
    try:
        for changes in watch(*FOLDERS, debounce=DEBOUNCE_MS):
            paths = sorted(Path(path).relative_to(ROOT).as_posix() for _, path in changes)
            needs_restart = any(path.startswith(SUPERVISOR) for path in paths)
            print(f"{'Restart' if needs_restart else 'Reload'}: {paths[0]} changed", flush=True)
            if needs_restart:
                server.restart()
            else:
                server.reload()
    except KeyboardInterrupt:
        pass
    finally:
        server.stop()


if __name__ == "__main__":
    main()
