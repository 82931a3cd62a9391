"""Makes tables in Markdown from raw results, and puts them into the documents."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import capacity, columns
from tests.bench.promises import LOUD
from tests.bench.scenarios import BY_NAME, SCENARIOS

ROOT = Path(__file__).parents[2]
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"
MISSING = "-"


def markdown(head, rows):
    """Return a table. Columns with numbers, except the first, are aligned to the right."""
    rows = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def show(value):
    """Return a number with about three digits, and text unchanged."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def promise_table(promises):
    """Return the table of promises: the targets and the results."""
    words = {True: "reached", False: "**NOT reached**", None: "not measured"}
    rows = [
        [one.name, one.reach, one.value, words[one.reached] + (" (*)" if one.disturbed else "")]
        for one in promises
    ]
    text = markdown(["measure", "target", "measured", ""], rows)
    if any(one.disturbed for one in promises):
        text += "\n\n(*) Other processes were running: measure again on a quiet machine."
    return text


def group_tables(data):
    """Return one table for each group of scenarios. A row is a server, with a size where sizes
    vary."""
    asked = {name for server in data["servers"].values() for name in server["scenarios"]}
    asked &= set(data["chosen"])
    titles = {scenario.group: None for scenario in SCENARIOS if scenario.name in asked}
    return "\n\n".join(group_table(data, title) for title in titles)


def group_table(data, group):
    """Return the table of one group."""
    scenarios = [s for s in SCENARIOS if s.group == group and s.name in data["chosen"]]
    sizes = [group] if scenarios[0].row else []
    head = [*sizes, "server", *(name for name, _ in scenarios[0].columns)]
    rows = []
    for scenario in scenarios:
        for name, server in data["servers"].items():
            if scenario.name in server["scenarios"]:
                label = [scenario.row] if scenario.row else []
                cells = cells_of(server, scenario)
                rows.append([*label, server["label"] if name != "chat" else "**chat**", *cells])
    title = group if sizes else group.format(**data["options"])
    return f"### {title[0].upper()}{title[1:]}\n\n{markdown(head, rows)}"


def cells_of(server, scenario):
    """Return the figures of one server, or the reason why there are none."""
    result = server["results"].get(scenario.name) or {"error": "not measured"}
    why = server["error"] or result.get("error")
    if why:
        return [f"({why})", *[""] * (len(scenario.columns) - 1)]
    return [show(pick(result)) for _, pick in scenario.columns]


def disturbed(servers):
    """Return a sentence if other processes used the machine meanwhile, otherwise None."""
    windows = [
        (columns.others(result), f"{name} {scenario}")
        for name, server in servers.items()
        for scenario, result in server["results"].items()
        if "error" not in result
    ]
    loud = sorted((window for window in windows if window[0] > LOUD), reverse=True)
    if not loud:
        return None
    share, where = loud[0]
    return (
        f"Other processes were running during {len(loud)} of {len(windows)} measurements "
        f"(at most {share:.0%} of a core, {where}): rates and latencies are those of a busy "
        "machine, and CPU figures are up to half as high again. Measure again when it is quiet."
    )


def machine():
    """Return where and when this was measured."""
    cpus = Path("/proc/cpuinfo").read_text().split("\n")
    model = next((line.partition(":")[2].strip() for line in cpus if "model name" in line), "?")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def where(data):
    """Return one line about the machine, the date and the command."""
    host = data["machine"]
    return (
        f"`{data['command']}`, {host['date'][:10]}, {host['cpu']}, {host['cores']} cores, "
        f"Python {host['python']}, Linux {host['kernel']}; took {data['took']:.0f} s"
    )


def facts(data):
    """Return the machine, the versions and what each server does, as a list."""
    lines = [f"- {where(data)}"]
    for server in data["servers"].values():
        versions = ", ".join(f"{name} {number}" for name, number in server["versions"].items())
        versions = f" ({versions})" if versions else ""
        lines.append(f"- {server['label']}: {server['error'] or server['note']}{versions}")
    left_out = [name for name in BY_NAME if name not in data["chosen"]]
    if left_out:
        lines.append(f"- not included: {', '.join(left_out)} (`make bench ARGS=--full`)")
    if loud := disturbed(data["servers"]):
        lines.append(f"- {loud}")
    return "\n".join(lines)


def capacity_table(servers):
    """Return the figures with which docs/performance.md plans, and what follows from them."""
    known = capacity.letters(servers)
    rows = [[letter, words, show(known[letter])] for letter, words, *_ in capacity.LETTERS]
    rows += [[formula, words, show(value)] for words, formula, value in capacity.derived(known)]
    return f"### Capacity\n\n{markdown(['', 'figure', 'value'], rows)}"


def write_documents(data, promises):
    """Put the tables into README.md and docs/performance.md, between their marks."""
    short = f"{promise_table(promises)}\n\n{where(data)}."
    parts = promise_table(promises), facts(data), group_tables(data)
    full = "\n\n".join([*parts, capacity_table(data["servers"])])
    for path, text in (("README.md", short), ("docs/performance.md", full)):
        before, begin, rest = (ROOT / path).read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise ValueError(f"{path} has no {BEGIN} … {END}")
        (ROOT / path).write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
