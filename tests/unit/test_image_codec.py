"""What is kept of an image: the upright pixels, and nothing else of the uploaded file."""

import contextlib
import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from chat.media.image_codec import DECODERS, make
from chat.media.image_protocol import ATTACHMENT, SQUARE, ImageLimits, NotMade

from .. import hostile_images

SECRET = b"51.5074N the place"
SMALL = ImageLimits(pixels=1_000_000, frames=20)


def made(sent, task=ATTACHMENT, limits=None):
    return make(task, io.BytesIO(sent), limits or ImageLimits())


def opened(content):
    return Image.open(io.BytesIO(content))


def with_metadata(format, orientation=1):
    """An image with SECRET wherever its format has a place for it."""
    exif, text = Image.Exif(), PngInfo()
    exif[0x010E], exif[0x0112] = SECRET.decode(), orientation
    text.add_text("Comment", SECRET.decode())
    text.add_itxt("Where", SECRET.decode(), zip=False)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes() + SECRET
    options = {
        "JPEG": {"exif": exif, "comment": SECRET, "xmp": SECRET, "icc_profile": profile},
        "PNG": {"exif": exif, "pnginfo": text, "icc_profile": profile},
        "APNG": {"exif": exif, "pnginfo": text, "icc_profile": profile},
        "WEBP": {"exif": exif, "xmp": SECRET, "icc_profile": profile},
        "GIF": {"comment": SECRET},
    }[format]
    sent = hostile_images.image(format, **options)
    # What a reader of files finds behind their end, and between their parts.
    return sent + SECRET if format != "WEBP" else sent


@pytest.mark.parametrize("task", [SQUARE, ATTACHMENT])
@pytest.mark.parametrize("format", hostile_images.FORMATS)
def test_nothing_but_pixels_is_kept(format, task):
    sent = with_metadata(format)
    assert SECRET in sent
    header, small, content = made(sent, task)
    assert (header.small, header.content) == (len(small), len(content))
    for kept in filter(None, (small, content)):
        assert SECRET not in kept
        with opened(kept) as image:
            image.load()
            assert (image.format, len(image.getexif())) in [
                (format, 0) for format in ("JPEG", "PNG", "WEBP")
            ]
            kinds = {"icc_profile", "exif", "xmp", "comment", "Comment", "Where"}
            assert not kinds & set(image.info)
            assert not getattr(image, "text", {})
    if header.type == "image/png":
        assert set(_chunks(content)) == {b"IHDR", b"IDAT", b"IEND"}


