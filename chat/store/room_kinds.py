"""The kinds of rooms."""

OPEN = "open"  # anyone may join
CLOSED = "closed"  # chosen members
DIRECT = "direct"  # one for each set of people
RANDOM = "random"  # strangers, up to a number of seats
ENDED = "ended"  # what remains of a room that is over
