"""People's pages: one's own profile, everybody's page and picture, and what differs per viewer."""

from itertools import groupby
from typing import Any

from flask import Blueprint, Response, g, make_response, redirect, render_template, request

from ..domain.errors import Busy, FilesAway, Invalid, NotFound, TooOften
from ..domain.validation import MAX_ABOUT, MAX_NAME, clean_line, clean_name
from ..media.avatars import LARGEST
from ..rendering.local_time import time_of_day, zones
from ..services.context import chat
from ..store import Person
from . import upload_limits
from .auth import current_person, require_person
from .view_options import FileLimit, accepts_files

bp = Blueprint("people", __name__)
bp.teardown_request(upload_limits.end)

THEMES = ("", "light", "dark")  # as the system says, or as chosen


@bp.get("/me.css")
def style() -> Any:
    """Rules for what the viewer wrote. The page names the user id and the version of the rules in
    the address, so a browser may keep it for an hour."""
    person = current_person()
    response = make_response(render_template("me.css", uid=person.uid) if person else "")
    response.mimetype = "text/css"
    response.headers["Cache-Control"] = "private, max-age=3600" if person else "no-store"
    return response


@bp.get("/me")
def profile_page() -> Any:
    if refused := require_person():
        return refused
    person = g.person
    return _profile(person.name, person.about, person.theme, person.zone, person.sound)


@bp.post("/me")
@accepts_files(lambda parts: FileLimit(LARGEST))
def profile() -> Any:
    """Change name, about, theme, time zone and picture; open pages of others show it at once."""
    if refused := require_person():
        return refused
    form = request.form
    try:
        fields = {
            "name": clean_name(form.get("name", ""), "name", MAX_NAME),
            "about": clean_line(form.get("about", ""), "text about you", MAX_ABOUT),
            "theme": form.get("theme", "") if form.get("theme") in THEMES else "",
            "sound": "1" if form.get("sound") else "",
            "zone": form.get("zone", "") if form.get("zone") in zones() else "",
        }
        chat().limits.use("profile", g.person.uid)
        fields |= _picture(g.person)
        edit(g.person, fields)
    except (Invalid, TooOften, Busy, FilesAway) as error:
        fields = {
            field: form.get(field, "") for field in ("name", "about", "theme", "zone", "sound")
        }
        return _profile(**fields, error=error.text), error.status, error.headers
    return redirect("/me?saved=1", 303)


@bp.get("/people/<uid>")
def person_page(uid: str) -> Any:
    """Who somebody is, with a button to write to them."""
    if refused := require_person():
        return refused
    person = chat().store.people.get(uid)
    if person is None:
        raise NotFound("There is no such person.")
    here = bool(chat().store.presence.here([uid]))
    return render_template("person.html", shown=person, here=here)


@bp.get("/people/<uid>/picture")
def picture(uid: str) -> Any:
    """A person's picture. The address that pages show names its version, so a browser may keep
    that for good: no page shows the address once the picture was changed or removed. What is
    answered to any other address, an older one above all, is for this once."""
    if refused := require_person():
        return refused
    person = chat().store.people.get(uid)
    image = chat().pictures.get(uid) if person and person.picture else None
    if person is None or image is None:
        raise NotFound("There is no picture.")
    response = Response(image, mimetype="image/webp")
    is_current = request.query_string.decode("ascii", "replace") == person.picture
    kept = "private, max-age=31536000, immutable" if is_current else "no-store"
    response.headers["Cache-Control"] = kept
    return response


def edit(person: Person, fields: dict[str, str]) -> Person:
    """Change a profile. All open pages that show the person are told."""
    changed: Person = chat().store.people.edit(person, **fields)
    return changed


def _picture(person: Person) -> dict[str, str]:
    """The field `picture` as it will be: a new version when one was sent, "" when it is to go.
    Raises Invalid for what is no picture, Busy and FilesAway."""
    file = request.files.get("picture")
    if file and file.filename:
        image = chat().pictures.make(file.read(), person.uid)
        return {"picture": chat().pictures.put(person.uid, image)}
    if "no_picture" in request.form:
        chat().pictures.delete(person.uid)
        return {"picture": ""}
    return {}


def _profile(name: str, about: str, theme: str, zone: str, sound: str, error: str = "") -> str:
    fields: dict[str, Any] = {"name": name, "about": about, "theme": theme, "zone": zone}
    fields["sound"] = sound
    regions = groupby(zones(), lambda name: name.partition("/")[0])
    fields |= {"zones": [(region, list(names)) for region, names in regions]}
    fields |= {"now": time_of_day(), "error": error}
    settings = chat().settings
    can_sign_up = "password" in settings.sign_in and settings.sign_up
    saved = "saved" in request.args
    fields["stored"] = chat().store.stored_files.of(g.person.uid)
    fields["quota"] = chat().attachments.quotas.of(g.person)
    return render_template("me/profile.html", saved=saved, can_sign_up=can_sign_up, **fields)
