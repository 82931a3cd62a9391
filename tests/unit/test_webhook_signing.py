"""How deliveries to webhooks are signed, and how their answers are read."""

import base64
import hashlib
import hmac
import time
from pathlib import Path

import httpx
import pytest

from chat.http_client.public_only import HttpResponse
from chat.webhooks import signing


def answer(status: int = 200, body: bytes = b"", **headers: str) -> HttpResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, httpx.Headers(named), body)


def test_the_signature_is_the_one_of_the_specification():
    """The example of the specification's own libraries."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    signed = signing.signed_headers(
        secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1614265330
    )
    assert signed["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signed["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert signed["webhook-timestamp"] == "1614265330"


def test_a_new_secret_signs():
    secret = signing.new_secret()
    key = base64.b64decode(secret.removeprefix("whsec_"))
    assert len(key) == 32
    signed = signing.signed_headers(secret, "msg_1", b"{}", 5)
    made = base64.b64encode(hmac.digest(key, b"msg_1.5.{}", hashlib.sha256)).decode()
    assert signed["webhook-signature"] == f"v1,{made}"


def test_waits_grow_to_about_a_day_in_all():
    waits = [signing.retry_wait(tries, 15) for tries in range(1, signing.MAX_TRIES)]
    assert waits == sorted(waits)
    assert 12 <= waits[0] <= 18
    assert 18 * 3600 < sum(waits) < 30 * 3600
    assert len({signing.retry_wait(1, 15) for _ in range(9)}) > 1


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "120", 120),
        (503, "0", 0),
        (503, "99999999999", signing.MAX_WAIT_SECONDS),
        (503, "Thu, 01 Jan 1970 00:10:00 GMT", 500),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (503, "soon", 0),
        (503, "-5", 0),
        (503, "Tue, 01 Jan 2030 00:00:00 +9999999999999999999999", 0),
        (503, f"Tue, 01 Jan {10**12} 00:00:00 GMT", 0),
        (503, f"Tue, 01 Jan 2030 {10**20}:00:00 GMT", 0),
        (500, "120", 0),
    ],
)
def test_who_is_too_busy_says_for_how_long(status, header, seconds):
    assert signing.requested_wait(answer(status, retry_after=header), now=100) == seconds


def test_an_answer_is_a_text_or_a_body():
    plain, json = "text/plain; charset=utf-8", "application/json"
    assert signing.reply_text(answer(body=b" Beep\n", content_type=plain)) == "Beep"
    assert signing.reply_text(answer(body=b'{"body": "Beep"}', content_type=json)) == "Beep"
    for nothing in (b"", b"[]", b"{", b'{"body": 5}', b'{"ok": true}', b"[" * 60_000):
        assert signing.reply_text(answer(body=nothing, content_type=json)) == ""
    assert signing.reply_text(answer(body=b"<p>Beep", content_type="text/html")) == ""
    assert signing.reply_text(answer(body=b"Beep")) == ""
    zipped = answer(body=b"Beep", content_type=plain, content_encoding="gzip")
    assert signing.reply_text(zipped) == ""


def test_the_example_in_the_documentation_verifies(monkeypatch):
    secret, now = signing.new_secret(), int(time.time())
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    text = (Path(__file__).parents[2] / "docs" / "bots.md").read_text()
    names: dict = {}
    exec(text.split("```python\n")[1].partition("```")[0], names)
    verified, body = names["verified"], b'{"event": "mention"}'
    signed = signing.signed_headers(secret, "msg_1", body, now)
    assert verified(signed, body) == {"event": "mention"}
    for wrong in (
        (signed, b"{}"),
        (signing.signed_headers(signing.new_secret(), "msg_1", body, now), body),
        (signing.signed_headers(secret, "msg_1", body, now - 1000), body),
    ):
        with pytest.raises(ValueError, match=r"not signed|too old"):
            verified(*wrong)
