"""Pages about people: one's own profile, everybody's page and picture, and the style sheet of the
viewer."""

from itertools import groupby
from typing import Any

from flask import Blueprint, Response, g, make_response, redirect, render_template, request

from ..domain.errors import NotFound
from ..media.avatars import MAX_AVATAR_BYTES
from ..rendering.local_time import time_of_day, zones
from ..services import profiles
from ..services.context import chat
from .auth import current_person
from .view_options import FileLimit, accepts_files, shows_errors_on

FIELDS = ("name", "about", "theme", "zone", "sound")

bp = Blueprint("profiles", __name__)


@bp.get("/me.css")
def style() -> Any:
    """CSS rules for the viewer's own messages. Pages link to it with the user id and the version of
    the rules in the address, so a browser may cache it for an hour."""
    person = current_person()
    response = make_response(render_template("me.css", uid=person.uid) if person else "")
    response.mimetype = "text/css"
    response.headers["Cache-Control"] = "private, max-age=3600" if person else "no-store"
    return response


@bp.get("/me")
def profile_page(error: str = "") -> Any:
    """One's own profile; after an error, with what was typed."""
    settings, store, uid = chat().settings, chat().store, g.person.uid
    regions = groupby(zones(), lambda name: name.partition("/")[0])
    stored = {name: getattr(g.person, name) for name in FIELDS}
    return render_template(
        "me/profile.html",
        error=error,
        zones=[(region, list(names)) for region, names in regions],
        now=time_of_day(),
        stored=store.stored_files.of(uid),
        quota=chat().attachments.quotas.of(g.person),
        saved="saved" in request.args,
        can_sign_up="password" in settings.sign_in and settings.sign_up,
        **(_typed() if error else stored),
    )


@bp.post("/me")
@accepts_files(lambda parts: FileLimit(MAX_AVATAR_BYTES))
@shows_errors_on(profile_page)
def edit() -> Any:
    """Change the name, text, theme, time zone, sound and picture."""
    file = request.files.get("picture")
    picture = file.read() if file and file.filename else None
    profiles.edit(chat(), g.person, _typed(), picture, "no_picture" in request.form)
    return redirect("/me?saved=1", 303)


@bp.get("/people/<uid>")
def person_page(uid: str) -> Any:
    """The page of a person, with a button that starts a direct room."""
    person = chat().store.people.existing(uid)
    here = bool(chat().store.presence.here([uid]))
    return render_template("person.html", shown=person, here=here)


@bp.get("/people/<uid>/picture")
def picture(uid: str) -> Any:
    """A person's picture. Pages link to it with its version in the address, so a browser may cache
    it forever. A response to any other address, such as an older one, must not be cached."""
    person = chat().store.people.get(uid)
    image = chat().pictures.get(uid) if person and person.picture else None
    if person is None or image is None:
        raise NotFound("There is no picture.")
    response = Response(image, mimetype="image/webp")
    is_current = request.query_string.decode("ascii", "replace") == person.picture
    cached = "private, max-age=31536000, immutable" if is_current else "no-store"
    response.headers["Cache-Control"] = cached
    return response


def _typed() -> dict[str, str]:
    fields = {name: request.form.get(name, "") for name in FIELDS}
    return {**fields, "sound": "1" if fields["sound"] else ""}
