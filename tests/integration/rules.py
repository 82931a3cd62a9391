"""Who may do what, as tables: the result of each request, API call and frame for each person."""

import re

from .world import PASSWORD

WHO = ["stranger", "guest", "outsider", "member", "owner", "moderator", "away", "admin", "ex"]

# The columns are WHO; 401 stands for being sent to sign in. One number is everybody's; of two, the
# first is the stranger's, the second all others'. Who was deactivated is a stranger, cookie or not.
# {open|closed} is a room of each of these kinds, with a message of the member's.
#   stranger guest outsider member owner moderator away admin ex
PAGES = """
GET /healthz                                     200
GET /readyz                                      200
GET /metrics                                     200
GET /connection                                  200
GET /static/chat.css                             200
GET /me.css                                      200
GET /api/openapi.json                            200
GET /sign-in                                     200 303
POST /sign-in                                    303
GET /sign-up                                     200
POST /sign-up                                    303
GET /first-run                                   404
POST /first-run                                  404
GET /first-run/nothing                           404
POST /first-run/nothing                          404
GET /sign-in/oidc                                404
GET /sign-in/oidc/callback                       404
POST /sign-in/token                              404
GET /sign-in/reset/nothing                       404
POST /sign-in/reset/nothing                      404
GET /                                            401 200
GET /me                                          401 200
POST /me                                         401 303
GET /me/sessions                                 401 200
POST /me/sessions/end                            401 303
GET /me/password                                 401 200
POST /me/password                                401 400 303 303 303 303 303 303 303
GET /me/tokens                                   401 200
GET /tokens/{me}                                 401 200
POST /tokens/{me}                                401 200
POST /tokens/{me}/revoke                         401 303
GET /tokens/{bot}                                401 403 403 403 403 403 403 200 403
POST /tokens/{bot}                               401 403 403 403 403 403 403 200 403
POST /tokens/{bot}/revoke                        401 403 403 403 403 403 403 303 403
GET /tokens/{target}                             401 403 403 403 403 403 403 404 403
POST /tokens/{target}                            401 403 403 403 403 403 403 404 403
POST /tokens/{target}/revoke                     401 403 403 403 403 403 403 404 403
GET /admin/people                                401 403 403 403 403 403 403 200 403
POST /admin/people/{target}/role                 401 403 403 403 403 403 403 303 403
POST /admin/people/{target}/deactivate           401 403 403 403 403 403 403 303 403
POST /admin/people/{target}/activate             401 403 403 403 403 403 403 303 403
POST /admin/people/{target}/sign-out             401 403 403 403 403 403 403 303 403
POST /admin/people/{target}/reset                401 403 403 403 403 403 403 200 403
GET /admin/files                                 401 403 403 403 403 403 403 200 403
GET /admin/audit                                 401 403 403 403 403 403 403 200 403
GET /admin/bots                                  401 403 403 403 403 403 403 200 403
POST /admin/bots                                 401 403 403 403 403 403 403 303 403
GET /admin/bots/{bot}/webhook                    401 403 403 403 403 403 403 200 403
POST /admin/bots/{bot}/webhook                   401 403 403 403 403 403 403 400 403
POST /admin/bots/{bot}/webhook/remove            401 403 403 403 403 403 403 303 403
POST /admin/bots/{bot}/webhook/secret            401 403 403 403 403 403 403 404 403
GET /people                                      401 200
GET /people/picker                               401 200
GET /people/{target}                             401 200
GET /people/{target}/picture                     401 200
GET /go                                          401 200
GET /unread                                      401 200
POST /unread/read                                401 303
GET /search?q=let                                401 200
GET /rooms                                       401 200
GET /rooms/new                                   401 200
POST /rooms                                      401 303
GET /rooms/random                                401 200
POST /rooms/random                               401 303
GET /rooms/{open}                                401 200
GET /rooms/{closed|direct|random}                401 404 404 200 200 200 404 404 404
POST /rooms/{open}/join                          401 303
POST /rooms/{closed|direct|random}/join          401 404 404 303 303 303 404 404 404
GET /rooms/{open|closed}/edit                    401 404 404 403 200 200 404 404 404
GET /rooms/{direct|random}/edit                  401 404 404 403 403 403 404 404 404
POST /rooms/{open|closed}/edit                   401 404 404 403 303 303 404 404 404
POST /rooms/{direct|random}/edit                 401 404 404 403 403 403 404 404 404
GET /rooms/{open|closed}/end                     401 404 404 403 200 200 404 404 404
GET /rooms/{direct|random}/end                   401 404 404 403 403 403 404 404 404
POST /rooms/{open|closed}/end                    401 404 404 403 303 303 404 404 404
POST /rooms/{direct|random}/end                  401 404 404 403 403 403 404 404 404
GET /rooms/{open|closed|direct|random}/people    401 404 404 200 200 200 404 404 404
POST /rooms/{open|closed}/people                 401 404 404 403 303 303 404 404 404
POST /rooms/{direct|random}/people               401 404 404 403 403 403 404 404 404
POST /rooms/{open|closed}/people/{bot}/remove    401 404 404 403 303 303 404 404 404
POST /rooms/{direct|random}/people/{bot}/remove  401 404 404 403 403 403 404 404 404
POST /rooms/{open|closed}/owner                  401 404 404 403 303 303 404 404 404
POST /rooms/{direct|random}/owner                401 404 404 403 403 403 404 404 404
GET /rooms/{open|closed|direct|random}/leave     401 404 404 200 200 200 404 404 404
POST /rooms/{open|closed}/leave                  401 404 404 303 403 303 404 404 404
POST /rooms/{direct}/leave                       401 404 404 403 403 403 404 404 404
POST /rooms/{random}/leave                       401 404 404 303 303 303 404 404 404
GET /rooms/{open|closed|direct|random}/composer?after=n  404 200
GET /rooms/{open|closed|direct|random}/seen/{seq}        401 404 404 204 204 204 404 404 404
GET /rooms/{open}/stream                         401 403 403 200 200 200 403 403 403
GET /rooms/{closed|direct|random}/stream         401 404 404 200 200 200 404 404 404
GET /rooms/{open}/messages                       401 403 403 200 200 200 403 403 403
GET /rooms/{closed|direct|random}/messages       401 404 404 200 200 200 404 404 404
POST /rooms/{open}/messages                      401 403 403 303 303 303 403 403 403
POST /rooms/{closed|direct|random}/messages      401 404 404 303 303 303 404 404 404
GET /rooms/{open}/on?day=2026-01-01              401 403 403 303 303 303 403 403 403
GET /rooms/{closed|direct|random}/on?day=2026-01-01      401 404 404 303 303 303 404 404 404
POST /rooms/{open}/messages/{seq}/unread                 401 403 403 303 303 303 403 403 403
POST /rooms/{closed|direct|random}/messages/{seq}/unread 401 404 404 303 303 303 404 404 404
GET /rooms/{open}/messages/{seq}                 401 403 403 200 200 200 403 403 403
GET /rooms/{closed|direct|random}/messages/{seq} 401 404 404 200 200 200 404 404 404
GET /rooms/{open}/messages/{seq}/edit            401 403 403 200 403 200 403 403 403
GET /rooms/{closed|random}/messages/{seq}/edit   401 404 404 200 403 200 404 404 404
GET /rooms/{direct}/messages/{seq}/edit          401 404 404 200 403 403 404 404 404
POST /rooms/{open|closed|random}/messages/{seq}/edit     401 404 404 303 403 303 404 404 404
POST /rooms/{direct}/messages/{seq}/edit                 401 404 404 303 403 403 404 404 404
POST /rooms/{open|closed|random}/messages/{seq}/delete   401 404 404 303 403 303 404 404 404
POST /rooms/{direct}/messages/{seq}/delete               401 404 404 303 403 403 404 404 404
POST /rooms/{open|closed|direct|random}/attach   401 404 404 200 200 200 404 404 404
GET /rooms/{open|closed|direct|random}/files/{fid}/a.txt 401 404 404 200 200 200 404 404 404
POST /rooms/{open|closed|direct|random}/composer 401 404 404 200 200 200 404 404 404
GET /rooms/{open|closed|direct|random}/draft?nonce=n     401 404 404 200 200 200 404 404 404
POST /rooms/{open|closed|direct|random}/preview  401 404 404 200 200 200 404 404 404
GET /help/text                                   401 200
POST /rooms/{open|closed|direct|random}/reactions        401 404 404 303 303 303 404 404 404
GET /rooms/{open}/reply?to={seq}                 401 403 403 303 303 303 403 403 403
GET /rooms/{closed|direct|random}/reply?to={seq} 401 404 404 303 303 303 404 404 404
GET /rooms/{open}/menu?after={seq}               401 403 403 303 303 303 403 403 403
GET /rooms/{closed|direct|random}/menu?after={seq}       401 404 404 303 303 303 404 404 404
GET /mentions                                    401 200
POST /rooms/{open|closed|direct|random}/level    401 404 404 303 303 303 404 404 404
POST /rooms/{open|closed|direct|random}/names    401 404 404 200 200 200 404 404 404
POST /sign-out                                   303
"""

