"""Run one target under atheris: `python -m tests.fuzz.one <target> <libFuzzer's options>`."""

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["chat", "markdown_it", "linkify_it"]):
    from . import targets


def main() -> None:
    name = sys.argv.pop(1)
    with contextlib.ExitStack() as stack:
        target = targets.TARGETS[name](stack)

        def run(data: bytes) -> None:
            target(atheris.FuzzedDataProvider(data))

        if name in targets.SEEDS:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for number, seed in enumerate(targets.SEEDS[name]()):
                (folder / str(number)).write_bytes(seed)
            sys.argv.append(str(folder))
        atheris.Setup(sys.argv, run)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
