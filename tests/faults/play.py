"""Runs faults on one deployment in an order given by a seed. Then everything goes quiet, all pages
close, and the records are checked."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .checker import check
from .deployment import Deployment
from .faults import Fault
from .journal import Record
from .plan import OF_THE_WIRES, may_be_together, name, why_not
from .verdict import KINDS, Broken, Verdict

RECOVERS_WITHIN = 60.0  # seconds
TOGETHER = 0.2  # share of the faults that are caused together with another one


@dataclass
class Injected:
    """A fault that was caused, alone or with another."""

    names: tuple[str, ...]
    begun: float
    recovered: float = 0.0  # seconds from the end of the fault until every page was up to date


@dataclass
class Run:
    """The result of a run."""

    seed: int
    injected: list[Injected]
    skipped: dict[str, str]
    verdict: Verdict
    records: list[Record]
    streams: dict
    uids: dict[str, str]
    problems: list[str] = field(default_factory=list)

    @property
    def broken(self) -> list[Broken]:
        return self.verdict.broken


async def play(
    folder: Path,
    seed: int,
    seconds: float,
    faults: Sequence[Fault],
    pages: int = 120,
    rooms: int = 5,
    rate: float = 40.0,
    say=print,
    kind: type[Deployment] = Deployment,
    vanish: bool = True,
) -> Run:
    """Inject `faults` in an order given by `seed`, again and again for `seconds`, each at least
    once; sometimes two at once. `vanish`: at the end, the pages of one host disappear silently,
    which the hosts detect after 20 s."""
    apart = any(fault in OF_THE_WIRES for fault in faults)
    deployment = kind(folder, seed, pages, rooms, rate, apart)
    injected: list[Injected] = []
    problems: list[str] = []
    try:
        await deployment.open()
        await deployment.recovered(time.monotonic())
        if await deployment.settled(RECOVERS_WITHIN) >= RECOVERS_WITHIN:
            told = [(page.name, page.people_here) for page in deployment.present[:3]]
            raise TimeoutError(f"before any fault, pages do not show who is online: {told}")
        skipped = {name(fault): why for fault in faults if (why := why_not(fault, deployment))}
        possible = [fault for fault in faults if not why_not(fault, deployment)]
        end = time.monotonic() + seconds
        chance = TOGETHER if kind is Deployment else 0.0
        for together in schedule(random.Random(seed), possible, end, chance):
            injected.append(await inject(deployment, together, problems, say))
        await deployment.quiet()
        await deployment.settled(RECOVERS_WITHIN)
        for page in deployment.pages:
            if page.here:
                deployment.journal.write(page.name, "end")
            if page.pending:
                problems.append(f"{page.name} has no answer to {list(page.pending)[:3]}")
            if page.over.is_set():
                problems.append(f"{page.name} was closed for good")
        await everybody_goes(deployment, vanish)
        streams = await asyncio.to_thread(deployment.streams)
        problems += deployment.ours()
    finally:
        await deployment.close()
    uids = {
        one.name: one.person.uid
        for one in (*deployment.pages, *deployment.passers, *deployment.frames)
    }
    verdict = check(deployment.journal.records, streams, uids)
    return Run(
        seed, injected, skipped, verdict, deployment.journal.records, streams, uids, problems
    )


def schedule(chance: random.Random, faults: Sequence[Fault], end: float, share: float):
    """Yield rounds of all faults, each round in another order, until `end`. A share of TOGETHER is
    combined with another fault."""
    while True:
        order = chance.sample(list(faults), len(faults))
        while order:
            together = [order.pop()]
            if order and chance.random() < share and may_be_together(together[0], order[-1]):
                together.append(order.pop())
            yield together
        if time.monotonic() > end:
            return


async def inject(
    deployment: Deployment, together: list[Fault], problems: list[str], say
) -> Injected:
    """Cause faults at the same time, and wait until every page has recovered."""
    one = Injected(tuple(name(fault) for fault in together), time.monotonic())
    what = " and ".join(one.names)
    deployment.journal.write("harness", "begin", fault=what)
    results = await asyncio.gather(
        *(fault(deployment) for fault in together), return_exceptions=True
    )
    for result in results:
        if isinstance(result, BaseException):
            problems.append(f"{what}: {result!r}")
    over = deployment.journal.write("harness", "over", fault=what)
    try:
        one.recovered = await deployment.recovered(over, RECOVERS_WITHIN)
    except TimeoutError:
        one.recovered = RECOVERS_WITHIN
        late = [page.name for page in deployment.present if page.newest < over]
        problems.append(f"{what}: {len(late)} pages have not recovered, {late[:3]} among them")
    settled = await deployment.settled(RECOVERS_WITHIN)
    await deployment.look_at_read_numbers()
    say(
        f"{what}: {over - one.begun:.1f} s, recovered in {one.recovered:.1f} s, "
        f"every page showed who is online {settled:.1f} s later"
    )
    return one


async def everybody_goes(deployment: Deployment, vanish: bool) -> None:
    """Close all pages, those of one host silently if `vanish`. No page may stay in a hub."""
    if vanish:
        deployment.fronts[0].stall()
    await deployment.end_pages()
    await deployment.emptied(RECOVERS_WITHIN)
    deployment.fronts[0].heal()
    await deployment.look_at_read_numbers()


def table(run: Run) -> str:
    """Return a row for each fault: times injected, messages acked, missing, duplicated, out of
    order, otherwise wrong, and the longest recovery in seconds. An error counts for the fault that
    began last before it."""
    names = sorted({fault for one in run.injected for fault in one.names})
    lines = [
        "| fault | injected | acked | missing | doubled | out of order | other | recovered in s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = {fault: [0, 0, 0, 0, 0, 0, 0.0] for fault in names}
    for one, until in zip(
        run.injected, [*(one.begun for one in run.injected[1:]), float("inf")], strict=True
    ):
        for fault in one.names:
            row = rows[fault]
            row[0] += 1
            row[1] += sum(one.begun <= t < until for t in run.verdict.acked)
            for column, kind in enumerate(KINDS, 2):
                row[column] += sum(
                    one.begun <= broken.t < until and broken.kind == kind for broken in run.broken
                )
            row[6] = max(row[6], one.recovered)
    for fault in names:
        *numbers, recovered = rows[fault]
        lines.append(f"| {fault} | {' | '.join(map(str, numbers))} | {recovered:.1f} |")
    lines += [f"| {fault} | 0: {why} | | | | | | |" for fault, why in run.skipped.items()]
    total = [sum(b.kind == kind for b in run.broken) for kind in KINDS]
    acked = len(run.verdict.acked)
    numbers = " | ".join(map(str, (len(run.injected), acked, *total)))
    lines.append(f"| all | {numbers} | {max(one.recovered for one in run.injected):.1f} |")
    return "\n".join(lines)
