"""HTTP requests and their bodies."""

import json

import pytest

from ..bridge_client import (
    Raw,
)


def test_get_and_post(server):
    """A page and a posted body go through on one connection."""
    assert server.http.get("/").text == "hello"
    assert server.http.post("/length", content=b"x" * 90_000).text == "90000"


def test_chunked_post(server):
    """A body of unknown length is read as it comes."""
    assert server.http.post("/length", content=(b"x" * 1000 for _ in range(50))).text == "50000"


def test_body_of_the_largest_size(server):
    """The limit itself is allowed, declared or not."""
    assert server.http.post("/length", content=b"x" * 100_000).text == "100000"
    chunks = (b"x" * 10_000 for _ in range(10))
    assert server.http.post("/length", content=chunks).text == "100000"


def test_head(server):
    """HEAD has the headers of GET and no body, and the connection goes on."""
    response = server.http.head("/")
    assert (response.status_code, response.headers["content-length"]) == (200, "5")
    assert server.http.get("/").text == "hello"


@pytest.mark.parametrize("code", [204, 304])
def test_status_without_body(server, code):
    """204 and 304 have no body."""
    response = server.http.get(f"/status/{code}")
    assert (response.status_code, response.content) == (code, b"")


def test_file(server):
    """A file arrives completely, with one date, and not again if the client knows its ETag."""
    response = server.http.get("/file")
    assert response.content == b"0123456789" * 20_000
    assert len(response.headers.get_list("date")) == 1
    again = server.http.get("/file", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_error_page_without_trace(server):
    """An exception is a plain 500 outside and a traceback in the log."""
    response = server.http.get("/fail")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert "secret detail" in server.log.read_text()


def test_declared_body_too_large(server):
    """A body declared too large gets 413, even if it never comes."""
    with Raw(server) as client:
        client.request("POST", "/length", ["Content-Length: 100001"])
        assert client.response()[0] == 413


def test_body_too_large_is_read_on(server):
    """A client that first sends its large body and then reads gets to see the 413."""
    for content in (b"x" * 300_000, (b"x" * 10_000 for _ in range(30))):
        response = server.http.post("/length", content=content)
        assert response.status_code == 413
    assert server.http.get("/").text == "hello"


def test_endless_body(server):
    """A body without end is cut off; the server stays as it was."""
    chunk = b"1000\r\n" + bytes(4096) + b"\r\n"
    with Raw(server) as client:
        client.request("POST", "/length", ["Transfer-Encoding: chunked"])
        with pytest.raises(ConnectionError):
            client.send(chunk * 10_000)
    assert server.http.get("/").text == "hello"


def test_unread_body(server):
    """A view that does not look at its body leaves the connection usable."""
    assert server.http.post("/unread", content=b"x" * 90_000).text == "did not look"
    assert server.http.post("/unread", content=b"x" * 300_000).text == "did not look"
    assert server.http.get("/").text == "hello"


def test_client_leaves_within_its_body(server):
    """Half a body and then nothing ends the request."""
    with Raw(server) as client:
        client.request("POST", "/length", ["Content-Length: 1000"], b"x" * 10)
    assert server.http.get("/").text == "hello"
    assert "LocalProtocolError" not in server.log.read_text()


def test_header_hygiene(server):
    """Names with an underscore and `Proxy` are dropped, repeated headers joined."""
    with Raw(server) as client:
        client.request(
            "GET",
            "/environ?a=%20b",
            [
                "X_Forwarded_For: 6.6.6.6",
                "X-Forwarded-For: 1.1.1.1",
                "X-Forwarded-For: 2.2.2.2",
                "Proxy: evil",
                "Cookie: a=1",
                "Cookie: b=2",
                "Content_Length: 7",
            ],
        )
        _, headers = client.response()
        environ = json.loads(client.take(int(headers["content-length"])))
    assert environ["HTTP_X_FORWARDED_FOR"] == "1.1.1.1,2.2.2.2"
    assert environ["HTTP_COOKIE"] == "a=1; b=2"
    assert environ["QUERY_STRING"] == "a=%20b"
    assert "HTTP_PROXY" not in environ
    assert "CONTENT_LENGTH" not in environ


def test_path_is_decoded_once(server):
    """PATH_INFO holds the bytes of the path, decoded once."""
    assert server.http.get("/nope/%C3%A9").status_code == 404
    assert server.http.get("/%65nviron").json()["PATH_INFO"] == "/environ"
    assert server.http.get("/%2565nviron").status_code == 404


def test_headers_too_large(server):
    """More than 8 KiB of headers is 431, for pages and for websockets."""
    assert server.http.get("/", headers={"X-Large": "x" * 9000}).status_code == 431
    with Raw(server) as client:
        assert client.handshake("/echo", [f"X-Large: {'x' * 9000}"])[0] == 431
