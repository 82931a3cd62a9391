"""Writes chat/unicode/confusables.txt: which characters look alike, by Unicode (UTS 39).

The data is asked of ICU, the Unicode Consortium's own library, as the wheel of icu4py brings it.
It is not a dependency (40 MB); to take over a new version of Unicode, run

    .venv/bin/uv run --with icu4py python -m tests.unicode_data

and change the version that tests/unit/test_lookalikes.py expects.
"""

import ctypes
import importlib.metadata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[1] / "chat" / "unicode" / "confusables.txt"
DEFAULT_IGNORABLE = 5  # UCHAR_DEFAULT_IGNORABLE_CODE_POINT in ICU's uchar.h
LONGEST = 200  # bytes of a prototype


class Icu:
    """The four functions that are needed of ICU."""

    def __init__(self) -> None:
        files = importlib.metadata.files("icu4py") or []
        paths = {
            name: file.locate()
            for file in files
            for name in ("libicudata", "libicuuc", "libicui18n")
            if file.name.startswith(name)
        }
        self.version = str(paths["libicuuc"]).rpartition(".so.")[2]
        ctypes.CDLL(str(paths["libicudata"]), mode=ctypes.RTLD_GLOBAL)
        self._common = ctypes.CDLL(str(paths["libicuuc"]), mode=ctypes.RTLD_GLOBAL)
        self._i18n = ctypes.CDLL(str(paths["libicui18n"]), mode=ctypes.RTLD_GLOBAL)
        open_ = self._function(self._i18n, "uspoof_open", ctypes.c_void_p)
        self._checker = ctypes.c_void_p(open_(ctypes.byref(ctypes.c_int(0))))
        recommended = self._function(self._i18n, "uspoof_getRecommendedSet", ctypes.c_void_p)
        self._recommended = ctypes.c_void_p(recommended(ctypes.byref(ctypes.c_int(0))))
        self._contains = self._function(self._common, "uset_contains", ctypes.c_int8)
        self._has = self._function(self._common, "u_hasBinaryProperty", ctypes.c_int8)
        self._skeleton = self._function(self._i18n, "uspoof_getSkeletonUTF8", ctypes.c_int32)

    def _function(self, library: ctypes.CDLL, name: str, answer: Any) -> Any:
        function = getattr(library, f"{name}_{self.version.partition('.')[0]}")
        function.restype = answer
        return function

    def unicode_version(self) -> str:
        version = (ctypes.c_uint8 * 4)()
        self._function(self._common, "u_getUnicodeVersion", None)(version)
        return ".".join(map(str, version[:3]))

    def skeleton(self, text: str) -> str:
        """The skeleton of UTS 39, section 4."""
        typed, error = text.encode(), ctypes.c_int(0)
        found = ctypes.create_string_buffer(LONGEST)
        args = typed, len(typed), found, LONGEST, ctypes.byref(error)
        size = self._skeleton(self._checker, 0, *args)
        assert error.value <= 0, (text, error.value)
        return found.raw[:size].decode()

    def is_ignorable(self, code: int) -> bool:
        return bool(self._has(code, DEFAULT_IGNORABLE))

    def is_recommended(self, code: int) -> bool:
        """Identifier_Status=Allowed (UTS 39, section 3.1)."""
        return bool(self._contains(self._recommended, code))


def lines(icu: Icu) -> Iterator[str]:
    """The file, line by line."""
    yield f"# Unicode {icu.unicode_version()}: confusables and Identifier_Status of UTS 39."
    yield "# Copyright (c) Unicode, Inc. SPDX-License-Identifier: Unicode-3.0 (see LICENSE)."
    yield f"# Made by tests/unicode_data.py, which asked ICU {icu.version}. Do not change by hand."
    yield "#"
    yield "# @version V: of Unicode. @allowed A-B …: code points with Identifier_Status=Allowed."
    yield "# C;P …: the code point and its prototype. Those that are Default_Ignorable, and those"
    yield "# whose canonical decomposition (NFD) has the prototype already, are left out."
    yield f"@version {icu.unicode_version()}"
    codes = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    yield f"@allowed {' '.join(_ranges(filter(icu.is_recommended, codes)))}"
    for code in codes:
        prototype = icu.skeleton(chr(code))
        if prototype != chr(code) and not icu.is_ignorable(code) and not _is_composed(icu, code):
            yield f"{code:X};{' '.join(f'{ord(part):X}' for part in prototype)}"


def _is_composed(icu: Icu, code: int) -> bool:
    """Whether a character decomposes canonically: its parts are mapped then, not it."""
    find = icu._function(icu._common, "unorm2_getNFDInstance", ctypes.c_void_p)
    nfd = ctypes.c_void_p(find(ctypes.byref(ctypes.c_int(0))))
    decomposes = icu._function(icu._common, "unorm2_getDecomposition", ctypes.c_int32)
    room = (ctypes.c_uint16 * 32)()
    return bool(decomposes(nfd, code, room, 32, ctypes.byref(ctypes.c_int(0))) >= 0)


def _ranges(codes: Iterable[int]) -> Iterator[str]:
    first = last = -2
    for code in codes:
        if code != last + 1:
            if first >= 0:
                yield f"{first:X}-{last:X}"
            first = code
        last = code
    yield f"{first:X}-{last:X}"


if __name__ == "__main__":
    FILE.write_text("\n".join(lines(Icu())) + "\n")
