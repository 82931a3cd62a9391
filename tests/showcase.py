"""A chat with realistic people and messages, for screenshots and reviews."""

import io
import re

from PIL import Image, ImageDraw

from .running import Server, Visitor

PASSWORD = "seven wet umbrellas"
SETTINGS = {"CHAT_SIGN_IN": "guest,password", "CHAT_LIMITS": "off"}

CODE = """The whole of it:

```python
def water(bed, litres=4):
    \"\"\"Not at noon.\"\"\"
    if bed.is_dry():
        return bed.pour(litres)
```
"""


class Someone(Visitor):
    """An account; the first one is the administrator."""

    def __init__(self, url: str, name: str, first: bool = False) -> None:
        super().__init__(url)
        login = re.sub(r"\W", "", name.split()[0].lower().encode("ascii", "ignore").decode())
        self.login = login or "user1"
        at = "/first-run" if first else "/sign-up"
        answer = self.submit(at, at, login=self.login, name=name, password=PASSWORD)
        assert answer.status_code == 303, answer.text

    def say(self, rid: str, body: str, reply: int = 0) -> int:
        """Post; returns the number of the message."""
        answer = self.submit(f"/rooms/{rid}/messages", body=body, reply=str(reply or ""))
        assert answer.status_code == 303, answer.text
        return self.last(rid)

    def last(self, rid: str) -> int:
        """The number of the newest message."""
        return int(re.findall(r'id="m-(\d+)"', self.room(rid))[-1])

    def send(self, rid: str, body: str, *files: tuple[str, bytes]) -> int:
        """Post with files, each a name and its bytes; returns the number of the message."""
        token = re.search(r'name="csrf_token" value="([^"]+)"', self.get("/").text)[1]
        fields = {"csrf_token": token, "body": body}
        sent = [("files", file) for file in files]
        answer = self.http.post(f"/rooms/{rid}/messages", data=fields, files=sent)
        assert answer.status_code == 303, answer.text
        return self.last(rid)

    def react(self, rid: str, seq: int, emoji: str) -> None:
        answer = self.submit(f"/rooms/{rid}/reactions", react=f"{seq} 9999 {emoji}")
        assert answer.status_code == 303, answer.text


