"""Names and types of files: which are allowed, and the type that a suffix means."""

from pathlib import PurePosixPath

from .errors import Invalid
from .validation import clean_line

MAX_FILES = 10  # of one message
MAX_FILE_NAME_CHARS = 120  # of a cleaned name
MAX_SENT_NAME_CHARS = 4 * MAX_FILE_NAME_CHARS  # at the end of a name as sent; the rest is ignored

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
"""The types of files by suffix. All others are PLAIN."""

_PROGRAM_SUFFIXES = (
    ".apk .app .appx .bat .cmd .com .cpl .deb .dll .dmg .exe .hta .iso .jar .jnlp .js .jse .lnk "
    ".msc .msi .msix .pif .pkg .ps1 .reg .rpm .scr .sh .url .vb .vbe .vbs .wsf"
)
PROGRAMS = frozenset(_PROGRAM_SUFFIXES.split())
"""Suffixes of files that a computer runs when somebody opens them."""


def clean_file_name(name: str) -> str:
    """A name without folders and disturbing characters. A long name is cut but keeps its suffix."""
    last = name.replace("\\", "/").rpartition("/")[2][-MAX_SENT_NAME_CHARS:]
    try:
        clean = clean_line(last, "name", len(last) + 1).lstrip(". ").rstrip(". ")
    except Invalid:
        return "file"
    suffix = PurePosixPath(clean).suffix[:20]
    if len(clean) > MAX_FILE_NAME_CHARS:
        clean = clean.removesuffix(suffix)[: MAX_FILE_NAME_CHARS - len(suffix)].rstrip() + suffix
    return clean or "file"


def type_of(name: str) -> str:
    """The type of a file, from the suffix of its name."""
    return TYPES.get(PurePosixPath(name).suffix.lower(), PLAIN)
