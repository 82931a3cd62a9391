"""One run: faults by a seed, then quiet, then the check."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .checker import DISORDER, DOUBLED, MISSING, Broken, Verdict, check
from .faults import OF_THE_DATABASE, OF_THE_WIRES, Fault, name, why_not
from .journal import Record
from .stage import Stage

RECOVERS_WITHIN = 60.0  # seconds


@dataclass
class Injected:
    """A fault that was caused, alone or with another."""

    names: tuple[str, ...]
    begun: float
    recovered: float = 0.0  # seconds after it was over until everyone was shown what is new


@dataclass
class Run:
    """What came of it."""

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
) -> Run:
    """Inject `faults` in an order that `seed` gives, over and over until `seconds` are over, and
    each once at least; sometimes two at once."""
    apart = any(fault in OF_THE_WIRES for fault in faults)
    stage = Stage(folder, seed, pages, rooms, rate, apart)
    injected: list[Injected] = []
    problems: list[str] = []
    try:
        await stage.open()
        await stage.recovered(time.monotonic())
        skipped = {name(fault): why for fault in faults if (why := why_not(fault, stage))}
        possible = [fault for fault in faults if not why_not(fault, stage)]
        end = time.monotonic() + seconds
        for together in schedule(random.Random(seed), possible, end):
            injected.append(await inject(stage, together, problems, say))
        await stage.quiet()
        for page in stage.pages:
            if page.here:
                stage.journal.write(page.name, "end")
            if page.pending:
                problems.append(f"{page.name} has no answer to {list(page.pending)[:3]}")
            if page.over.is_set():
                problems.append(f"{page.name} was closed for good")
        streams = await asyncio.to_thread(stage.primary.streams)
        problems += stage.ours()
    finally:
        await stage.close()
    uids = {page.name: page.person.uid for page in stage.pages}
    verdict = check(stage.journal.records, streams, uids)
    return Run(seed, injected, skipped, verdict, stage.journal.records, streams, uids, problems)


def schedule(chance: random.Random, faults: Sequence[Fault], end: float):
    """Rounds of all faults, each round in another order, until `end`."""
    while True:
        order = chance.sample(list(faults), len(faults))
        while order:
            together = [order.pop()]
            if order and chance.random() < 0.2:
                other = order[-1]
                if not (together[0] in OF_THE_DATABASE and other in OF_THE_DATABASE):
                    together.append(order.pop())
            yield together
        if time.monotonic() > end:
            return


async def inject(stage: Stage, together: list[Fault], problems: list[str], say) -> Injected:
    """Cause faults at the same time, and wait until everyone has recovered from them."""
    one = Injected(tuple(name(fault) for fault in together), time.monotonic())
    what = " and ".join(one.names)
    stage.journal.write("harness", "begin", fault=what)
    results = await asyncio.gather(*(fault(stage) for fault in together), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            problems.append(f"{what}: {result!r}")
    over = stage.journal.write("harness", "over", fault=what)
    try:
        one.recovered = await stage.recovered(over, RECOVERS_WITHIN)
    except TimeoutError:
        one.recovered = RECOVERS_WITHIN
        late = [page.name for page in stage.present if page.newest < over]
        problems.append(f"{what}: {len(late)} pages have not recovered, {late[:3]} among them")
    say(f"{what}: {over - one.begun:.1f} s, recovered in {one.recovered:.1f} s")
    return one


def table(run: Run) -> str:
    """Fault, times injected, messages acked, missing, doubled, out of order, seconds to recover
    (the longest). What was broken counts for the fault that began last."""
    names = sorted({fault for one in run.injected for fault in one.names})
    lines = [
        "| fault | injected | acked | missing | doubled | out of order | seconds to recover |",
        "|---|---|---|---|---|---|---|",
    ]
    rows = {fault: [0, 0, 0, 0, 0, 0.0] for fault in names}
    for one, until in zip(
        run.injected, [*(one.begun for one in run.injected[1:]), float("inf")], strict=True
    ):
        for fault in one.names:
            row = rows[fault]
            row[0] += 1
            row[1] += sum(one.begun <= t < until for t in run.verdict.acked)
            for column, kind in enumerate((MISSING, DOUBLED, DISORDER), 2):
                row[column] += sum(
                    one.begun <= broken.t < until and broken.kind == kind for broken in run.broken
                )
            row[5] = max(row[5], one.recovered)
    for fault in names:
        *numbers, recovered = rows[fault]
        lines.append(f"| {fault} | {' | '.join(map(str, numbers))} | {recovered:.1f} |")
    lines += [f"| {fault} | 0: {why} | | | | | |" for fault, why in run.skipped.items()]
    total = [sum(b.kind == kind for b in run.broken) for kind in (MISSING, DOUBLED, DISORDER)]
    acked = len(run.verdict.acked)
    numbers = " | ".join(map(str, (len(run.injected), acked, *total)))
    lines.append(f"| all | {numbers} | {max(one.recovered for one in run.injected):.1f} |")
    return "\n".join(lines)
