"""People, rooms and messages as JSON, for the API and for webhooks.

Their schemas are in chat.api.schemas.
"""

from typing import Any

from ..domain.events import CHANGES, POST, Event, File
from ..media.attachments import NOTES
from ..store import Person, Room


def person_json(person: Person) -> dict[str, Any]:
    return {
        "id": person.uid,
        "name": person.name,
        "tag": person.tag,
        "role": person.role,
        "about": person.about,
        "bot": bool(person.bot),
    }


def room_json(room: Room) -> dict[str, Any]:
    return {
        "id": room.rid,
        "name": room.name,
        "about": room.about,
        "kind": room.kind,
        "owner": room.owner,
        "newest": room.seq,
        "active": room.last.at,
    }


def message_json(event: Event) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "at": event.at,
        "kind": event.kind,
        "author": {"id": event.uid, "name": event.name},
        "body": event.body,
        "edited": event.edited,
        "changes": event.number if event.kind in CHANGES else None,
        "reply": event.number or None if event.kind == POST else None,
        "reactions": [
            {"emoji": reaction.emoji, "people": list(reaction.uids)}
            for reaction in event.reactions.all
        ],
        "files": [file_json(event.room, file) for file in event.files],
    }


def file_json(rid: str, file: File) -> dict[str, Any]:
    """`url` is the file's address in the API. `note` is a sentence that says why an image is not
    shown, or empty."""
    return {
        "id": file.fid,
        "name": file.name,
        "size": file.size,
        "type": file.type,
        "width": file.width or None,
        "height": file.height or None,
        "note": NOTES.get(file.note, ""),
        "url": f"/api/rooms/{rid}/files/{file.fid}",
    }
