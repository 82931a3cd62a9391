"""The answer of a child process about an image is trusted only as far as it can be checked."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.media.image_protocol import (
    MEDIA_TYPES,
    REASONS,
    STATUS,
    Header,
    ImageLimits,
    parse_header,
)

LIMITS = ImageLimits(pixels=1000, output_bytes=5000)
GOOD = Header("image/webp", 40, 25, 1000, 4000)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_a_header_comes_back():
    assert parse_header(GOOD.to_line(), 5000, LIMITS) == GOOD
    assert ImageLimits(**json.loads(LIMITS.to_json())) == LIMITS
    assert {REASONS[status]: status for status in REASONS} == STATUS
    assert not set(REASONS) & {0, 1, 2, 120, 126, 127}, "what Python and systems exit with"


@pytest.mark.parametrize(
    "changed",
    [
        {"type": "text/html"},
        {"type": ["image/webp"]},
        {"width": 0},
        {"width": -40, "height": -25},
        {"width": 41},
        {"width": True, "height": 1},
        {"width": 40.0},
        {"width": "40"},
        {"small": -1, "content": 5001},
        {"small": 5000, "content": 0},
        {"content": 3999},
        {"content": 10**30},
        {"more": 1},
    ],
)
def test_what_is_not_allowed_or_not_there_is_no_header(changed):
    line = json.dumps({**asdict(GOOD), **changed}).encode() + b"\n"
    assert parse_header(line, 5000, LIMITS) is None


def test_more_than_the_limit_is_no_header():
    header = Header("image/webp", 40, 25, 1000, 4001)
    assert parse_header(header.to_line(), 5001, LIMITS) is None
    assert parse_header(GOOD.to_line()[:-1], 5000, LIMITS) is None


@given(st.binary(max_size=200), st.integers(0, 10_000))
def test_bytes_are_a_good_header_or_none(line, rest):
    assert parse_header(line, rest, LIMITS) is None


@given(st.dictionaries(st.sampled_from(list(asdict(GOOD))), anything), st.integers(0, 10_000))
def test_json_is_a_good_header_or_none(changed, rest):
    line = json.dumps({**asdict(GOOD), **changed}).encode() + b"\n"
    found = parse_header(line, rest, LIMITS)
    if found is not None:
        assert found.type in MEDIA_TYPES.values()
        assert 0 < found.width * found.height <= LIMITS.pixels
        assert found.small + found.content == rest <= LIMITS.output_bytes
