"""The result of a check: broken promises."""

from dataclasses import dataclass, field

Streams = dict[str, list[tuple[int, int, list]]]  # room: number, time, the event's fields

MISSING, DOUBLED, DISORDER, OTHER = "missing", "doubled", "out of order", "other"
KINDS = MISSING, DOUBLED, DISORDER, OTHER


@dataclass(frozen=True)
class Broken:
    """A promise that was broken, and when."""

    t: float
    promise: str  # I1 to I13
    kind: str
    text: str


@dataclass
class Verdict:
    broken: list[Broken] = field(default_factory=list)
    acked: list[float] = field(default_factory=list)  # when
    lost: int = 0  # acknowledged, then lost in a failover that every page has noticed

    def add(self, t: float, promise: str, kind: str, text: str) -> None:
        self.broken.append(Broken(t, promise, kind, text))


@dataclass
class Sent:
    """A message that somebody has sent, and when it was acknowledged."""

    t: float
    who: str
    room: str
    body: str
    acked: float | None = None