class Showcase:
    """Ann's chat. `rooms` are ids by a word, `seqs` numbers of messages in the garden."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.rooms: dict[str, str] = {}
        self.seqs: dict[str, int] = {}
        self.ann = Someone(server.url, "Ann Kowalska", first=True)
        self.bob = Someone(server.url, "Bob Ferreira")
        self.chen = Someone(server.url, "Chen Wei")
        self.dina = Someone(server.url, "Dina Halabi دينا")
        self.emil = Someone(server.url, "Emil Østergård")
        self.new = Someone(server.url, "Nobody Yet")
        self._picture(self.chen)
        self._others()
        self._garden()

    def _picture(self, someone: Someone) -> None:
        image = Image.linear_gradient("L").resize((96, 96))
        colour = Image.merge("RGB", (image, image.rotate(90), Image.new("L", (96, 96), 150)))
        file = io.BytesIO()
        colour.save(file, "PNG")
        page = someone.get("/me").text
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]
        someone.http.post(
            "/me",
            data={"csrf_token": token, "name": "Chen Wei"},
            files={"picture": ("me.png", file.getvalue(), "image/png")},
        )

    def _start(
        self, word: str, by: Someone, name: str, kind: str, *members: Someone, about=""
    ) -> str:
        answer = by.submit(
            "/rooms",
            "/rooms/new",
            name=name,
            kind=kind,
            about=about,
            members=[m.uid for m in members],
        )
        assert answer.status_code == 303, answer.text
        self.rooms[word] = answer.headers["location"].rpartition("/")[2]
        return self.rooms[word]

    def _others(self) -> None:
        ann, bob, chen, dina, emil = self.ann, self.bob, self.chen, self.dina, self.emil
        self._start("quiet", ann, "Quiet corner", "open")
        rid = self._start(
            "release",
            emil,
            "Release 4.2, and everything that must not be forgotten",
            "closed",
            ann,
            bob,
        )
        emil.say(rid, "Tagged. Nobody touches `main` until noon.")
        rid = self._start("arabic", dina, "حديقة المطبخ", "open", ann)
        dina.say(rid, "صباح الخير! هل سقيتم الطماطم؟")
        ann.say(rid, "نعم، and the basil too")
        dina.say(rid, "- ماء\n- شمس\n- صبر\n\n> ببطء")
        rid = self._start("direct", bob, "", "direct", ann)
        bob.say(rid, "Lunch at one?")
        ann.say(rid, "Yes, I bring the salad")
        rid = self._start("unread", chen, "Bicycle repairs", "open", ann, bob, emil)
        for text in ("Who has the 15 mm spanner?", "Found it", "It was in the shed all along"):
            chen.say(rid, text)

    def _garden(self) -> None:
        ann, bob, chen, dina, emil = self.ann, self.bob, self.chen, self.dina, self.emil
        rid = self._start(
            "garden",
            ann,
            "Kitchen garden",
            "open",
            bob,
            chen,
            dina,
            emil,
            about="Beds, seeds and who waters when",
        )
        seqs = self.seqs
        bob.say(rid, "Morning all. The beans are up!")
        bob.say(rid, "And the slugs know it")
        seqs["plan"] = chen.say(
            rid,
            "**Plan for Saturday**\n\n1. weed the long bed\n2. sow radishes\n"
            "3. mend the ~~gate~~ fence, see https://example.org/fence",
        )
        seqs["reply"] = ann.say(rid, "I bring the rake", reply=seqs["plan"])
        ann.say(rid, "and coffee ☕")
        gone = emil.say(rid, "wrong room, sorry")
        emil.submit(f"/rooms/{rid}/messages/{gone}/delete")
        seqs["edited"] = emil.say(rid, "I can water on Sunday")
        emil.submit(
            f"/rooms/{rid}/messages/{seqs['edited']}/edit", body="I can water on Sunday and Monday"
        )
        dina.say(rid, CODE)
        ann.say(
            rid,
            "> Not at noon.\n\nThat is the part everyone forgets. "
            "I wrote it on the shed door last year, and it was ignored by all of us, me included.",
        )
        seqs["beds"] = bob.send(
            rid,
            "The beds, and what goes where",
            ("beds.png", beds()),
            ("seeds.csv", b"radish,40\ndill,15\n"),
        )
        seqs["emoji"] = bob.say(rid, "🍅🍅🍅")
        for who, seq, emoji in (
            (ann, "plan", "👍"),
            (bob, "plan", "👍"),
            (dina, "plan", "👍"),
            (emil, "plan", "🎉"),
            (bob, "reply", "❤️"),
            (ann, "edited", "🙏"),
            (ann, "beds", "😍"),
            (chen, "beds", "😍"),
            (dina, "beds", "🌱"),
        ):
            who.react(rid, seqs[seq], emoji)
        seqs["last"] = ann.say(rid, "See you on Saturday")


def beds() -> bytes:
    """A plan of a garden, as a PNG."""
    image = Image.new("RGB", (960, 540), "#e9e2d0")
    pen = ImageDraw.Draw(image)
    for number, colour in enumerate(("#6b8e4e", "#8a5a3b", "#c98f3c", "#b5533c")):
        left = 60 + number * 220
        pen.rounded_rectangle((left, 60, left + 180, 480), 24, "#7a5c43")
        for row in range(5):
            for column in range(3):
                x, y = left + 36 + column * 54, 100 + row * 80
                pen.ellipse((x - 20, y - 20, x + 20, y + 20), colour)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def cookies(someone: Visitor) -> list[dict[str, str]]:
    """Somebody's session, as a browser takes it."""
    return [
        {"name": cookie.name, "value": cookie.value or "", "url": someone.url}
        for cookie in someone.http.cookies.jar
    ]
