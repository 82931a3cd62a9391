"""Pages for administrators: people and their roles, stored files, and the audit log."""

from typing import Any

from flask import Blueprint, g, redirect, render_template, request
from redis.exceptions import ResponseError

from ..domain.errors import Invalid, NotFound, Refused
from ..services import messages
from ..services.context import chat
from ..services.sessions import revoke_access
from ..store import Person
from ..store.person import ADMIN, ROLES
from .auth import record_in_audit_log, require_admin
from .client_address import network_of
from .paging import PAGE_ROWS, Paging, address
from .security import is_public, own_origin

MAX_OWNERS_LISTED = 50  # people on the page about files

bp = Blueprint("admin", __name__, url_prefix="/admin")


bp.before_request(require_admin)


@bp.get("/people")
def people(**more: Any) -> Any:
    """Everybody, by name. `?q=` finds a person by login, or people by a word of their name. `after`
    and `before` are cursors: where a page begins or ends. `more` are further variables of the
    template."""
    q = request.values.get("q", "")
    after, before = request.args.get("after", ""), request.args.get("before", "")
    page = chat().store.people.page(q, PAGE_ROWS, after, before)
    found = page.people
    earlier = page.before and address(before=page.before, after="")
    later = page.after and address(after=page.after, before="")
    here = Paging(0, 0, earlier, later)  # the number of people is not known
    if q and not (after or before) and (person := _of_login(q)):
        found = [person, *(one for one in found if one.uid != person.uid)]
    shown = {"q": q, "paging": here, "roles": ROLES, "bans": chat().store.bans.all()}
    return render_template("admin/people.html", found=found, **shown, **more)


@bp.post("/people/<uid>/role")
def role(uid: str) -> Any:
    change_role(g.person, uid, request.form.get("role", ""))
    return _back()


@bp.post("/people/<uid>/deactivate")
def deactivate(uid: str) -> Any:
    """Deactivate a person: they can no longer sign in, and their rooms get other owners. With
    `networks`, nobody can sign in from the networks in which the person is signed in; if that is
    not possible, the page says so. With `messages`, everything that they wrote is deleted, which
    can also be done later."""
    person = _other(uid)
    if person.role == ADMIN:
        raise Refused("Remove the administrator role first.")
    # If this is interrupted, it can be repeated, because no step destroys what an earlier one
    # needs. For example, sessions end only after their networks were banned.
    seen = {network_of(session.address) for session in chat().store.sessions.of(uid)}
    networks = sorted(network for network in seen if is_public(network))
    if "networks" in request.form and networks:
        chat().store.bans.ban(uid, networks)
        record_in_audit_log(f"banned {', '.join(networks)} because of", person)
    if not person.deactivated:
        record_in_audit_log("deactivated", person)
    chat().store.people.edit(person, off="1")
    revoke_access(chat().store, uid)
    chat().store.rooms.release_ownership(person)
    if "messages" in request.form:
        record_in_audit_log("deleted all messages of", person)
        messages.purge(chat(), g.person, uid)
    if "networks" in request.form and not networks:
        return people(whose=person, somewhere=bool(seen))
    return _back()


@bp.post("/people/<uid>/activate")
def activate(uid: str) -> Any:
    """Let a person sign in again, and lift the bans of their networks. Deleted messages stay
    deleted."""
    person = _other(uid)
    chat().store.people.edit(person, off="")
    chat().store.bans.lift(uid)
    chat().store.people.signal_change(uid)
    record_in_audit_log("activated", person)
    return _back()


@bp.post("/people/<uid>/sign-out")
def sign_out(uid: str) -> Any:
    """End all sessions of a person, revoke all their tokens, and make a link for a new password
    invalid."""
    person = _other(uid)
    revoke_access(chat().store, uid)
    record_in_audit_log("signed out everywhere", person)
    return _back()


@bp.post("/people/<uid>/reset")
def reset(uid: str) -> Any:
    """Show a link with which the person can set a new password. It is shown only once."""
    person = _other(uid)
    if not person.login:
        raise Invalid("This person has no account with a password.")
    secret = chat().store.accounts.reset_token(uid, g.person.uid)
    record_in_audit_log("created a password link for", person)
    return people(link=f"{own_origin()}/sign-in/reset/{secret}", whose=person)


@bp.get("/files")
def files() -> Any:
    """Return how many bytes of files are stored, and the people who have the most."""
    store = chat().store
    largest = store.stored_files.largest(MAX_OWNERS_LISTED)
    found = {person.uid: person for person in store.people.several([uid for uid, _ in largest])}
    total, guests = store.stored_files.sums()
    return render_template(
        "admin/files.html",
        largest=[(found.get(uid, Person(uid, "", "")), size) for uid, size in largest],
        total=total,
        guests=guests,
        quotas=chat().attachments.quotas,
    )


@bp.get("/audit")
def audit() -> Any:
    """The audit log, newest entries first. `before` is the place where the page begins."""
    try:
        entries = chat().store.audit_log.before(request.args.get("before", ""))
    except ResponseError:
        raise NotFound("There is no such page.") from None
    return render_template("admin/audit.html", entries=entries)


def change_role(by: Person, uid: str, role: str) -> None:
    """Give a person another role. Administrators cannot change their own role, so there is always
    an administrator. If two administrators take the role from each other at the same time, they do
    not both succeed: whoever finds that they are no longer an administrator undoes the change.
    Raises Invalid, NotFound, Refused."""
    person, people = _other(uid), chat().store.people
    if role not in ROLES:
        raise Invalid("There is no such role.")
    people.edit(person, role=role)
    now = people.get(by.uid)
    if now is None or now.role != ADMIN:
        people.edit(person, role=person.role)
        raise Refused("You are no longer an administrator.")
    people.keep(uid)
    people.signal_change(uid)
    record_in_audit_log(f"gave the role {role} to", person)


def _other(uid: str) -> Person:
    """The person with this id. Raises NotFound, and Refused for the administrator who is signed
    in."""
    person = chat().store.people.existing(uid)
    if person.uid == g.person.uid:
        raise Refused("Only another administrator can do this with your account.")
    return person


def _back() -> Any:
    return redirect("/admin/people", 303)


def _of_login(login: str) -> Person | None:
    uid, _ = chat().store.accounts.by_login(login)
    return chat().store.people.get(uid) if uid else None
