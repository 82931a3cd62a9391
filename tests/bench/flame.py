"""Draws a flame graph from the output of py-spy, small enough to keep and without a script:

    py-spy record --pid WORKER --rate 500 --duration 10 --format raw --output today.raw
    python -m tests.bench.flame "title" today.raw docs/flame/today.svg

The wider a box, the longer its function was on the stack. Callers are below the functions that they
call. Point at a box to see its share.
"""

import html
import re
import sys
from pathlib import Path

WIDTH, LINE, CHARACTER = 1200, 16, 6.2  # in pixels
SMALLEST = 0.004  # the share below which a box is left out
FILE = re.compile(r"\((?:.*/)?([^/]+?)(?:\.py)?(?::\d+)?\)$")


class Box:
    """A function called from one place: its samples, and the functions that it called."""

    def __init__(self):
        self.count = 0
        self.calls = {}

    def add(self, names, count):
        self.count += count
        if names:
            self.calls.setdefault(names[0], Box()).add(names[1:], count)


def read(text, first=""):
    """Return all samples as one box: of each stack, the part above the first frame named
    `first`."""
    root = Box()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        names = [FILE.sub(r"(\1)", frame) for frame in stack.split(";")]
        root.add(names[names.index(first) + 1 :] if first in names else names, int(count))
    return root


def draw(title, root):
    """Return the picture as SVG."""
    boxes, deepest = [], 0

    def place(name, box, left, depth):
        nonlocal deepest
        share = box.count / root.count
        if share < SMALLEST:
            return
        deepest = max(deepest, depth)
        boxes.append((name, left, share * WIDTH, depth, share))
        for called, inner in sorted(box.calls.items()):
            place(called, inner, left, depth + 1)
            left += inner.count / root.count * WIDTH

    place(title, root, 0, 0)
    height = (deepest + 1) * LINE
    shapes = "\n".join(shape(*box, height) for box in boxes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="monospace" font-size="10">\n{shapes}\n</svg>\n'
    )


def shape(name, left, width, depth, share, height):
    """Return one box, in the colour of its function."""
    top = height - (depth + 1) * LINE
    hue = 10 + sum(name.encode()) % 45
    word = html.escape(name)
    shown = html.escape(name[: int(width / CHARACTER)]) if width > 4 * CHARACTER else ""
    return (
        f'<g><title>{word}: {share:.1%}</title><rect x="{left:.1f}" y="{top}" width="{width:.1f}" '
        f'height="{LINE - 1}" fill="hsl({hue},80%,70%)"/>'
        f'<text x="{left + 2:.1f}" y="{top + 11}">{shown}</text></g>'
    )


if __name__ == "__main__":
    title, source, target = sys.argv[1:]
    Path(target).write_text(draw(title, read(Path(source).read_text())))
