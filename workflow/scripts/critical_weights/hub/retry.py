"""Asking the hub again: how often, and how long to wait in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub.errors import HfHubHTTPError

from ..log import logger, seconds
from .errors import HUB_ERRORS, cannot_be_reached, passes

T = TypeVar("T")

TRIES = 5
"""Times that one thing is asked for in all, without a byte gained in between."""
LONGEST_WAIT = 120.0
"""Seconds that are waited before a try at most; a hub that asks for more is not waited for."""


def wait_before(attempt: int, error: Exception) -> float | None:
    """Return the seconds to wait before the next try, or None where there is to be none.

    What the hub asks for (``Retry-After``, or the reset of its ``RateLimit``) goes before 1, 2, 4, 8 seconds.

    Args:
        attempt: tries so far, from 1.
        error: how the last one ended.

    """
    if attempt >= TRIES or not passes(error):
        return None
    wait = _asked_for(error)
    if wait is None:
        wait = float(2 ** (attempt - 1))
    return wait if wait <= LONGEST_WAIT else None


def _asked_for(error: Exception) -> float | None:
    if not isinstance(error, HfHubHTTPError):
        return None
    from huggingface_hub.utils import parse_ratelimit_headers

    headers = error.response.headers
    after = headers.get("Retry-After", "").strip()
    if after.isdigit():
        return float(after)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit and limit.remaining == 0 else None


def say_waiting(wait: float, attempt: int, error: Exception) -> None:
    """Log why and how long there is a wait before another try."""
    status = (
        f"the hub answers {error.response.status_code}" if isinstance(error, HfHubHTTPError) else "the connection broke"
    )
    logger(__name__).info("%s: try %d of %d in %s", status, attempt + 1, TRIES, seconds(wait))


def ask(call: Callable[[], T]) -> T:
    """Ask the hub for something small, again while the error is one that passes.

    Raises:
        Exception: the last error; one of no connection at once, so that a machine without network is told of it
            without a wait.

    """
    for attempt in range(1, TRIES + 1):
        try:
            return call()
        except HUB_ERRORS as error:
            wait = None if cannot_be_reached(error) else wait_before(attempt, error)
            if wait is None:
                raise
            say_waiting(wait, attempt, error)
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")