# Here the last column is the bot, which is in the rooms. A token for reading reads, and is refused
# (403) whatever it is to write.
#   stranger guest outsider member owner moderator away admin ex bot
API = """
GET /me                                          401 200
PATCH /me                                        401 200
GET /people                                      401 200
GET /people/{target}                             401 200
GET /search                                      401 200
GET /rooms                                       401 200
GET /open-rooms                                  401 200
POST /rooms                                      401 201
POST /direct-rooms                               401 200
POST /random-rooms                               401 200
GET /rooms/{open}                                401 200
GET /rooms/{closed|direct|random}                401 404 404 200 200 200 404 404 404 200
PATCH /rooms/{open|closed}                       401 404 404 403 200 200 404 404 404 403
PATCH /rooms/{direct|random}                     401 404 404 403 403 403 404 404 404 403
DELETE /rooms/{open|closed}                      401 404 404 403 204 204 404 404 404 403
DELETE /rooms/{direct|random}                    401 404 404 403 403 403 404 404 404 403
POST /rooms/{open}/join                          401 200
POST /rooms/{closed|direct|random}/join          401 404 404 200 200 200 404 404 404 200
POST /rooms/{open|closed}/leave                  401 404 404 204 403 204 404 404 404 204
POST /rooms/{direct}/leave                       401 404 404 403 403 403 404 404 404 403
POST /rooms/{random}/leave                       401 404 404 204 204 204 404 404 404 204
GET /rooms/{open|closed|direct|random}/members   401 404 404 200 200 200 404 404 404 200
POST /rooms/{open|closed}/members                401 404 404 403 200 200 404 404 404 403
POST /rooms/{direct|random}/members              401 404 404 403 403 403 404 404 404 403
DELETE /rooms/{open|closed}/members/{bot}        401 404 404 403 204 204 404 404 404 403
DELETE /rooms/{direct|random}/members/{bot}      401 404 404 403 403 403 404 404 404 403
POST /rooms/{open|closed}/owner                  401 404 404 403 200 200 404 404 404 403
POST /rooms/{direct|random}/owner                401 404 404 403 403 403 404 404 404 403
GET /rooms/{open|closed|direct|random}/messages  401 404 404 200 200 200 404 404 404 200
POST /rooms/{open}/messages                      401 403 403 201 201 201 403 403 403 201
POST /rooms/{closed|direct|random}/messages      401 404 404 201 201 201 404 404 404 201
POST /rooms/{open|closed|direct|random}/files?name=a.txt 401 404 404 201 201 201 404 404 404 201
GET /rooms/{open|closed|direct|random}/files/{fid}       401 404 404 200 200 200 404 404 404 200
GET /rooms/{open|closed|direct|random}/messages/{seq}    401 404 404 200 200 200 404 404 404 200
PATCH /rooms/{open|closed|random}/messages/{seq}         401 404 404 200 403 200 404 404 404 403
PATCH /rooms/{direct}/messages/{seq}                     401 404 404 200 403 403 404 404 404 403
DELETE /rooms/{open|closed|random}/messages/{seq}        401 404 404 204 403 204 404 404 404 403
DELETE /rooms/{direct}/messages/{seq}                    401 404 404 204 403 403 404 404 404 403
PUT /rooms/{open|closed}/messages/{seq}/reactions/{emoji} 401 404 404 200 200 200 404 404 404 200
PUT /rooms/{direct}/messages/{seq}/reactions/{emoji} 401 404 404 200 200 200 404 404 404 200
PUT /rooms/{random}/messages/{seq}/reactions/{emoji} 401 404 404 200 200 200 404 404 404 200
DELETE /rooms/{open|closed}/messages/{seq}/reactions/{emoji} 401 404 404 200 200 200 404 404 404 200
DELETE /rooms/{direct}/messages/{seq}/reactions/{emoji} 401 404 404 200 200 200 404 404 404 200
DELETE /rooms/{random}/messages/{seq}/reactions/{emoji} 401 404 404 200 200 200 404 404 404 200
"""

