"""Names and types of files: what is allowed, and what the end of a name says."""

from pathlib import PurePosixPath

from .errors import Invalid
from .validation import clean_line

MOST_FILES = 10  # of one message
MOST_NAME = 120  # characters of a name
MAX_SENT_NAME_CHARS = 4 * MOST_NAME  # of a name as it was sent that are looked at, from its end

PLAIN = "application/octet-stream"
SUFFIXES = {
    "image/jpeg": (".jpg", ".jpeg"),
    "image/png": (".png",),
    "image/webp": (".webp",),
    "image/gif": (".gif",),
    "audio/mpeg": (".mp3",),
    "audio/mp4": (".m4a",),
    "audio/ogg": (".ogg", ".oga", ".opus"),
    "audio/wav": (".wav",),
    "audio/flac": (".flac",),
    "video/mp4": (".mp4", ".m4v"),
    "video/webm": (".webm",),
    "video/quicktime": (".mov",),
    "application/pdf": (".pdf",),
    "application/zip": (".zip",),
    "text/csv": (".csv",),
    "text/plain": (".txt", ".md", ".log"),
}
TYPES = {suffix: type for type, suffixes in SUFFIXES.items() for suffix in suffixes}
"""The type of a file by the end of its name; all others are PLAIN."""

_PROGRAM_SUFFIXES = (
    ".apk .app .appx .bat .cmd .com .cpl .deb .dll .dmg .exe .hta .iso .jar .jnlp .js .jse .lnk "
    ".msc .msi .msix .pif .pkg .ps1 .reg .rpm .scr .sh .url .vb .vbe .vbs .wsf"
)
PROGRAMS = frozenset(_PROGRAM_SUFFIXES.split())
"""What a computer runs when somebody opens it."""


def clean_file_name(name: str) -> str:
    """A name without folders and without what disturbs; the end, which says what it is, stays."""
    last = name.replace("\\", "/").rpartition("/")[2][-MAX_SENT_NAME_CHARS:]
    try:
        clean = clean_line(last, "name", len(last) + 1).lstrip(". ").rstrip(". ")
    except Invalid:
        return "file"
    suffix = PurePosixPath(clean).suffix[:20]
    if len(clean) > MOST_NAME:
        clean = clean.removesuffix(suffix)[: MOST_NAME - len(suffix)].rstrip() + suffix
    return clean or "file"


def type_of(name: str) -> str:
    """By the end of the name, from our own table."""
    return TYPES.get(PurePosixPath(name).suffix.lower(), PLAIN)
