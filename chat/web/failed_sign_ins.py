"""Failed sign-ins in the current request (observability.failed_sign_ins logs them)."""

from ..services.context import chat
from .security import network

MAX_DETAIL_CHARS = 200


def failed(reason: str, uid: str = "", detail: object = "") -> None:
    """Record that the visitor could not sign in. `uid` is the person they claimed to be, if there
    is one. `detail` is for the operator, and must not contain a secret."""
    if uid:
        reason += f" (person {uid})"
    if detail:
        reason += f": {str(detail)[:MAX_DETAIL_CHARS]!a}"
    chat().failed_sign_ins.note(network(), reason)
