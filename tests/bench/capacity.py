"""The figures with which docs/performance.md plans, by the letters that it gives them."""

from tests.bench import columns

LETTERS = (
    ("M", "memory of a connection, KB", "idle10k", columns.memory),
    ("D", "worker CPU of a delivery, 500 viewers, µs", "one", columns.CPU_PER_DELIVERY),
    ("B", "memory of a worker without connections, MB", "idle10k", lambda r: r["kb_before"] / 1024),
    (
        "A",
        "worker CPU of a message, with its first 2 deliveries, µs",
        "senders",
        columns.CPU_PER_MESSAGE,
    ),
    ("R", "Redis CPU of a message, µs", "senders", columns.micro("redis_cpu", "messages")),
    (
        "H",
        "worker CPU of a reconnecting page, µs",
        "storm",
        columns.micro("server_cpu", "pages"),
    ),
    ("Q", "Redis CPU of a reconnecting page, µs", "storm", columns.micro("redis_cpu", "pages")),
    ("P", "worker CPU of a room page, µs", "pages", columns.micro("server_cpu", "pages")),
    ("W", "bytes of a delivery, compressed", "deflate", columns.BYTES),
)


def letters(servers):
    """Return {letter: value}; the value is None if it was not measured."""
    results = servers.get("chat", {}).get("results", {})
    found = {}
    for letter, _, scenario, pick in LETTERS:
        result = results.get(scenario, {"error": "not measured"})
        found[letter] = None if "error" in result else pick(result)
    return found


def derived(known):
    """Return the figures that follow from the letters, as (words, formula, value)."""

    def work(needs, formula):
        return None if any(known[letter] is None for letter in needs) else formula(known)

    return [
        ("connections per GB", "10^6 / M", work("M", lambda k: 1e6 / k["M"])),
        ("messages / s per core, rooms of 2", "10^6 / A", work("A", lambda k: 1e6 / k["A"])),
        (
            "messages / s per core, rooms of 50 viewers",
            "10^6 / (A + 48 D)",
            work("AD", lambda k: 1e6 / (k["A"] + 48 * k["D"])),
        ),
        ("deliveries / s per core, one at a time", "10^6 / D", work("D", lambda k: 1e6 / k["D"])),
        ("messages / s per Redis", "10^6 / R", work("R", lambda k: 1e6 / k["R"])),
        ("pages / s per core", "10^6 / P", work("P", lambda k: 1e6 / k["P"])),
        ("reconnecting pages / s per core", "10^6 / H", work("H", lambda k: 1e6 / k["H"])),
        ("reconnecting pages / s per Redis", "10^6 / Q", work("Q", lambda k: 1e6 / k["Q"])),
        (
            "million deliveries / s that fill 10 Gbit/s",
            "1250 / W",
            work("W", lambda k: 1250 / k["W"]),
        ),
        ("10^6 connections: memory, GB", "M", work("M", lambda k: k["M"])),
        (
            "10^6 connections: core seconds until all have reconnected",
            "H",
            work("H", lambda k: k["H"]),
        ),
    ]
