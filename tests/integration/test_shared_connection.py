"""Runs the machine of shared_connection.py with examples from hypothesis: nobody gets somebody
else's answer. Also checks that it finds typical bugs when they are put in."""

import os
from collections import deque

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test
from redis.exceptions import DataError

from chat.redis_client import client as loopredis
from chat.redis_client.client import LoopPipeline, LoopRedis
from chat.redis_client.connection import pack

from .shared_connection import Machine

FUZZING = int(os.environ.get("FUZZ_EXAMPLES", 0))  # examples, other ones each time: make fuzz


@pytest.fixture
def machine(valkey, client, monkeypatch):
    """Run the machine with a class of clients; raises what it finds."""
    # Silence is another test's matter: on a busy machine it would end a connection that is whole.
    monkeypatch.setattr(loopredis, "TIMEOUT_SECONDS", 60.0)
    monkeypatch.setattr(Machine, "path", str(valkey.socket))
    monkeypatch.setattr(Machine, "client", client)

    def run(make, examples):
        monkeypatch.setattr(Machine, "make", make)
        monkeypatch.setattr(Machine, "found", [])
        chosen = settings(
            max_examples=examples,
            stateful_step_count=20,
            deadline=None,
            derandomize=not FUZZING,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(Machine, settings=chosen)
        except Flaky as again:  # hypothesis tries it again, and the network is another
            raise (Machine.found[0] if Machine.found else again) from again

    return run


def test_everyone_gets_an_answer_of_their_own_or_an_error(machine):
    machine(LoopRedis, FUZZING or 60)


class RecordsBeforePacking(LoopRedis):
    """As it was: what could not be packed ended the loop with all before it in the queue."""

    def make(self, words, options):
        return words, self._future(), words[0], options, None

    def make_script(self, sha, keys, args):
        return self.make(("EVALSHA", sha, len(keys), *keys, *args), {})

    def _write(self):
        if self._link is None or self._link.ended.done():
            super()._write()
            return
        asked, self._asked = self._asked, []
        packed = []
        for command in asked:
            self._sent.append(command)
            try:
                packed.append(pack(command[0]))
            except DataError as error:
                if not isinstance(error.__cause__, UnicodeEncodeError):
                    self._sent.pop()
                    command[1].set_exception(error)
                    continue
                raise
        self._link.write(b"".join(packed))


class RecordsWhatIsNotWritten(LoopRedis):
    """A refused command keeps a place in the queue."""

    def make(self, words, options):
        try:
            return super().make(words, options)
        except DataError:
            self._sent.append((b"", self._future(), "ECHO", {}, None))
            raise


class ForgetsTheCancelled(LoopRedis):
    """Who stops waiting loses the place, and the reply that belongs there goes to the next."""

    def _take(self, reply):
        while self._sent and self._sent[0][1].done():
            self._sent.popleft()
        if self._sent:
            super()._take(reply)


class KeepsWhoWaited(LoopRedis):
    """The next connection answers those who waited on the last one."""

    def _lost(self, ended):
        sent, self._sent = self._sent, deque()
        super()._lost(ended)
        self._sent = sent

    def _fail(self, commands, kind, text):
        super()._fail([c for c in commands if c not in self._sent], kind, text)


class SendsTwice(LoopRedis):
    """What was sent on a connection that is lost is sent again on the next."""

    def _lost(self, ended):
        self._asked = [*self._sent, *self._asked]
        self._sent = deque()
        super()._lost(ended)


class ReadsAtOthersCost(LoopRedis):
    """An answer that its caller cannot read ends the connection of all."""

    def _take(self, reply):
        if self._sent and self._sent[0][2] == "DBSIZE":
            raise KeyError(reply)
        super()._take(reply)


class TakesErrorsForNobody(LoopRedis):
    """An error of Redis answers nobody."""

    def _take(self, reply):
        if isinstance(reply, Exception):
            self._sent[0][1].cancelled() or self._sent[0][1].set_exception(reply)
        else:
            super()._take(reply)


class SendsHalf(LoopRedis):
    """A pipeline is sent up to what cannot be."""

    def pipeline(self, transaction=False):
        return HalfPipeline(self)


class HalfPipeline(LoopPipeline):
    def execute(self):
        commands, self._commands = self._commands, []
        answers = [self.client.ask(words, options) for words, options in commands]
        return [self.client.await_(answer) for answer in answers]


class SplitsWrites(LoopRedis):
    """Where one command of a turn fails, those behind it are never written, but wait."""

    def ask(self, words, options):
        try:
            return super().ask(words, options)
        except DataError:
            for command in self._asked:
                self._sent.append(command)
            self._asked = []
            raise


BUGS = (RecordsBeforePacking, RecordsWhatIsNotWritten, ForgetsTheCancelled, KeepsWhoWaited)
BUGS += (SendsTwice, ReadsAtOthersCost, TakesErrorsForNobody, SendsHalf, SplitsWrites)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_bug_that_is_put_in_is_found(machine, monkeypatch, bug):
    monkeypatch.setattr("tests.integration.shared_connection.WAITS", 2)
    with pytest.raises(AssertionError):
        machine(bug, 200)
