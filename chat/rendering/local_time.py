"""Formats times in the time zone of the reader.

Every function takes the name of a zone; "" is the server's (the TZ variable). No zone is stored
anywhere, because one task of the event loop renders for people in many zones.
"""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

from markupsafe import Markup

FIRST_DAY, LAST_DAY = date(1970, 1, 2), date(9999, 12, 30)
CACHED_TIMES = 4096
# The names of places begin with these; old and technical ones (Etc/GMT+5, US/Eastern, EST5EDT and
# posix/…) do not.
REGIONS = "Africa/ America/ Antarctica/ Arctic/ Asia/ Atlantic/ Australia/ Europe/ Indian/ Pacific/"

# The time in seconds since 1970. The database dates messages, so "today" is the day by its clock. A
# process has one database.
_clock: Callable[[], float] = time.time


def set_clock(clock: Callable[[], float]) -> None:
    """Use `clock`, which returns seconds since 1970 and must not wait."""
    global _clock
    _clock = clock


@cache
def zones() -> list[str]:
    """The names that people can choose: places in alphabetical order, and UTC."""
    regions = tuple(REGIONS.split())
    return [*sorted(name for name in available_timezones() if name.startswith(regions)), "UTC"]


def today(zone: str) -> date:
    """The current date."""
    return _today(zone, int(_clock()) // 60)


def time_of_day() -> str:
    """The current time in the server's zone, such as 21:04."""
    return f"{datetime.fromtimestamp(_clock()):%H:%M}"


def when(at: int, zone: str) -> Markup:
    """A `<time>` that reads as `short_time` and has the full time as its title. `at` is in ms since
    1970."""
    return _when(at // 60_000, zone, today(zone))


def short_time(at: int, zone: str) -> str:
    """21:04 today, otherwise 3 Nov 21:04, and 3 Nov 2025 in another year."""
    return _short(at // 60_000, zone, today(zone))


def new_day(at: int, before: int, zone: str) -> Markup:
    """The day of the time `at` as a `<time>`; "" if it is the day of `before`. Both in ms since
    1970."""
    # Days begin at a multiple of a quarter of an hour in all zones, so this needs no zone.
    return Markup("") if at // 900_000 == before // 900_000 else _new_day(at, before, zone)


def ms_of(day: date, zone: str) -> int:
    """When a day begins, in ms since 1970. Days before FIRST_DAY and after LAST_DAY are replaced by
    these: in some zones, Python cannot represent when they begin."""
    day = min(max(day, FIRST_DAY), LAST_DAY)
    return int(datetime(day.year, day.month, day.day, tzinfo=_zone(zone)).timestamp() * 1000)


@lru_cache(maxsize=256)  # a zone's day begins at a whole minute
def _today(name: str, minute: int) -> date:
    return datetime.fromtimestamp(60 * minute, _zone(name)).date()


@lru_cache(maxsize=CACHED_TIMES)
def _new_day(at: int, before: int, name: str) -> Markup:
    now, then = (
        datetime.fromtimestamp(ms // 1000, UTC).astimezone(_zone(name)) for ms in (at, before)
    )
    if now.date() == then.date():
        return Markup("")
    return Markup('<time datetime="{}">{}</time>').format(f"{now:%Y-%m-%d}", f"{now:%A, %-d %B %Y}")


@lru_cache(maxsize=CACHED_TIMES)
def _when(minute: int, name: str, today: date) -> Markup:
    then = datetime.fromtimestamp(minute * 60, UTC)
    local = then.astimezone(_zone(name))
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        f"{then:%Y-%m-%dT%H:%MZ}",
        f"{local:%A, %-d %B %Y, %H:%M %Z}",
        _short(minute, name, today),
    )


@lru_cache(maxsize=CACHED_TIMES)
def _short(minute: int, name: str, today: date) -> str:
    then = datetime.fromtimestamp(minute * 60, UTC).astimezone(_zone(name))
    if then.date() == today:
        return f"{then:%H:%M}"
    return f"{then:%-d %b %H:%M}" if then.year == today.year else f"{then:%-d %b %Y}"


@cache
def _zone(name: str) -> tzinfo | None:
    if not isinstance(name, str):  # an undefined variable of a template
        raise TypeError("times need the name of a zone")
    return ZoneInfo(name) if name in zones() else None
