"""Commands as bytes: valid commands are packed, and invalid ones raise DataError for their callers.
A connection passes on no more replies after an invalid one."""

import asyncio
import enum
import math
from types import SimpleNamespace

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import DataError

from chat.redis_client import connection as link
from chat.redis_client.connection import Link, OutcomeUnknown, pack, pack_script


class Text(str):
    __slots__ = ()

    def encode(self, *args):
        raise RuntimeError("this text cannot be encoded")


class Fraction(float):
    def __repr__(self):
        raise MemoryError


class Odd(float):
    def __repr__(self):
        return 5


class Number(int):
    def __repr__(self):
        return "1\r\n"


class Bytes(bytes):
    pass


class Level(enum.IntEnum):
    LOW = 1


class Unreadable:
    def __str__(self):
        raise SystemError

    __repr__ = __str__


# Each is of another kind; the first of them ends the process where hiredis is given it.
UNPACKABLE = [
    10**5000,
    -(10**4300),
    1 << 64,
    Fraction(1),
    Odd(1),
    Number(1),
    Level.LOW,
    True,
    None,
    object(),
    Unreadable(),
    "\ud800",
    "a\udfffb",
    bytearray(b"x"),
    memoryview(b"abcd")[::2],
    Bytes(b"x"),
    ["x"],
    ("x",),
    {"x": 1},
    {"x"},
    1j,
    Exception(),
    str,
]


def named(value):
    return type(value).__name__


def read(packed):
    """Return the words of a command, as a server reads them."""
    reader = hiredis.Reader()
    reader.feed(packed)
    words = reader.gets()
    assert reader.gets() is False, "there is more than one command"
    return words


@pytest.mark.parametrize("value", UNPACKABLE, ids=named)
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_what_cannot_be_packed_is_a_data_error_wherever_it_stands(value, place):
    words = ["SET", "key", "value", "EX"]
    words[place] = value
    with pytest.raises(DataError):
        pack(tuple(words))


@pytest.mark.parametrize("value", UNPACKABLE, ids=named)
def test_a_script_refuses_it_too_as_a_key_and_as_an_argument(value):
    for keys, args in (([value], []), (["key", value], ["x"]), (["key"], ["x", value])):
        with pytest.raises(DataError):
            pack_script("sha", keys, args)


@pytest.mark.parametrize("words", [(), (b"GET", "k"), (3,), [], None, ["GET", "k"], "GET", 7, {}])
def test_a_command_is_a_tuple_that_begins_with_text(words):
    with pytest.raises(DataError):
        pack(words)


def test_what_is_longer_than_redis_reads_is_not_sent(monkeypatch):
    """Redis would close the connection, which others use too."""
    monkeypatch.setattr(link, "MAX_COMMAND_BYTES", 1 << 20)
    assert pack(("SET", "k", "x" * (1 << 19)))
    with pytest.raises(DataError):
        pack(("SET", "k", "x" * (1 << 20)))
    with pytest.raises(DataError):
        pack_script("sha", ["k"], ["x" * (1 << 20)])


def test_memory_that_runs_out_is_a_data_error(monkeypatch):
    def fails(words):
        raise MemoryError

    monkeypatch.setattr(link.hiredis, "pack_command", fails)
    with pytest.raises(DataError):
        pack(("GET", "k"))
    with pytest.raises(DataError):
        pack_script("another", ["k"], ["x"])


WORD = (
    st.text()
    | st.binary()
    | st.integers(-(2**64) + 1, 2**64 - 1)
    | st.floats()
    | st.text().map(Text)
    | st.none()
    | st.booleans()
    | st.integers()
    | st.characters(codec=None)
    | st.lists(st.text(), max_size=1)
)


def plain(word):
    if isinstance(word, str):
        return str.encode(word)
    return word if isinstance(word, bytes) else repr(word).encode()


@given(st.text(), st.lists(WORD, max_size=8))
def test_every_command_is_packed_as_it_is_or_refused(first, rest):
    words = (first, *rest)
    try:
        packed = pack(words)
    except DataError:
        return
    assert read(packed) == [*(part.encode() for part in first.split(" ")), *map(plain, rest)]


@given(st.lists(st.text(), max_size=3), st.lists(WORD, max_size=8))
def test_a_script_is_packed_as_any_command_or_refused(keys, args):
    """Twice, for its keys are kept."""
    for _ in range(2):
        try:
            packed = pack_script("sha", keys, args)
        except DataError:
            with pytest.raises(DataError):
                pack(("EVALSHA", "sha", len(keys), *keys, *args))
        else:
            assert packed == pack(("EVALSHA", "sha", len(keys), *keys, *args))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "\0",
        "é",
        "\r\n",
        b"",
        b"\xff\r\n",
        0,
        -1,
        2**63,
        -(2**63),
        0.5,
        math.inf,
        "x" * (1 << 20),
    ],
)
def test_what_redis_takes_goes_through_unchanged(value):
    assert read(pack(("SET", value, value))) == [b"SET", plain(value), plain(value)]
    assert read(pack_script("sha", [], [value, value]))[-2:] == [plain(value), plain(value)]


def test_a_name_of_two_words_is_two_words():
    assert read(pack(("SCRIPT LOAD", "return 1"))) == [b"SCRIPT", b"LOAD", b"return 1"]


def test_an_argument_with_a_space_is_one_word():
    assert read(pack_script("sha", ["a b"], ["c d"])) == [b"EVALSHA", b"sha", b"1", b"a b", b"c d"]


def test_who_gets_no_answer_is_told_that_the_outcome_is_unknown():
    error = OutcomeUnknown("nothing came for 2 seconds")
    assert "nothing came for 2 seconds" in str(error)
    assert "unknown whether" in str(error)


# A link


class Line:
    """A transport that leads nowhere."""

    written, over = b"", False

    def set_protocol(self, protocol):
        pass

    def is_reading(self):
        return True

    def write(self, data):
        self.written += data

    def abort(self):
        self.over = True


def linked(take):
    line = Line()
    parser = SimpleNamespace(parse_error=ValueError)
    writer = SimpleNamespace(transport=line)
    return line, Link(SimpleNamespace(_parser=parser, _writer=writer, _close=lambda: None), take)


@pytest.mark.parametrize("error", [ValueError("odd"), MemoryError(), KeyError(1), OSError()])
def test_what_cannot_be_taken_ends_the_link_before_the_next_is(error, caplog):
    async def conversation():
        taken = []

        def take(reply):
            taken.append(reply)
            if reply == "b":
                raise error

        line, link = linked(take)
        link.data_received(b"+a\r\n+b\r\n+c\r\n")
        link.data_received(b"+d\r\n")
        link.command("PING")
        assert taken == ["a", "b"]
        assert link.ended.result() is error
        assert (line.written, line.over) == (b"", True)
        assert "cannot be used" in caplog.text

    asyncio.run(conversation())


def test_who_closes_the_link_while_taking_a_reply_is_given_no_other():
    async def conversation():
        taken = []

        def take(reply):
            taken.append(reply)
            link.close()

        _, link = linked(take)
        link.data_received(b"+a\r\n+b\r\n")
        assert taken == ["a"]

    asyncio.run(conversation())


def test_a_link_that_is_interrupted_is_over_too():
    async def conversation():
        def take(reply):
            raise SystemExit

        line, link = linked(take)
        with pytest.raises(SystemExit):
            link.data_received(b"+a\r\n+b\r\n")
        assert link.ended.done()
        assert line.over

    asyncio.run(conversation())
