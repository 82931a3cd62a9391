"""From raw results to the table, the ratios and the facts about the machine."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

MISSING = "-"
LOUD = 0.1  # of a core: above it, other processes blur what is measured


def per(share, unit):
    """Picks result[share] / result[unit]; None when nothing was counted."""
    return lambda result: result[share] / result[unit] if result[unit] else None


def micro(share, unit):
    """The same in microseconds or thousandths of milliseconds, from seconds."""
    ratio = per(share, unit)
    return lambda result: None if (value := ratio(result)) is None else value * 1e6


def latency(result):
    """p50 / p99 in milliseconds, as this client sees them."""
    if result["p50"] is None:
        return None
    return f"{result['p50'] * 1e3:.1f} / {result['p99'] * 1e3:.1f}"


def shares(result):
    """How busy the server's and the client's process were, in % of one core."""
    server = result["server_cpu"] / result["seconds"]
    client = result["client_cpu"] / result["seconds"]
    return f"{server:.0%} / {client:.0%}"


def others(result):
    """How much of one core processes took that are not part of the measurement."""
    return result["others_cpu"] / result["seconds"]


def memory(result):
    """KB of resident memory per idle connection."""
    return (result["kb_after"] - result["kb_before"]) / result["connections"]


FANOUT = (
    ("deliveries per second", per("deliveries", "seconds")),
    ("server CPU per delivery, µs", micro("server_cpu", "deliveries")),
    ("latency p50 / p99, ms", latency),
    ("bytes per delivery", per("bytes", "deliveries")),
    ("Redis CPU per message, µs", micro("redis_cpu", "messages")),
    ("server / client busy", shares),
)
PAIRS = (
    ("messages per second", per("messages", "seconds")),
    ("server CPU per message, µs", micro("server_cpu", "messages")),
    ("Redis CPU per message, µs", micro("redis_cpu", "messages")),
    ("latency p50 / p99, ms", latency),
    ("server / client busy", shares),
)
MEASURES = {
    "one": ("{viewers} viewers, 1 in flight", FANOUT),
    "sixteen": ("{viewers} viewers, 16 in flight", FANOUT),
    "pair": ("2 viewers, 1 in flight", PAIRS),
    "pairs": ("2 viewers, 16 in flight (8 rooms)", PAIRS),
    "idle": (
        "{idle} connections",
        (
            ("memory per idle connection, KB", memory),
            ("accepted per second", per("connections", "seconds")),
            ("server CPU per connection, µs", micro("server_cpu", "connections")),
        ),
    ),
    "pages": (
        "room page, 50 messages",
        (
            ("pages per second", per("pages", "seconds")),
            ("server CPU per page, µs", micro("server_cpu", "pages")),
            ("bytes per page", per("bytes", "pages")),
        ),
    ),
}
CPU_PER_DELIVERY = FANOUT[1][1]
CPU_PER_MESSAGE = PAIRS[1][1]


def show(value):
    """Three digits or so of a number; text as it is."""
    if value is None:
        return MISSING
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def cell(server, scenario, pick):
    """One server's figure for one measure, "failed", or "-" where it was not asked."""
    result = server["results"].get(scenario)
    if result is None:
        return MISSING
    return "failed" if "error" in result else show(pick(result))


