"""Requests to addresses that people have typed."""

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
from ipaddress import ip_network

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.domain.errors import Invalid, SiteAway
from chat.http_client.public_only import (
    MAX_ADDRESSES,
    MAX_BODY_BYTES,
    MAX_WHY_CHARS,
    HttpResponse,
    PublicClient,
)

from ..receiver import RawReceiver, Receiver

HOME = [ip_network("127.0.0.0/8")]


def check(address: str, **options) -> None:
    asyncio.run(PublicClient(**options).check(address))


def post(address: str, body: bytes = b"{}", **options) -> HttpResponse:
    return asyncio.run(PublicClient(**options).post(address, body, {}))


def named(**hosts: list[str]):
    """A resolver that knows these names, and counts how often it was asked."""
    asked = []

    async def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return hosts[host.partition(".")[0]]

    resolve.asked = asked
    return resolve


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "017700000001"),
        *("127.0.0.1.", "localhost", "localhost.", "LOCALHOST", "0", "0.0.0.0", "127。0。0。1"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"),
        *("169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"),
        *("0xa9.0xfe.0xa9.0xfe", "169.254.169.254.", "169。254。169。254"),
        *("[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]"),
        *("[2002:a9fe:a9fe::1]", "[fe80::1%25lo]", "[fe80::1]", "[fd00::1]", "10.1.2.3"),
    ],
)
def test_no_spelling_of_an_inner_address_is_taken(host):
    with pytest.raises(Invalid):
        check(f"https://{host}/")


def test_a_name_of_an_inner_address_is_refused():
    for ips in (["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1", "::1"]):
        with pytest.raises(Invalid, match="not a public address"):
            check("https://inner.example/", resolve=named(inner=ips))
    check("https://outer.example/", resolve=named(outer=["8.8.8.8", "2606:4700::1"]))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://outer.example/", "https"),
        ("https://outer.example:6379/", "port"),
        ("https://me:secret@outer.example/", "password"),
        ("ftp://outer.example/", "https"),
        ("https:///x", "host"),
        ("outer.example", "https"),
        ("", "https"),
        ("https://[x]/", "not a web address"),
        ("https://outer.example/" + "x" * 500, "too long"),
        ("https://outer.example\r\nX: y/", "not a web address"),
    ],
)
def test_what_else_is_refused_says_why(address, why):
    with pytest.raises(Invalid, match=why):
        check(address, resolve=named(outer=["8.8.8.8"]))


def test_a_name_of_very_many_addresses_is_refused():
    many = [f"8.8.8.{n}" for n in range(MAX_ADDRESSES + 1)]
    with pytest.raises(Invalid, match="more than"):
        check("https://outer.example/", resolve=named(outer=many))


@pytest.mark.parametrize("ip", ["", "x", "8.8.8.8.8", "8.8.8", "::g", "8.8.8.8/8", "\ud800"])
def test_what_a_resolver_says_is_an_address_or_refused(ip):
    for networks in ([], HOME):
        with pytest.raises(Invalid, match="not a public address"):
            check("https://outer.example/", resolve=named(outer=[ip]), networks=networks)


def test_a_name_without_an_address_is_refused():
    for refused in (check, post):
        with pytest.raises(Invalid, match="cannot be found"):
            refused("https://outer.example/", resolve=named(outer=[]))


ANY_TEXT = st.text(st.characters())  # lone surrogates among them
LABELS = st.builds(str.__add__, st.sampled_from(["", "xn--", "%", "["]), ANY_TEXT)
HOSTS = st.lists(LABELS, max_size=60).map(".".join)
PORTS = st.just("") | st.builds(":{}".format, st.integers() | ANY_TEXT)


@given(st.builds("https://{}{}/{}".format, HOSTS, PORTS, ANY_TEXT) | ANY_TEXT)
def test_whatever_is_typed_is_an_address_or_refused_in_words(address):
    """In an allowed network, where the port is looked at by nobody else."""

    async def resolve(host: str, port: int) -> list[str]:
        assert 0 < port < 65536
        return ["127.0.0.1"]

    with contextlib.suppress(Invalid):
        check(address, networks=HOME, resolve=resolve)


