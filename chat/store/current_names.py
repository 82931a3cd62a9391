"""Puts the present names and pictures of people into events."""

from dataclasses import replace

from ..domain.events import MAX_SHOWN_NAMES, Event, Reaction
from ..runtime.cooperation import in_pieces
from .person import Names


def uids_in(events: list[Event]) -> list[str]:
    """The ids of the people whose names these events show, each once."""
    return list({uid for event in events for uid in _uids(event)})


def with_names(events: list[Event], now: Names) -> list[Event]:
    """The events with these names, from `People.names`."""
    return [_named(event, now) for event in in_pieces(events)]


def _uids(event: Event) -> list[str]:
    """The ids of the people whose names an event shows."""
    reacted = [uid for reaction in event.reactions.all for uid in reaction.uids[:MAX_SHOWN_NAMES]]
    quoted = event.quote.uid if event.quote else ""
    return [uid for uid in (event.uid, quoted, *reacted) if uid]


def _named(event: Event, people: Names) -> Event:
    if event.reactions.all:
        every = tuple(_renamed(reaction, people) for reaction in event.reactions.all)
        event = replace(event, reactions=replace(event.reactions, all=every))
    if event.quote:
        called = (people.get(event.quote.uid) or [None])[0] or event.quote.name
        event = replace(event, quote=replace(event.quote, name=called))
    now = people.get(event.uid)
    if not now or now[0] is None:
        return event
    name, tag, picture = now[0], now[1] or "", now[2] or ""
    if (event.name, event.tag, event.picture) == (name, tag, picture):
        return event
    return replace(event, name=name, tag=tag, picture=picture)


def _renamed(reaction: Reaction, people: Names) -> Reaction:
    pairs = zip(reaction.uids, reaction.names, strict=True)
    names = tuple((people.get(uid) or [None])[0] or name for uid, name in pairs)
    return replace(reaction, names=names)
