"""The columns of the tables: each has a name and is a function of a scenario's result."""


def per(share, unit):
    """Return a function for result[share] / result[unit]; None if nothing was counted."""
    return lambda result: result[share] / result[unit] if result[unit] else None


def scaled(pick, factor):
    """Return a function for the result of `pick` times a factor."""
    return lambda result: None if (value := pick(result)) is None else value * factor


def micro(share, unit):
    """Return a function for the microseconds of result[share] per result[unit]."""
    return scaled(per(share, unit), 1e6)


def latency(result):
    """p50 / p99 in milliseconds, as this client sees them."""
    if result["p50"] is None:
        return None
    late = " (overloaded)" if result.get("overloaded") else ""
    return f"{result['p50'] * 1e3:.1f} / {result['p99'] * 1e3:.1f}{late}"


def p99(result):
    """The 99th percentile in milliseconds; infinite if some messages did not arrive."""
    if result.get("overloaded"):
        return float("inf")
    return None if result["p99"] is None else result["p99"] * 1e3


def shares(result):
    """The load of the server's and the client's process, in % of one core."""
    server = result["server_cpu"] / result["seconds"]
    client = result["client_cpu"] / result["seconds"]
    return f"{server:.0%} / {client:.0%}"


def others(result):
    """How much of one core was used by processes that are not part of the measurement."""
    return result.get("others_cpu", 0) / result.get("seconds", 1)


def memory(result):
    """KB of resident memory per idle connection."""
    return (result["kb_after"] - result["kb_before"]) / result["connections"]


def pages_per_core(result):
    """Like DELIVERIES_PER_CORE below, for pages."""
    rate = per("pages", "server_cpu")(result)
    return None if rate is None else rate * result["processes"]


def pages_failed(result):
    """How many connections failed, and why."""
    why = ", ".join(f"{count} × {reason}" for reason, count in result["reasons"].items())
    return f"{result['errors']}{f' ({why})' if why else ''}"


DELIVERIES = per("deliveries", "seconds")
CPU_PER_DELIVERY = micro("server_cpu", "deliveries")
CPU_PER_MESSAGE = micro("server_cpu", "messages")
BYTES = per("bytes", "deliveries")
PAGES = per("pages", "seconds")
# What the server's processes would do if each had a core and nothing to wait for. A message is
# delivered when the busiest process has done its part; pages do not wait for other processes.
DELIVERIES_PER_CORE = per("deliveries", "busiest_cpu")
REDIS_SHARE = per("redis_cpu", "seconds")

FANOUT = (
    ("deliveries / s", DELIVERIES),
    ("server CPU / delivery, µs", CPU_PER_DELIVERY),
    ("p50 / p99, ms", latency),
    ("bytes / delivery", BYTES),
    ("Redis CPU / message, µs", micro("redis_cpu", "messages")),
    ("server / client busy", shares),
)
SIXTEEN = (*FANOUT, ("deliveries / s with a core for each process", DELIVERIES_PER_CORE))
TALK = (
    ("messages / s", per("messages", "seconds")),
    ("server CPU / message, µs", CPU_PER_MESSAGE),
    ("Redis CPU / message, µs", micro("redis_cpu", "messages")),
    ("p50 / p99, ms", latency),
    ("server / client busy", shares),
)
PACED = (
    ("messages / s offered", lambda result: result["rate"]),
    ("messages / s", per("messages", "seconds")),
    ("p50 / p99, ms", latency),
    ("server CPU / delivery, µs", CPU_PER_DELIVERY),
    ("server / client busy", shares),
)
IDLE = (
    ("memory / connection, KB", memory),
    ("accepted / s", per("connections", "seconds")),
    ("server CPU / connection, µs", micro("server_cpu", "connections")),
)
PAGE = (
    ("pages / s", PAGES),
    ("server CPU / page, µs", micro("server_cpu", "pages")),
    ("Redis CPU / page, µs", micro("redis_cpu", "pages")),
    ("bytes / page", per("bytes", "pages")),
    ("pages / s with a core for each process", pages_per_core),
)
STORM = (
    ("time until all are live, s", lambda result: result["seconds"]),
    ("errors", pages_failed),
    ("Redis, % of a core", scaled(REDIS_SHARE, 100)),
    ("server CPU / page, µs", micro("server_cpu", "pages")),
    ("duration of the restart, s", lambda result: result["restart"]),
    ("server / client busy", shares),
)
VIEWERS = (
    ("server CPU / message, µs", CPU_PER_MESSAGE),
    ("server CPU / delivery, µs", CPU_PER_DELIVERY),
    ("deliveries / s", DELIVERIES),
)
WEIGHT = (
    ("first page, KB", lambda result: result["first"]["bytes"] / 1024),
    ("requests", lambda result: str(result["first"]["requests"])),
    ("the page itself, KB", lambda result: result["first"]["document"] / 1024),
    ("page encoding", lambda result: result["first"]["encoding"]),
    ("room switch, KB", lambda result: result["switch"]["bytes"] / 1024),
    ("switch requests", lambda result: str(result["switch"]["requests"])),
    ("switch encoding", lambda result: result["switch"]["encoding"]),
)