@pytest.mark.parametrize(
    "host",
    [
        *("xn--", "xn--a", "xn--\u00fc", "\ud800", "\ufffe", "\u202e", "\0", "a..b", "."),
        *("a" * 64, "a" * 64 + ".org", "xn--a." * 50, "a" + "\u0301" * 99, "%ff", "%00"),
        *("a:99999999999999999999", "a:-1", "a:0", "a:65536", "[::1]:70000", "[::1", "[v1.x]"),
    ],
)
def test_a_host_that_cannot_be_is_refused(host):
    with pytest.raises(Invalid):
        check(f"https://{host}/", networks=[ip_network("0.0.0.0/0"), ip_network("::/0")])


def test_in_an_allowed_network_all_is_allowed():
    check("http://10.1.2.3:8080/", networks=[ip_network("10.0.0.0/8")])
    for other in ("http://10.1.2.3/", "http://[::ffff:127.0.0.1]/"):
        with pytest.raises(Invalid):
            check(other, networks=HOME)


def test_the_name_is_resolved_once_and_that_address_is_used():
    receiver = Receiver((200, {}, b"hello"))
    resolve = named(hook=["127.0.0.1"])
    answer = post(f"http://hook.test:{receiver.port}/a?b", networks=HOME, resolve=resolve)
    assert (answer.status, answer.body) == (200, b"hello")
    assert resolve.asked == ["hook.test"]
    assert receiver.requests[0].headers["host"] == f"hook.test:{receiver.port}"
    assert receiver.requests[0].path == "/a?b"


def test_another_address_of_the_name_is_tried():
    receiver = Receiver()
    with socket.socket() as nobody:  # bound, and not listening
        # Where a connection that has ended had this port, too.
        nobody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        nobody.bind(("127.0.0.2", receiver.port))
        ips = named(hook=["127.0.0.2", "127.0.0.1"])
        answer = post(f"http://hook.test:{receiver.port}/", networks=HOME, resolve=ips)
    assert answer.status == 200


@pytest.fixture
def certificate(tmp_path):
    """Of hook.test: for a server, and its file."""
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=hook.test"
    command += f" -addext subjectAltName=DNS:hook.test -keyout {key} -out {cert}"
    subprocess.run(command.split(), check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, cert


def test_the_certificate_must_be_that_of_the_name(certificate):
    server, cert = certificate
    receiver = Receiver(context=server)
    options = {
        "networks": HOME,
        "resolve": named(hook=["127.0.0.1"], other=["127.0.0.1"]),
        "context": ssl.create_default_context(cafile=cert),
    }
    assert post(f"https://hook.test:{receiver.port}/", **options).status == 200
    with pytest.raises(SiteAway, match="certificate"):
        post(f"https://other.test:{receiver.port}/", **options)
    with pytest.raises(SiteAway, match="certificate"):
        post(f"https://hook.test:{receiver.port}/", **{**options, "context": None})
    assert len(receiver.requests) == 1


def test_a_redirect_is_an_answer_like_any():
    inner = Receiver()
    receiver = Receiver((307, {"Location": inner.url}, b""))
    assert post(receiver.url, networks=HOME).status == 307
    assert not inner.requests


def test_no_proxy_of_the_environment_is_used(monkeypatch):
    proxy, receiver = Receiver(), Receiver((200, {"Set-Cookie": "a=b"}, b""))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    post(receiver.url, networks=HOME)
    assert len(receiver.requests) == 1
    assert not proxy.requests


def test_only_so_much_of_an_answer_is_read():
    assert len(post(Receiver((200, {}, b"x" * 10**6)).url, networks=HOME).body) == MAX_BODY_BYTES


OK = b"HTTP/1.1 200 OK\r\n"
HOSTILE = {
    "no HTTP": (b"<html>" + b"x" * 10**6,),
    "no HTTP, in lines": (b"\xff\x00 x\r\n" * 10**5,),
    "one long line that is no HTTP": (b"\xff" * 12_000 + b"\r\n\r\n",),
    "a status line without end": (b"HTTP/1.1 200 " + b"x" * 10**6,),
    "informational responses without end": (b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10**5,),
    "informational responses with headers": (b"HTTP/1.1 100 a\r\na: b\r\n\r\n" * 10**5,),
    "header lines without end": (OK + b"a:\r\n" * 10**6,),
    "one header line without end": (OK + b"a: " + b"x" * 10**7,),
    "folded header lines": (OK + b"a:\r\n" + b" \r\n" * 10**6,),
    "many header lines": (OK + b"a:\r\n" * 4000 + b"\r\nhello",),
    "a chunk line without end": (OK + b"Transfer-Encoding: chunked\r\n\r\n5;" + b"a" * 10**7,),
    "chunks of one byte": (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10**5,),
    "trailers without end": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 10**6,
    ),
    "a body without end": (OK + b"\r\n" + b"x" * 10**7,),
    "a body of single bytes": (OK + b"\r\n", *[b"x"] * 1000),
    "another protocol": (
        b"HTTP/1.1 101 a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"x" * 10**6,
    ),
    "nothing": (b"",),
}


