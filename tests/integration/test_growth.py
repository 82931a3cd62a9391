"""No page does more in one piece, or reads or shows more, as the chat grows: counted, in this
process, in a chat with 10,000 people. A new page is tested as soon as it has a route."""

import asyncio
import json
import re

import pytest
from flask.sessions import SecureCookieSessionInterface

from chat.api.endpoints import OPERATIONS
from chat.bridge import await_
from chat.config import Settings
from chat.domain.mentions import MAX_SIGNS
from chat.rendering.text_renderer import serve
from chat.runtime.fork_server import ForkServer
from chat.store import Person, keys
from chat.store.messages import MAX_EMOJI, MAX_REACTIONS

from .big import MEMBERS, MESSAGES, ROOMS, Big
from .counted import Counted

MOST_CALLS = 32_000  # of functions in one step of the event loop: some 6 ms without a profiler
MOST_TOGETHER = 500  # commands to Redis that are packed and read in one piece
MOST_ROWS = 210  # of a page, without the room list: people who are ticked are the longest
MOST_READ = 16_000  # values from Redis for one page: of each of 500 rooms one is in, up to 30
MOST_BYTES = 200_000  # of a page without the room list

# Some take 10 s of the processor, for what counts is called at each call of a function.
pytestmark = pytest.mark.timeout(600)  # seconds, for a machine that does much else besides

# Answers that are not pages of rows: files, redirects, streams that never end, what is off here.
NOT_WALKED = {
    "assets.file": "a file",
    "downloads.file": "a file",
    "profiles.picture": "a file",
    "event_stream.stream": "never ends",
    "oidc_sign_in.begin": "is off",
    "oidc_sign_in.callback": "is off",
}


@pytest.fixture(scope="module")
def big(valkey):
    import redis

    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        client.flushall()
        yield Big(client)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    return Settings(secret_key="x" * 32, data=data, sign_in=("guest", "password"), limits=False)


def cookie(counted, big):
    serializer = SecureCookieSessionInterface().get_signing_serializer(counted.app)
    said = {"uid": big.ann.uid, "secret": big.secret, "_permanent": True}
    return f"session={serializer.dumps(said)}"


@pytest.fixture(scope="module")
def children():
    made = ForkServer.start(serve)
    yield made
    made.close()


@pytest.fixture
def counting(valkey, settings, children, big):
    """Tells a story, given what counts, with the chat of Ann's."""

    def tell(story):
        async def told():
            async with Counted(valkey.url, settings, children) as counted:
                return await story(counted)

        return asyncio.run(told())

    return tell


def paths(app, big):
    """An address for each route that answers a GET, by its endpoint."""
    values = {
        "rid": big.room,
        "uid": big.uids[0],
        "seq": "1",
        "fid": "x",
        "name": "x",
        "secret": "x",
    }
    found = {}
    for rule in app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.websocket or rule.endpoint in NOT_WALKED:
            continue
        given = {name: values.get(name, "x") for name in rule.arguments}
        if rule.endpoint.startswith("webhooks.") or rule.endpoint.startswith("api_tokens.of"):
            given["uid"] = big.bot
        with app.test_request_context():
            adapter = app.url_map.bind("chat.test")
            found[rule.endpoint] = adapter.build(rule.endpoint, given)
    return found


def more_paths(big):
    """Pages of which a query makes another list."""
    return {
        "a page of members": f"/rooms/{big.room}/people?page=50",
        "members by name": f"/rooms/{big.room}/people?member=bob",
        "members and people to add": f"/rooms/{big.room}/people?q=number",
        "owners by name": f"/rooms/{big.room}/leave?q=number",
        "people by name": "/admin/people?q=number",
        "people after one": f"/admin/people?after={big.uids[3000]}",
        "people before one": f"/admin/people?before={big.uids[3000]}",
        "open rooms by name": "/rooms?q=open",
        "a page of open rooms": "/rooms?page=7",
        "the picker": f"/people/picker?room={big.room}&q=bob",
        "people ticked": "/people?" + "&".join(f"members={uid}" for uid in big.uids[:1500]),
        "going somewhere": "/go?all=1&q=o",
        "a room with messages": f"/rooms/{big.talk}",
        "older messages": f"/rooms/{big.talk}/messages?before=200",
        "a message": f"/rooms/{big.talk}/messages/100",
        "many rooms to search in": "/search?q=" + "+".join(f"in:{c}" for c in 6 * "romfans"),
        "bots": "/admin/bots?page=2",
    }


def test_no_page_is_one_long_piece_nor_longer_in_a_large_chat(counting, big):
    async def story(counted):
        mine, wrong, walked = cookie(counted, big), [], 0
        for name, path in {**paths(counted.app, big), **more_paths(big)}.items():
            for is_swap in (False, True):
                headers = {"hx_request": "true"} if is_swap else {}
                answer = await counted.get(path, mine, **headers)
                walked += answer.status == 200
                wrong += [f"{name} {path[:60]}: {said}" for said in judge(answer)]
        assert walked > 60
        assert not wrong, "\n".join(wrong)

    counting(story)


