"""A client of Redis whose connection is cut on purpose: before a command is sent, after it has run
and before its answer is there, or in the middle of a pipeline."""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from redis.client import Pipeline

from chat.redis_client.connection import OutcomeUnknown

BEFORE, MIDDLE, AFTER = "before", "middle", "after"
READS = {"EXISTS", "GET", "HEXISTS", "HGET", "HGETALL", "HMGET", "SCARD", "SISMEMBER", "SMEMBERS"}
READS |= {"SPUBLISH", "TIME", "XRANGE", "ZMSCORE", "ZRANGE", "ZRANGEBYLEX", "ZSCORE", "ZCARD"}


@dataclass
class Cut:
    """The line is cut at command number `at` of those that may write, counted from 0; a pipeline
    counts as one command. (To be cut at one that reads is to be cut after the one before it.)
    Of a pipeline that is cut in the MIDDLE only the first half runs."""

    at: int
    how: str


class CutLine(redis.Redis):
    """`log` has the commands that may write, since the line was last `cut`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.next: Cut | None = None
        self.log: list[str] = []

    @contextmanager
    def cut(self, next: Cut | None) -> Any:
        """Meanwhile the line is cut there, once, and whole afterwards."""
        self.next, self.log = next, []
        try:
            yield
        finally:
            self.next = None

    def how(self, *names: str) -> str:
        """How the line is cut at the commands of these names, which are asked now; "" for not at
        all."""
        if READS.issuperset(names):
            return ""
        here = self.next is not None and self.next.at == len(self.log)
        self.log.append("+".join(names))
        if not here or self.next is None:
            return ""
        how, self.next = self.next.how, None
        return how

    def execute_command(self, *args: Any, **options: Any) -> Any:
        how = self.how(str(args[0]))
        if how == BEFORE:
            raise OutcomeUnknown("cut")
        answer = super().execute_command(*args, **options)
        if how:
            raise OutcomeUnknown("cut")
        return answer

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> Any:
        return CutPipeline(self)


class CutPipeline(Pipeline):
    def __init__(self, line: CutLine) -> None:
        super().__init__(line.connection_pool, line.response_callbacks, False, None)
        self.line = line

    def execute(self, raise_on_error: bool = True) -> Any:
        if not self.command_stack:
            return super().execute(raise_on_error)
        how = self.line.how(*(str(command[0][0]) for command in self.command_stack))
        if how == BEFORE:
            self.reset()
            raise OutcomeUnknown("cut")
        if how == MIDDLE:
            del self.command_stack[(len(self.command_stack) + 1) // 2 :]
        answers = super().execute(raise_on_error)
        if how:
            raise OutcomeUnknown("cut")
        return answers


def every_cut(commands: list[str]) -> list[Cut]:
    """The cuts of a line over which these commands go, as `CutLine.log` has them, that differ in
    what has run: nothing, all up to a command that may write, or half of a pipeline of such."""
    cuts = [Cut(0, BEFORE)] if commands else []
    for at, command in enumerate(commands):
        cuts += [Cut(at, MIDDLE)] if "+" in command else []
        cuts.append(Cut(at, AFTER))
    return cuts
