"""Emoji that people react with: the few at hand, and what counts as one.

What counts is the shape of an emoji sequence (Unicode TS 51, 1.4.9): characters of the blocks that
hold emoji, joined and modified. It takes some symbols that are no emoji; they do no harm.
"""

import re

from .errors import Invalid

LONGEST = 16  # code points; the longest sequence there is has ten

_PLAIN = "©®‼⁉™ℹ\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff〰〽㊗㊙"
_ONE = f"[{_PLAIN}\U0001f000-\U0001f1e5\U0001f200-\U0001faff][\ufe0f\U0001f3fb-\U0001f3ff]?"
_FLAG, _KEYCAP = "[\U0001f1e6-\U0001f1ff]{2}", "[0-9#*]\ufe0f?\u20e3"
_EMOJI = re.compile(f"{_FLAG}|{_KEYCAP}|{_ONE}(?:\u200d{_ONE})*")
_LONE = re.compile(f"[{_PLAIN}]")


def clean_emoji(text: str) -> str:
    """One emoji, always written in the same way. Raises Invalid for anything else."""
    emoji = text[: LONGEST + 1].strip()
    if len(text) > LONGEST or not _EMOJI.fullmatch(emoji):
        raise Invalid("A reaction is one emoji.")
    # Old symbols are emoji only with this mark, which not every keyboard writes.
    return emoji + "\ufe0f" if _LONE.fullmatch(emoji) else emoji


QUICK = [clean_emoji(emoji) for emoji in "👍❤😂🎉👀🙏✅😢"]
