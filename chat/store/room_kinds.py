"""The kinds of rooms."""

OPEN = "open"  # anyone can join
CLOSED = "closed"  # members are chosen
DIRECT = "direct"  # one for each set of people
RANDOM = "random"  # for strangers, with a limited number of seats
ENDED = "ended"  # what remains of a room that has ended

ENDED_ROOM_SECONDS = 30 * 24 * 3600  # for which an ended room and its messages are kept