def table(servers, options):
    """Rows are measures, columns are servers; Markdown."""
    rows = [["", *(server["label"] for server in servers.values())]]
    if any(server["error"] for server in servers.values()):
        rows.append(["", *(server["error"] or "" for server in servers.values())])
    for scenario, (title, measures) in MEASURES.items():
        title = title.format(viewers=options["viewers"], idle=f"{options['idle']:,}")
        for name, pick in measures:
            cells = [cell(server, scenario, pick) for server in servers.values()]
            if set(cells) != {MISSING}:
                rows.append([f"{title}: {name}", *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join([lines[0], "| " + " | ".join(rule) + " |", *lines[1:]])


def figure(servers, name, scenario, pick):
    """A number out of the results, or None."""
    result = servers.get(name, {}).get("results", {}).get(scenario)
    return pick(result) if result and "error" not in result else None


def ratios(servers):
    """What the project promises, as dicts: name, value, limit, reached (None: not measured)."""
    promises = (
        ("CPU per delivery, 1 in flight, chat : Hypercorn", "hypercorn", "one", 1 / 3),
        ("CPU per delivery, 16 in flight, chat : Hypercorn", "hypercorn", "sixteen", 1 / 15),
        (
            "CPU per message, 2 viewers, 16 in flight, chat : original",
            "flask-socketio",
            "pairs",
            0.5,
        ),
        ("CPU per message, 2 viewers, 1 in flight, chat : original", "flask-socketio", "pair", 0.5),
    )
    found = []
    for name, peer, scenario, limit in promises:
        pick = CPU_PER_DELIVERY if scenario in ("one", "sixteen") else CPU_PER_MESSAGE
        ours, theirs = (figure(servers, server, scenario, pick) for server in ("chat", peer))
        value = ours / theirs if ours is not None and theirs else None
        loud = max(figure(servers, server, scenario, others) or 0 for server in ("chat", peer))
        found.append(promise(name, value, limit, loud > LOUD))
    held = figure(servers, "chat", "idle", memory)
    return [*found, promise("KB per idle connection", held, 45, False)]


def promise(name, value, limit, loud):
    """One promise, whether it is kept, and whether other processes blur the answer."""
    reached = None if value is None else value <= limit
    return {"name": name, "value": value, "limit": limit, "reached": reached, "disturbed": loud}


def ratio_lines(found):
    """The promises as a list in Markdown."""
    words = {True: "reached", False: "NOT reached", None: "not measured"}
    return "\n".join(
        f"- {one['name']}: {amount(one['value'])} (at most {amount(one['limit'])}): "
        f"{words[one['reached']]}{' (disturbed, see below)' if one['disturbed'] else ''}"
        for one in found
    )


def amount(value):
    """Ratios below one as a fraction of one, the rest as they are."""
    if value is None:
        return MISSING
    return f"1/{1 / value:.3g}" if 0 < value < 1 else f"{value:.3g}"


def disturbed(servers):
    """A sentence when other processes used the machine meanwhile, else None."""
    windows = [
        (others(result), f"{name} {scenario}")
        for name, server in servers.items()
        for scenario, result in server["results"].items()
        if "error" not in result
    ]
    loud = sorted((window for window in windows if window[0] > LOUD), reverse=True)
    if not loud:
        return None
    share, where = loud[0]
    return (
        f"Other processes were at work during {len(loud)} of {len(windows)} measurements "
        f"(at most {share:.0%} of a core, {where}): rates and latencies are those of a busy "
        "machine, and CPU figures are up to half as high again. Measure again when it is quiet."
    )


def machine():
    """Where and when this was measured."""
    cpus = Path("/proc/cpuinfo").read_text().split("\n")
    model = next((line.partition(":")[2].strip() for line in cpus if "model name" in line), "?")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "kernel": platform.release(),
    }


def facts(data):
    """The machine, the versions and what each peer does, as a list in Markdown."""
    host = data["machine"]
    lines = [
        f"- {host['date']}, {host['cpu']}, {host['cores']} cores, Python {host['python']}, "
        f"Linux {host['kernel']}; took {data['took']:.0f} s"
    ]
    for server in data["servers"].values():
        versions = ", ".join(f"{name} {number}" for name, number in server["versions"].items())
        lines.append(f"- {server['label']}: {server['note']} ({versions or 'not installed'})")
        lines += [
            f"- {server['label']}, {scenario} failed: {result['error']}"
            for scenario, result in server["results"].items()
            if "error" in result
        ]
    if data["disturbed"]:
        lines.append(f"- {data['disturbed']}")
    return "\n".join(lines)
