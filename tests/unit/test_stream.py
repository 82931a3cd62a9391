"""Where the frame of pages without JavaScript goes on."""

from chat.stream import Place


def test_what_the_address_said_stays_in_the_address():
    """The epoch comes from the browser, and the refresh is markup."""
    refresh = Place("room", 7, '"><b>&x').refresh(5)
    assert refresh == (
        '<meta http-equiv="refresh" content="5; '
        'url=/rooms/room/stream?after=7&epoch=%22%3E%3Cb%3E%26x">'
    )
