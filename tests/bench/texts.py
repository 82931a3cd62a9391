"""The texts of the bench's messages: sentences of 40 to 120 characters, all different, and the same
for every server.

A constant text would favour servers that compress. So a seeded generator draws words from a list,
with frequencies like those of people: short words often, long ones now and then.
"""

import random
import re

SHORTEST, LONGEST = 40, 120  # characters of a body, with the number
SENTENCES = 4096  # different sentences; the number makes every body unique
MARK = re.compile(r"bench-(\d{8})")

COMMON = """
the to and a of in is it you that was for on are with as I they be at have this from or had by
not but what some we can out other were all there when up use your how said an each she
"""
WORDS = """
about after again always answer around because before better between bring build change coffee
customer deploy different enough every evening figure finish follow friday garden happen having
hello house invoice kitchen later leave letter little meeting minute monday money month morning
mountain never number office often order people picture plan please possible printer probably
problem project question quite ready really release remember report review river room school
second server should simple something sometimes station street summer table thanks their thing
think thought through today together tomorrow train travel under understand until version village
water weather week weekend whether window without wonder work world would write wrong yesterday
zürich
"""


def sentences():
    """Yield sentences forever, the same ones in each run."""
    draw, lists = random.Random(4), (COMMON.split(), WORDS.split())
    while True:
        length = draw.randint(SHORTEST, LONGEST) - len("bench-00000000 .")
        words = []
        while sum(map(len, words)) + len(words) < length:
            words.append(draw.choice(draw.choice(lists)))
        yield " ".join(words)[:length].strip().capitalize() + draw.choice(".....!?")


_source = sentences()
_kept = [next(_source) for _ in range(SENTENCES)]


def body(number):
    """Return the text of one message, which contains its number."""
    return f"bench-{number:08d} {_kept[number % SENTENCES]}"