# A frame is answered to members (200); a stranger has no socket, others are told nothing.
FRAMES = """
watch {open|closed|direct|random}                401 404 404 200 200 200 404 404 404
post {open|closed|direct|random}                 401 404 404 200 200 200 404 404 404
typing {open|closed|direct|random}               401 404 404 200 200 200 404 404 404
typed {open|closed|direct|random}                401 404 404 200 200 200 404 404 404
name {open|closed|direct|random}                 401 404 404 200 200 200 404 404 404
"""

# What is sent along, by the end of the address.
PASSWORDS = {"password": PASSWORD, "old": PASSWORD}
FORMS = {
    "POST /sign-in": {"name": "Somebody"},
    "POST /sign-up": {"login": "new-{who}", "name": "New", **PASSWORDS},
    "POST /me": {"name": "{who}"},
    "POST /me/password": PASSWORDS,
    "POST /tokens/{me}": {"name": "x", "scopes": "read"},
    "POST /tokens/{bot}": {"name": "x", "scopes": "read"},
    "POST /tokens/{target}": {"name": "x", "scopes": "read"},
    "POST /admin/people/{target}/role": {"role": "member"},
    "POST /admin/bots": {"name": "Another"},
    "POST /rooms": {"name": "Mine", "kind": "closed"},
    "POST /rooms/{rid}/edit": {"name": "Changed", "about": "", "kind": "open"},
    "POST /rooms/{rid}/people": {"members": "{target}"},
    "POST /rooms/{rid}/owner": {"uid": "{member}"},
    "POST /rooms/{rid}/messages": {"body": "let me in"},
    "POST /rooms/{rid}/messages/{seq}/edit": {"body": "changed"},
    "POST /rooms/{rid}/attach": {"body": "draft", "files": "1"},
    "POST /rooms/{rid}/composer": {"body": "draft", "lines": "1"},
    "POST /rooms/{rid}/preview": {"body": "draft"},
    "POST /rooms/{rid}/level": {"level": "mentions"},
    "POST /rooms/{rid}/names": {"body": "@me", "name": "Member"},
    "POST /rooms/{rid}/reactions": {"react": "{seq} 0 👍"},
}
BODIES = {
    "PATCH /me": {"about": "Tea"},
    "POST /rooms": {"name": "Mine", "kind": "closed"},
    "POST /direct-rooms": {"members": ["{target}"]},
    "PATCH /rooms/{rid}": {"name": "Changed"},
    "POST /rooms/{rid}/members": {"members": ["{target}"]},
    "POST /rooms/{rid}/owner": {"owner": "{member}"},
    "POST /rooms/{rid}/messages": {"body": "let me in"},
    "POST /rooms/{rid}/files?name=a.txt": {"any": "bytes"},
    "PATCH /rooms/{rid}/messages/{seq}": {"body": "changed"},
}


def rows(table, who=WHO):
    """Each row of a table as what is done, the kind of room ("" for none), and what comes of it
    for each person."""
    for line in table.strip().splitlines():
        found = re.fullmatch(r"(\S+ \S+?)\s+([\d ]+)", line)
        what, codes = found[1], [int(code) for code in found[2].split()]
        if len(codes) <= 2:
            codes = [codes[0]] + [codes[-1]] * (len(who) - 1)
        kinds = re.search(r"\{((?:open|closed|direct|random|\|)+)\}", what)
        for kind in kinds[1].split("|") if kinds else [""]:
            rid = what.replace(kinds[0], "{rid}") if kinds else what
            yield rid, kind, dict(zip(who, codes, strict=True))


PAGE_ROWS, FRAME_ROWS = list(rows(PAGES)), list(rows(FRAMES))
API_ROWS = list(rows(API, [*WHO, "bot"]))
