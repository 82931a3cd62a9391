"""The kinds of rooms."""

OPEN = "open"  # anyone may join
CLOSED = "closed"  # chosen members
DIRECT = "direct"  # one for each set of people
RANDOM = "random"  # strangers, up to a number of seats
ENDED = "ended"  # what remains of a room that has ended

ENDED_ROOM_SECONDS = 30 * 24 * 3600  # for which the events of an ended room are kept
