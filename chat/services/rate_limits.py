"""The tables of rate limits: which limit each request counts against, and what each frame of an
open page costs.

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
    free: the request does not count at all.
    """

    bucket: str = ""
    within: tuple[str, ...] = ()
    by_network: bool = False
    free: bool = False


def _rows(bucket: str, names: str, *within: str) -> dict[str, Budget]:
    return dict.fromkeys(names.split(), Budget(bucket, within))


_FREE = Budget(free=True)

ROUTES: dict[str, Budget] = {
    "assets.static": _FREE,  # a file in memory with an ETag, which costs less than counting
    "health.healthz": _FREE,  # one word from memory, which must be sent under any load
    "health.readyz": _FREE,  # one PING; a load balancer that is refused would send nobody here
    "health.prometheus": _FREE,  # only for the networks of CHAT_METRICS; others get a 404
    # A template in memory, with which people can write while Redis is unavailable.
    "composer.next_composer": _FREE,
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
    **_rows("lookup", "quick_switcher.page rooms.picker"),
    "search.page": Budget("view", within=("search",)),
    **_rows("preview", "composer.preview"),
    **_rows(
        "change",
        "composer.attach composer.choose_lines notifications.set_level notifications.complete "
        "messages.unread unread.read members.leave members.set_owner room_settings.end "
        "sessions.sign_out sessions.end api_tokens.revoke",
    ),
    **_rows("join", "rooms.join rooms.join_random"),
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
    # Counted in the room, where the error appears.
    **_rows("view", "messages.edit messages.delete reactions.react room_settings.edit", "post"),
    "profiles.edit": Budget("change", within=("profile",)),
    # Signing in, by network and by login.
    "sign_in.sign_in": Budget(within=("guest", "guest-day", "guests", "address", "login")),
    "sign_up.sign_up": Budget(within=("sign-up",)),
    "passwords.change": Budget("change", within=("login", "account")),
    "first_admin.make_account": Budget("address", by_network=True),
    "passwords.reset": Budget("address", by_network=True),
    "first_admin.page_of_link": Budget("view", within=("address",)),  # wrong links
    "first_admin.use_link": Budget("change", within=("address",)),
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
    **_rows("change", "members.add members.remove api.add_members api.remove_member", "members"),
    **_rows(
        "api",
        "api.edit_room api.post_message api.edit_message api.delete_message api.react "
        "api.take_back",
        "post",
    ),
    "api.post_file": Budget("api", within=("post", "file")),
}
"""By Flask's endpoint."""

NOT_FOUND = Budget("view")
"""For an address without a route."""

FRAME_COSTS = {
    "watch": 8 * 1024,
    "post": 1024,
    "typing": 4 * 1024,
    "typed": 4 * 1024,
    "name": 16 * 1024,
}
"""By the type of the frame that a page sends on its socket: bytes that are added to its own
(limits.PagesPace). Its response counts too. The service counts the messages that it posts."""

UNKNOWN_FRAME_COST = 8 * 1024  # of any other type
