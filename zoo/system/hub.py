"""What the Hugging Face Hub answers when it refuses something, in words. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.errors import first_line

_LONGEST = 300  # characters of what the Hub says itself

_TOKEN = "Type 'hf auth login' with a token of an account that may, or set HF_TOKEN."

_BY_STATUS: Mapping[int, tuple[str, str]] = {
    400: ("the Hub refuses it", ""),
    401: ("the Hub does not accept the token", _TOKEN),
    403: ("the token does not permit it", _TOKEN),
    404: ("the Hub has no such file", ""),
    409: ("the Hub refuses it", ""),
    422: ("the Hub refuses it", ""),
    429: (
        "the Hub asks to wait",
        "Try again in a few minutes; after 'hf auth login' it allows more.",
    ),
}
"""What a status means, and what to do where that does not depend on what was asked."""


def hub_error_in_words(
    error: BaseException, repo: str, *, doing: str, hint: str
) -> tuple[str, str]:
    """The message and the hint for an error of the Hub's client or its HTTP library.

    Args:
        error: What was raised.
        repo: ``owner/name``.
        doing: What failed, as the start of a sentence: ``fetching owner/name/file``.
        hint: What to do where the answer does not say.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # what the Hub answered before the client looked into the cache
    code = getattr(getattr(error, "response", None), "status_code", 0)
    said = " ".join(str(getattr(error, "server_message", None) or "").split())[:_LONGEST]
    if isinstance(error, errors.GatedRepoError):
        reason = f"{repo} is given out only after an agreement on its page"
        own = f"Accept it at https://huggingface.co/{repo}, then type 'hf auth login'."
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = f"the Hub has no repository {repo!r}, or you may not see it ({code})"
        own = f"Look for it at https://huggingface.co/models?search={repo}."
    elif code in _BY_STATUS or code >= 500:
        words, own = _BY_STATUS.get(code, ("the Hub returned a server error", ""))
        reason = f"{words} ({code}){f': {said}' if said else ''}"
    else:
        reason, own = first_line(error)[:_LONGEST], ""
    return f"{doing} failed: {reason}", own or hint