def _chunks(png):
    at = 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        yield png[at + 4 : at + 8]
        at += 12 + size


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("task", [SQUARE, ATTACHMENT])
def test_an_image_stands_upright(format, task):
    turned, exif, sent = Image.new("RGB", (80, 80), "red"), Image.Exif(), io.BytesIO()
    turned.paste("blue", (0, 0, 80, 40))
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    turned.save(sent, format, exif=exif)
    _, _, content = made(sent.getvalue(), task)
    kept = opened(content).convert("RGB")
    middle = kept.height // 2
    assert kept.getpixel((kept.width // 8, middle))[0] > 200, "red on the left"
    assert kept.getpixel((kept.width * 7 // 8, middle))[2] > 200


def test_colours_are_those_of_the_web():
    """Red of a profile in which the channels are turned round."""
    lab = ImageCms.createProfile("LAB")
    profile = ImageCms.ImageCmsProfile(lab).tobytes()
    _, _, content = made(hostile_images.image("JPEG", icc_profile=profile))
    assert opened(content).mode == "RGB"


@pytest.mark.parametrize(
    ("format", "kept"), [("JPEG", "jpeg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "png")]
)
def test_a_still_image_stays_what_it_is(format, kept):
    header, small, content = made(hostile_images.image(format, (1200, 900)))
    assert (header.type, header.width, header.height) == (f"image/{kept}", 1200, 900)
    assert opened(content).size == (1200, 900)
    assert opened(small).size == (720, 540)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP"])
def test_an_image_that_moves_still_does(format):
    sent = hostile_images.moving(format, 3, duration=80)
    header, small, content = made(sent)
    kept = opened(content)
    assert (header.type, kept.n_frames, kept.size) == ("image/webp", 3, (40, 30))
    assert getattr(opened(small), "n_frames", 1) == 1
    kept.load()
    assert kept.info["duration"] == 80


def test_the_picture_of_a_person_is_the_first_frame_of_what_moves():
    """However many frames follow."""
    for sent in (
        hostile_images.gif(30),
        hostile_images.webp_canvas(900, 50),
        hostile_images.moving("PNG", 30),
    ):
        header, small, content = made(sent, SQUARE, SMALL)
        assert (header.type, header.width, header.height, small) == ("image/webp", 256, 256, b"")
        assert opened(content).size == (256, 256)


def test_a_photo_with_more_pictures_in_it_is_its_first():
    """Phones write such files (MPO); to Pillow they are images that move."""
    sent = io.BytesIO()
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "blue")]
    frames[0].save(sent, "MPO", save_all=True, append_images=frames[1:])
    assert opened(sent.getvalue()).n_frames == 2
    header, _, content = made(sent.getvalue())
    assert (header.type, opened(content).format) == ("image/jpeg", "JPEG")


@pytest.mark.parametrize("name", hostile_images.OVER)
def test_what_is_over_a_limit_is_known_before_its_pixels_are(name):
    with pytest.raises(NotMade) as error:
        made(hostile_images.OVER[name]())
    assert error.value.reason in ("pixels", "frames")


@pytest.mark.parametrize("name", hostile_images.BROKEN)
@pytest.mark.parametrize("task", [SQUARE, ATTACHMENT])
def test_what_is_broken_or_of_another_format_is_refused(name, task):
    with pytest.raises(NotMade) as error:
        made(hostile_images.BROKEN[name](), task)
    assert error.value.reason == "broken"


def test_only_four_decoders_are_ever_used():
    assert {decoder.format for _, _, decoder in DECODERS} == {"JPEG", "PNG", "GIF", "WEBP"}


def test_frames_are_counted_one_by_one():
    assert made(hostile_images.gif(20), limits=SMALL)[0].type == "image/webp"
    for sent in (
        hostile_images.gif(21),
        hostile_images.webp_canvas(5, 21),
        hostile_images.moving("PNG", 21),
    ):
        with pytest.raises(NotMade, match="frames"):
            made(sent, limits=SMALL)
    with pytest.raises(NotMade, match="pixels"):
        made(hostile_images.gif(11, size=(400, 250)), limits=SMALL)


# Whatever bytes there are, an image is made of them or it is refused; nothing else is raised.

VALID = {
    **{format: with_metadata(format) for format in hostile_images.FORMATS},
    "moving GIF": hostile_images.moving("GIF", 4, duration=50),
    "moving WebP": hostile_images.moving("WEBP", 4, lossless=True),
    "interlaced GIF": hostile_images.image("GIF", interlace=1),
    "progressive JPEG": hostile_images.image("JPEG", progressive=True),
    "gray JPEG": hostile_images.image("JPEG"),
    "a palette": hostile_images.png(
        8,
        8,
        hostile_images.chunk(b"PLTE", bytes(range(48))),
        hostile_images.chunk(b"tRNS", bytes(range(16))),
        hostile_images.chunk(b"IDAT", zlib.compress(b"\0\x12\x34\x56\x78" * 8)),
        depth=4,
        colour=3,
    ),
}
changes = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.sampled_from("sid"), st.binary(max_size=4)),
    max_size=6,
)


@pytest.mark.parametrize("name", VALID)
@settings(max_examples=150)
@given(changes=changes, end=st.floats(0, 1), task=st.sampled_from([SQUARE, ATTACHMENT]))
def test_mutated_and_cut_files_are_made_or_refused(name, changes, end, task):
    sent = bytearray(VALID[name])
    for where, how, some in changes:
        at = int(where * len(sent))
        if how == "s":
            sent[at : at + len(some)] = some
        elif how == "i":
            sent[at:at] = some
        else:
            del sent[at : at + len(some)]
    _try(bytes(sent[: round(len(sent) * end)] if end < 0.5 else sent), task)


@given(
    kinds=st.lists(
        st.tuples(
            st.sampled_from(
                b"IDAT tRNS PLTE iCCP zTXt iTXt tEXt eXIf acTL fcTL fdAT pHYs gAMA zzzz".split()
            ),
            st.binary(max_size=40) | st.binary(max_size=40).map(zlib.compress),
        ),
        max_size=6,
    ),
    depth=st.sampled_from([1, 2, 4, 8, 16, 3]),
    colour=st.integers(0, 7),
)
def test_a_png_of_any_parts_is_made_or_refused(kinds, depth, colour):
    parts = [hostile_images.chunk(kind, content) for kind, content in kinds]
    _try(
        hostile_images.png(9, 9, *parts, hostile_images.rows(9, 9), depth=depth, colour=colour),
        ATTACHMENT,
    )


def _try(sent, task):
    with contextlib.suppress(NotMade):
        header, small, content = made(sent, task, SMALL)
        assert header.width * header.height <= SMALL.pixels
        assert (header.small, header.content) == (len(small), len(content))
        opened(content).load()