def judge(answer):
    """Return what is wrong with a page."""
    count = answer.count
    side = r'<ul id="rooms".*?</ul>|<hx-partial hx-target="#rooms".*?</hx-partial>'
    html = re.sub(side, "", answer.text, flags=re.S)
    rows = len(
        re.findall(
            r"<(?:li|option|tr)\b",
            re.sub(r"<select[^>]*name=\"zone\".*?</select>", "", html, flags=re.S),
        )
    )
    roles = len(re.findall(r"<option", html)) if "role-" in html else 0
    if answer.status >= 500:
        yield f"answered {answer.status}"
    if count.calls > MOST_CALLS:
        yield f"{count.calls} calls in one step"
    if count.together > MOST_TOGETHER:
        yield f"{count.together} commands at once"
    if count.read > MOST_READ:
        yield f"read {count.read} values"
    if rows - roles > MOST_ROWS:
        yield f"{rows - roles} rows"
    if len(html) > MOST_BYTES:
        yield f"{len(html)} bytes"


def test_as_many_reactions_as_there_can_be_are_read_in_pieces(counting, big):
    """Each message of a room has MAX_REACTIONS, and a page comes back that has none of them."""
    people = big.uids[: MAX_REACTIONS // MAX_EMOJI]
    emoji = [chr(0x1F600 + n) for n in range(MAX_EMOJI)]
    each = [[one, uid, f"Bob {uid}", 1] for one in emoji for uid in people]
    kept = dict.fromkeys(range(1, MESSAGES + 3), json.dumps(each))

    async def story(counted):
        mine, frame = cookie(counted, big), {"type": "watch", "room": big.talk, "after": "2"}
        page = await counted.get(f"/rooms/{big.talk}", mine)
        assert page.text.count(emoji[0]) >= 50
        _, came_back = await counted.page(mine, frame)
        _, missed = await counted.page(mine, {**frame, "after": "250"})
        for count in (page.count, came_back, missed):
            assert count.calls < MOST_CALLS

    big.client.hset(keys.reactions(big.talk), mapping=kept)
    try:
        counting(story)
    finally:
        big.client.delete(keys.reactions(big.talk))


def test_nor_is_an_answer_of_the_api(counting, big):
    async def story(counted):
        token = big.store.tokens.make(big.ann.uid, "counts", ["read"])
        wrong, walked = [], 0
        for operation in OPERATIONS:
            if operation.method != "GET" or operation.id == "get_file":
                continue
            path = re.sub(r"<rid>", big.room, f"/api{operation.path}")
            path = re.sub(r"<uid>", big.uids[0], re.sub(r"<int:seq>", "1", path))
            for query in ("", "?q=number", "?limit=200", "?skip=150&limit=200"):
                answer = await counted.get(path + query, "", authorization=f"Bearer {token}")
                walked += answer.status == 200
                wrong += [f"{path}{query}: {said}" for said in judge(answer)]
                listed = max(map(len, filter(listy, answer.json().values())), default=0)
                if listed > (ROOMS + 10 if path == "/api/rooms" else 200):
                    wrong.append(f"{path}{query}: {listed} in one answer")
        assert walked > 30
        assert not wrong, "\n".join(wrong)

    counting(story)


def listy(value):
    return isinstance(value, list)


def test_a_page_that_opens_is_sent_its_list_in_pieces(counting, big):
    async def story(counted):
        frame = {"type": "watch", "room": big.talk, "after": "0", "epoch": "", "digest": "old"}
        told, count = await counted.page(cookie(counted, big), frame)
        sent = "".join(told)
        assert sent.count('class="row"') > ROOMS
        assert count.calls < MOST_CALLS
        assert count.together <= MOST_TOGETHER

    counting(story)


def test_a_rename_is_told_in_a_few_round_trips(counting, big):
    async def story(counted):
        count = await counted.do(counted.app.store.people.signal_profile, big.ann.uid)
        assert count.trips < 20
        assert count.together <= MOST_TOGETHER
        assert count.commands > ROOMS

    counting(story)


def test_many_possible_names_are_looked_up_in_a_few_round_trips(counting, big):
    async def story(counted):
        store = counted.app.store
        find = store.notifications.mentions
        few = await counted.do(find, big.room, big.ann.uid, "@Eve")
        # One of the names belongs to many people.
        names = [f"@x{n} two three four five six seven eight" for n in range(MAX_SIGNS - 1)]
        many = await counted.do(find, big.room, big.ann.uid, " ".join([*names, "@Bob Number"]))
        assert many.commands > 100
        assert many.trips <= few.trips + 2
        assert many.together < MOST_TOGETHER

    counting(story)


def test_the_end_of_a_large_room_is_told_in_pieces(counting, big):
    async def story(counted):
        store, made = counted.app.store, []

        def begin():
            everybody = [Person(uid, uid) for uid in big.uids]
            made.append(store.rooms.create("Soon over", "closed", big.ann, everybody))

        for work in (begin, lambda: store.rooms.end(made[0], big.ann)):
            count = await counted.do(work)
            assert count.commands > MEMBERS
            assert count.together <= MOST_TOGETHER

    counting(story)


def test_every_member_is_on_one_page(counting, big):
    async def story(counted):
        mine, seen = cookie(counted, big), []
        everybody = [Person(uid, uid) for uid in big.uids[:350]]
        rid = big.store.rooms.create("Some", "closed", big.ann, everybody)
        path = f"/rooms/{rid}/people"
        while path:
            html = (await counted.get(path, mine)).text
            seen.append(re.findall(r'action="/rooms/[^/]+/people/([^/]+)/remove"', html))
            assert "of 351 members" in html
            path = link(html, "next")
        # Ann, who cannot remove herself, is on one of them: those who joined together are in the
        # order of their ids.
        assert [len(page) for page in seen] in ([99, 100, 100, 51], [100, 100, 100, 50])
        assert sorted(uid for page in seen for uid in page) == big.uids[:350]
        before = link(html, "prev")
        html = (await counted.get(before, mine)).text
        assert re.findall(r"people/([^/]+)/remove", html) == seen[2]

    counting(story)


def link(html, rel):
    found = re.search(rf'href="([^"]+)" rel="{rel}"', html)
    return found[1].replace("&amp;", "&") if found else ""


def test_a_member_of_a_large_room_is_found_by_name(counting, big):
    async def story(counted):
        mine = cookie(counted, big)
        html = (await counted.get(f"/rooms/{big.room}/people?member=01234", mine)).text
        assert re.findall(r"people/([^/]+)/remove", html) == ["person-01234"]
        html = (await counted.get(f"/rooms/{big.room}/people?member=nobody", mine)).text
        assert "No members match “nobody”." in html
        html = (await counted.get(f"/rooms/{big.room}/leave?q=04321", mine)).text
        assert re.findall(r'<option value="(person[^"]+)"', html) == ["person-04321"]
        html = (await counted.get(f"/rooms/{big.room}/leave?q=nobody", mine)).text
        assert "No other members match “nobody”." in html

    counting(story)


def test_everybody_is_on_the_admins_pages(counting, big):
    async def story(counted):
        mine, path, seen, pages = cookie(counted, big), "/admin/people", set(), []
        while path and len(pages) < 200:
            html = (await counted.get(path, mine)).text
            pages.append(re.findall(r"/admin/people/([\w-]+)/sign-out", html))
            seen.update(pages[-1])
            before, path = link(html, "prev"), link(html, "next")
        assert seen >= set(big.uids)
        assert (await counted.get("/admin/people?q=ann", mine)).text.count("ann, admin") == 1
        assert (
            re.findall(r"/admin/people/([\w-]+)/sign-out", (await counted.get(before, mine)).text)
            == pages[-2]
        )

    counting(story)


def test_open_rooms_are_all_found(counting, big):
    async def story(counted):
        mine, path, seen = cookie(counted, big), "/rooms", []
        while path:
            html = (await counted.get(path, mine)).text
            seen += re.findall(r'action="/rooms/([^/]+)/join"', html)
            path = link(html, "next")
        assert len(seen) == len(set(seen)) == big.store.rooms.open_count()
        html = (await counted.get("/rooms?q=open 77", mine)).text
        assert set(re.findall(r"open-rooms__name\">([^<]+)<", html)) >= {"Open 77", "Open 777"}

    counting(story)


def test_a_list_is_not_older_than_what_the_page_was_told(counting, big):
    """Rendering gives way, and meanwhile somebody writes in another room: the list that is sent
    then has the mark of it."""

    async def story(counted):
        rid, fragments = big.rooms[7], counted.app.fragments
        render, posted = fragments.room_list, []

        def rendered(*args):
            text = render(*args)
            if not posted:
                bob = counted.app.store.people.get(big.uids[0])
                posted.append(counted.app.store.messages.post(rid, bob, "While it is rendered"))
                while counted.app.realtime.hub.rooms[rid].last < posted[0]:
                    await_(asyncio.sleep(0.001))
            return text

        fragments.room_list = rendered
        frame = {"type": "watch", "room": big.talk, "after": "0", "epoch": "", "digest": "old"}
        told, _ = await counted.page(cookie(counted, big), frame)
        (last,) = [text for text in told if f'<li id="room-{rid}" class="row"' in text]
        assert "While it is rendered" in last

    counting(story)


def test_a_page_that_was_taken_out_while_it_was_rendered_is_shown_nothing(counting, big):
    async def story(counted):
        rid, fragments, hub = big.rooms[8], counted.app.fragments, counted.app.realtime.hub
        render = fragments.missed_events

        def rendered(*args):
            text = render(*args)
            for viewer in list(hub.people[big.ann.uid]):
                hub.leave(viewer, rid)
            return text

        fragments.missed_events = rendered
        frame = {"type": "watch", "room": rid, "after": "1", "epoch": "", "digest": ""}
        told, _ = await counted.page(cookie(counted, big), frame)
        assert "hx-upsert" not in "".join(told)

    counting(story)
