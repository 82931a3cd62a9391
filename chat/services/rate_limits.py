"""Which rate limits a request, and a frame of an open page, counts against: one table for each.

web.request_limits counts every request, and the page's socket every frame. Some buckets are counted
by the service that the request calls (`within`): those that do not count requests but messages,
files or attempts to sign in, and those whose errors appear next to the typed text.
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


_POST = Budget("view", within=("post",))  # the error appears in the room
_API_POST = Budget("api", within=("post",))
_MEMBERS = Budget("change", within=("members",))

ROUTES: dict[str, Budget] = {
    "assets.static": Budget(free="a file in memory with an ETag, which costs less than counting"),
    "health.healthz": Budget(free="one word from memory, which must be sent under any load"),
    "health.readyz": Budget(
        free="one PING; a load balancer that is refused sends no requests here"
    ),
    "health.prometheus": Budget(free="for those of CHAT_METRICS only; a 404 to others"),
    "composer.next_composer": Budget(
        free="a template in memory, with which people can write while Redis is unavailable"
    ),
    **_rows(
        "view",
        "rooms.home rooms.index rooms.new rooms.people rooms.random_page rooms.show "
        "messages.before messages.on messages.permalink messages.edit_page messages.reply "
        "reactions.menu composer.draft composer.text_help event_stream.stream event_stream.seen "
        "members.index members.leave_page room_settings.edit_page room_settings.end_page "
        "profiles.profile_page profiles.person_page sessions.index api_tokens.mine "
        "api_tokens.of_bot notifications.inbox unread.page connections.connection "
        "sign_in.page sign_up.page first_admin.page passwords.change_page "
        "passwords.reset_page oidc_sign_in.callback",
    ),
    **_rows("picture", "profiles.picture profiles.style"),
    **_rows("download", "downloads.download"),
    **_rows("lookup", "quick_switcher.page people_picker.found"),
    "search.page": Budget("view", within=("search",)),
    **_rows("preview", "composer.preview"),
    **_rows(
        "change",
        "composer.attach composer.choose_lines notifications.set_level notifications.complete "
        "messages.unread unread.read members.leave room_settings.end sessions.sign_out "
        "sessions.end api_tokens.revoke",
    ),
    **_rows("join", "rooms.join rooms.join_random"),
    "members.add": _MEMBERS,
    "members.remove": _MEMBERS,
    "members.set_owner": Budget("change"),
    **_rows("token", "api_tokens.make"),
    **_rows(
        "admin",
        "admin.people admin.role admin.deactivate admin.activate admin.sign_out admin.reset "
        "admin.audit admin.files api_tokens.bots api_tokens.make_bot "
        "webhooks.page webhooks.save webhooks.remove webhooks.secret",
    ),
    "live.live": Budget("socket", within=("page",)),
    "rooms.create": Budget("change", within=("start", "write")),
    "messages.post": Budget("view", within=("post", "file")),
    "messages.edit": _POST,
    "messages.delete": _POST,
    "reactions.react": _POST,
    "room_settings.edit": _POST,
    "profiles.edit": Budget("change", within=("profile",)),
    # Signing in, by network and by login.
    "sign_in.sign_in": Budget(within=("guest", "guest-day", "guests", "address", "login")),
    "sign_up.sign_up": Budget(within=("sign-up",)),
    "passwords.change": Budget("change", within=("login", "account")),
    "first_admin.make_account": Budget("address", by_network=True),
    "first_admin.page_of_link": Budget("view", within=("address",)),  # wrong links
    "first_admin.use_link": Budget("change", within=("address",)),
    "passwords.reset": Budget("address", by_network=True),
    "oidc_sign_in.start": Budget("oidc", by_network=True),
    "jwt_sign_in.sign_in": Budget("hand-over", by_network=True),
    # The API: an endpoint is named by the id of its operation (chat.api.operation).
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
