"""What goes wrong between this machine and the hub, each told in one plain line with the next step.

No message holds what the client's own errors say: those may name signed addresses, and a malformed token is quoted.
"""

from __future__ import annotations

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import ModelError

HUB_ERRORS = (HTTPError, HFValidationError, OfflineModeIsEnabled, UnicodeEncodeError)
"""Every error of a request: refused by the hub, not answered, not allowed; of a name or a token that cannot be one."""

_LOG_IN = "log in with 'hf auth login', or set HF_TOKEN"
_KEPT = "Run it again: what is there already is kept"


class BrokenOff(HTTPError):
    """An answer without a length of its own ended before all bytes of the file, which the client cannot notice."""


def explain(error: Exception, repo: str, revision: str) -> ModelError:
    """Turn an error of the hub's client into one line: what is wrong with this repository and what to do next.

    Args:
        error: one of :data:`HUB_ERRORS`.
        repo: the repository asked for.
        revision: the branch, tag or commit asked for.

    """
    where = f"{repo} at {revision}"
    if isinstance(error, HFValidationError):
        return ModelError("that is no id of a repository", got=f"'{repo}'", expected="owner/name")
    if isinstance(error, OfflineModeIsEnabled):
        fix = "Unset HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE once to fetch it, or use a folder (source: local)"
        return ModelError(f"{where} is not in the hub's cache on this machine, and offline mode is on", fix=fix)
    if not isinstance(error, HfHubHTTPError):
        return _not_reached(error, where)
    return _refused(error, repo, revision)


def _refused(error: HfHubHTTPError, repo: str, revision: str) -> ModelError:
    status, logged_in, page = error.response.status_code, get_token() is not None, _page(repo)
    if isinstance(error, GatedRepoError):
        if logged_in:
            fix = (
                f"Ask for access {page} and wait until it is granted; a fine-grained token also needs the right to "
                "read gated repositories"
            )
            return ModelError(f"{repo} is gated, and the account that is logged in has no access to it", fix=fix)
        return ModelError(f"{repo} is gated, and nobody is logged in", fix=f"Accept its terms {page}, then {_LOG_IN}")
    if isinstance(error, RevisionNotFoundError):
        return ModelError(f"{repo} has no revision '{revision}'", fix="Name a branch, a tag or a commit of it")
    if isinstance(error, RepositoryNotFoundError) or (status == 401 and not logged_in):
        if logged_in:
            return ModelError(
                f"there is no repository {repo} that the account which is logged in may see", fix="Check the name"
            )
        return ModelError(
            f"there is no repository {repo} that everybody may see", fix=f"Check the name; if it is private, {_LOG_IN}"
        )
    if isinstance(error, RemoteEntryNotFoundError):
        return ModelError(f"the hub lists a file of {repo} at {revision} and does not have it", fix=_KEPT)
    if isinstance(error, DisabledRepoError):
        return ModelError(f"the hub has switched {repo} off", fix="Use another model, or a folder (source: local)")
    if status == 401:
        return ModelError("the hub does not accept the token", fix=f"It may have run out: {_LOG_IN}")
    if status == 403:
        fix = f"Look {page} for what it asks for; the token may lack the right to read"
        return ModelError(f"the hub forbids access to {repo}", fix=fix)
    if status == 429:
        return ModelError(
            "the hub takes no more requests for now (429)", fix=f"Wait some minutes, or {_LOG_IN}. {_KEPT}"
        )
    if status >= 500:
        return ModelError(f"the hub has trouble of its own ({status})", fix=f"Try later. {_KEPT}")
    return ModelError(f"the hub refuses {repo} at {revision} ({status})", fix="Check the name and the revision")


def _not_reached(error: Exception, where: str) -> ModelError:
    kind = type(error).__name__
    if kind in ("LocalProtocolError", "UnicodeEncodeError"):  # their words may quote the token
        return ModelError("the token holds characters that no token has", fix=f"Copy it again: {_LOG_IN}")
    reasons = {
        "ConnectError": "no connection", "ConnectTimeout": "no answer in time", "ReadTimeout": "no answer in time",
        "PoolTimeout": "no answer in time", "WriteTimeout": "no answer in time", "ProxyError": "the proxy refuses",
        "RemoteProtocolError": "the connection broke off", "ReadError": "the connection broke off",
        "WriteError": "the connection broke off", "BrokenOff": "the connection broke off",
        "TooManyRedirects": "it redirects in circles",
        "UnsupportedProtocol": "HF_ENDPOINT is no address that begins with http",
    }  # fmt: skip
    reason = reasons.get(kind, kind)
    fix = f"Check the network, or use a folder (source: local). {_KEPT}"
    return ModelError(f"the hub cannot be reached for {where}: {reason}", fix=fix)


def _page(repo: str) -> str:
    # An endpoint of one's own may hold a password: it is not shown.
    return f"at {constants.ENDPOINT}/{repo}" if constants.ENDPOINT == "https://huggingface.co" else "on its page"


def cannot_be_reached(error: Exception) -> bool:
    """Whether there is no way to the hub at all: offline mode, or no connection."""
    return isinstance(error, OfflineModeIsEnabled) or _is(error, "ConnectError", "ConnectTimeout")


def passes(error: Exception) -> bool:
    """Whether an error may be gone at the next try: too many requests, trouble of the hub, a broken connection."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code == 429 or error.response.status_code >= 500
    stays = ("LocalProtocolError", "UnsupportedProtocol", "ProxyError")
    return _is(error, "TransportError", "BrokenOff") and not _is(error, *stays)


def _is(error: Exception, *names: str) -> bool:
    # By name: one version of the hub's client is built on httpx, another on httpx2.
    return any(cls.__name__ in names for cls in type(error).__mro__)
