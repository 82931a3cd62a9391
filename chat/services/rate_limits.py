"""Which rate limits a request, and a frame of an open page, counts against: one table for each.

web.request_limits counts every request, and the page's socket every frame. Some buckets are counted
by the service that the request calls (`within`): those that do not count requests but messages,
files or attempts to sign in, and those whose refusal appears next to the text that was typed.
tests/integration/test_rate_limits.py tries each row.
"""

from dataclasses import dataclass

READS = frozenset({"view", "picture", "download", "lookup", "api"})


@dataclass(frozen=True, slots=True)
class Budget:
    """What a request counts against.

    bucket: a name in limits.RATES, counted once for each request of a signed-in person; "" for
        requests of visitors, who count by their network.
    within: the buckets that the service counts.
    by_network: the bucket is that of the visitor's network, not of the person.
    free: the reason why a request does not count at all.
    """

    bucket: str = ""
    within: tuple[str, ...] = ()
    by_network: bool = False
    free: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a frame counts against.

    cost: bytes that are added to its own; its answer counts too.
    within: as in Budget.
    """

    cost: int
    within: tuple[str, ...] = ()


def _rows(bucket: str, names: str) -> dict[str, Budget]:
    return dict.fromkeys(names.split(), Budget(bucket))


_POST = Budget("view", within=("post",))  # what is refused is shown in its room
_API_POST = Budget("api", within=("post",))
_MEMBERS = Budget("change", within=("members",))

ROUTES: dict[str, Budget] = {
    "assets.static": Budget(free="a file in memory with an ETag, which costs less than counting"),
    "operations.healthz": Budget(free="one word from memory, which must come under any load"),
    "operations.readyz": Budget(free="one PING; a balancer that is refused sends nobody here"),
    "operations.prometheus": Budget(free="for those of CHAT_METRICS only; a 404 to others"),
    "composer.next_composer": Budget(
        free="a template in memory, which people go on writing with while Redis is away"
    ),
    **_rows(
        "view",
        "rooms.home rooms.index rooms.new rooms.people rooms.random_page rooms.show "
        "messages.before messages.on messages.permalink messages.edit_page messages.reply "
        "reactions.menu composer.draft composer.text_help stream.stream stream.seen "
        "members.index members.leave_page room_settings.edit_page room_settings.end_page "
        "profiles.profile_page profiles.person_page session.mine tokens.mine tokens.of_bot "
        "notifications.inbox unread.page crowd.connection "
        "sign_in.page sign_in.sign_up_page first_run.page sign_in.password_page "
        "sign_in.reset_page oidc.callback",
    ),
    **_rows("picture", "profiles.picture profiles.style"),
    **_rows("download", "downloads.download"),
    **_rows("lookup", "quick_switcher.page people_picker.found"),
    "search.page": Budget("view", within=("search",)),
    **_rows("preview", "composer.preview"),
    **_rows(
        "change",
        "composer.attach composer.choose_lines notifications.set_level notifications.complete "
        "messages.unread unread.read members.leave room_settings.end session.sign_out session.end "
        "tokens.revoke",
    ),
    **_rows("join", "rooms.join rooms.join_random"),
    "members.add": _MEMBERS,
    "members.remove": _MEMBERS,
    "members.set_owner": Budget("change"),
    **_rows("token", "tokens.make"),
    **_rows(
        "admin",
        "admin.people admin.role admin.deactivate admin.activate admin.sign_out admin.reset "
        "admin.audit admin.files tokens.bots tokens.make_bot "
        "hooks.page hooks.save hooks.remove hooks.secret",
    ),
    "live.live": Budget("socket", within=("page",)),
    "rooms.create": Budget("change", within=("start", "write")),
    "messages.post": Budget("view", within=("post", "file")),
    "messages.edit": _POST,
    "messages.delete": _POST,
    "reactions.react": _POST,
    "room_settings.edit": _POST,
    "profiles.edit": Budget("change", within=("profile",)),
    # Where people come in: by network, and by login.
    "sign_in.sign_in": Budget(within=("guest", "guest-day", "guests", "address", "login")),
    "sign_in.sign_up": Budget(within=("sign-up",)),
    "sign_in.change_password": Budget("change", within=("login", "account")),
    "first_run.make_account": Budget("address", by_network=True),
    "first_run.page_of_link": Budget("view", within=("address",)),  # wrong links
    "first_run.use_link": Budget("change", within=("address",)),
    "sign_in.reset": Budget("address", by_network=True),
    "oidc.start": Budget("oidc", by_network=True),
    "jwt.hand_over": Budget("hand-over", by_network=True),
    # The API. Its operations have the names of their functions.
    **_rows(
        "api",
        "api.openapi api.me api.people api.person api.my_rooms api.open_rooms api.room "
        "api.room_members api.list_messages api.message",
    ),
    "api.find": Budget("api", within=("search",)),
    "api.get_file": Budget("download"),
    "api.edit_me": Budget("api", within=("profile",)),
    "api.create_room": Budget("api", within=("start",)),
    "api.write_to": Budget("api", within=("write",)),
    **_rows("join", "api.join_room api.random_room"),
    **_rows("change", "api.leave_room api.end_room api.hand_over"),
    "api.add_members": _MEMBERS,
    "api.remove_member": _MEMBERS,
    "api.edit_room": _API_POST,
    "api.post_message": _API_POST,
    "api.post_file": Budget("api", within=("post", "file")),
    "api.edit_message": _API_POST,
    "api.delete_message": _API_POST,
    "api.react": _API_POST,
    "api.take_back": _API_POST,
}
"""By Flask's endpoint."""

NOT_FOUND = Budget("view")
"""For an address without a route."""

FRAMES: dict[str, Frame] = {
    "watch": Frame(8 * 1024, within=("post",)),
    "post": Frame(1024, within=("post",)),
    "typing": Frame(4 * 1024),
    "typed": Frame(4 * 1024),
    "name": Frame(16 * 1024),
}
"""By the type of the frame that a page sends on its socket (limits.Pace)."""

UNKNOWN_FRAME = Frame(8 * 1024)  # of any other type