@pytest.fixture
def parsed_in_a_turn(monkeypatch):
    """The most that the HTTP parser was asked between two turns of the loop."""
    asked, most = [0], [0]
    next_event = h11.Connection.next_event

    def counted(self):
        asked[0] += 1
        most[0] = max(most[0], asked[0])
        if asked[0] == 1:
            asyncio.get_running_loop().call_soon(asked.__setitem__, 0, 0)
        return next_event(self)

    monkeypatch.setattr(h11.Connection, "next_event", counted)
    return most


def kept(url, **options):
    """How much is kept of an answer, and how much may be."""
    try:
        return len(post(url, networks=HOME, **options).body), MAX_BODY_BYTES
    except SiteAway as error:
        return len(error.text), MAX_WHY_CHARS + 50


@pytest.mark.parametrize("parts", HOSTILE.values(), ids=HOSTILE)
def test_no_answer_holds_up_the_others_or_is_kept_whole(parts, parsed_in_a_turn):
    size, most = kept(RawReceiver(*parts).url)
    assert size <= most
    assert 0 < parsed_in_a_turn[0] < 600, "what fits in a piece of a kilobyte"


@pytest.mark.parametrize("name", ["informational responses without end", "chunks of one byte"])
def test_nor_one_over_tls(name, certificate, parsed_in_a_turn):
    server, cert = certificate
    receiver = RawReceiver(*HOSTILE[name], context=server)
    options = {
        "resolve": named(hook=["127.0.0.1"]),
        "context": ssl.create_default_context(cafile=cert),
    }
    size, most = kept(f"https://hook.test:{receiver.port}/", **options)
    assert size <= most
    assert 0 < parsed_in_a_turn[0] < 600


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ((b"<html>" + b"x" * 10**6,), "too long"),
        ((b"hello\r\n\r\n",), "not valid HTTP"),
        ((b"HTTP/1.1 103 a\r\n\r\n" * 10**5,), "too long"),
        ((b"",), "without sending a response"),
    ],
)
def test_what_is_wrong_with_an_answer_is_said(parts, why):
    with pytest.raises(SiteAway, match=why):
        post(RawReceiver(*parts).url, networks=HOME)


def test_chunks_may_be_small():
    chunks = b"14\r\n" + b"x" * 20 + b"\r\n"
    parts = OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunks * 1000 + b"0\r\n\r\n"
    assert post(RawReceiver(b"HTTP/1.1 100 Continue\r\n\r\n" + parts).url, networks=HOME).body == (
        b"x" * 20_000
    )


def test_who_does_not_answer_in_time_is_left():
    wait = threading.Event()
    receiver = Receiver(lambda request: (wait.wait(30), (200, {}, b""))[1])
    try:
        with pytest.raises(SiteAway, match=r"within 0\.3 seconds"):
            post(receiver.url, networks=HOME, seconds=0.3)
    finally:
        wait.set()


def test_who_is_not_there_is_told_apart():
    with pytest.raises(SiteAway, match="connection failed"):
        post("http://127.0.0.1:1/", networks=HOME)
    with pytest.raises(Invalid, match="cannot be found"):
        post("https://nobody.invalid/")
