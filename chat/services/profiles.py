"""Changing one's profile."""

from ..domain.validation import MAX_ABOUT_CHARS, MAX_NAME_CHARS, clean_line, clean_name
from ..rendering.local_time import zones
from ..store import Person
from .context import Parts

THEMES = ("", "light", "dark")  # "": the theme of the system


def edit(
    parts: Parts,
    person: Person,
    fields: dict[str, str],
    picture: bytes | None = None,
    without_picture: bool = False,
) -> Person:
    """Change a profile, and return the changed person. All open pages that show the person are
    updated.

    fields: the new values, by name: `name`, `about`, `theme`, `zone` and `sound` ("1" or ""). A
        theme or time zone that does not exist is stored as "".
    picture: the bytes of a new picture, if there are any.
    without_picture: remove the picture, unless there is a new one.

    Raises Invalid, TooOften, Busy, FilesAway.
    """
    clean = dict(fields)
    if "name" in fields:
        clean["name"] = clean_name(fields["name"], "name", MAX_NAME_CHARS)
    if "about" in fields:
        clean["about"] = clean_line(fields["about"], "text about you", MAX_ABOUT_CHARS)
    if "theme" in fields and fields["theme"] not in THEMES:
        clean["theme"] = ""
    if "zone" in fields and fields["zone"] not in zones():
        clean["zone"] = ""
    parts.limits.use("profile", person.uid)
    if picture is not None:
        image = parts.pictures.make(picture, person.uid)
        clean["picture"] = parts.pictures.put(person.uid, image)
    elif without_picture:
        parts.pictures.delete(person.uid)
        clean["picture"] = ""
    return parts.store.people.edit(person, **clean)
