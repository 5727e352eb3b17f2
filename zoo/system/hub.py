"""Error messages for failed requests to the Hugging Face Hub. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.errors import first_line

_MAX_DETAIL = 300  # characters of the Hub's own message

_TOKEN = "Run 'hf auth login' with a token that has access, or set HF_TOKEN."

_BY_STATUS: Mapping[int, tuple[str, str]] = {
    400: ("the Hub rejected the request", ""),
    401: ("the Hub rejected the token", _TOKEN),
    403: ("the token has no access", _TOKEN),
    404: ("the Hub has no such file", ""),
    409: ("the Hub rejected the request", ""),
    422: ("the Hub rejected the request", ""),
    429: (
        "the Hub received too many requests",
        "Try again in a few minutes; after 'hf auth login' the limit is higher.",
    ),
}
"""HTTP status codes: messages and, if independent of the request, hints."""


def hub_error_in_words(
    error: BaseException, repo: str, *, doing: str, hint: str
) -> tuple[str, str]:
    """Return message and hint for an error of the Hub's client or its HTTP library.

    Args:
        error: What was raised.
        repo: ``owner/name``.
        doing: What failed, as the start of a sentence: ``downloading owner/name/file``.
        hint: Default hint.
    """
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # the Hub's response, before the client looked into the cache
    code = getattr(getattr(error, "response", None), "status_code", 0)
    detail = " ".join(str(getattr(error, "server_message", None) or "").split())[:_MAX_DETAIL]
    if isinstance(error, errors.GatedRepoError):
        reason = f"{repo} is a gated repository"
        advice = f"Accept its terms at https://huggingface.co/{repo}, then run 'hf auth login'."
    elif isinstance(error, errors.RepositoryNotFoundError):
        reason = f"the Hub has no repository {repo!r}, or it is private ({code})"
        advice = f"Search at https://huggingface.co/models?search={repo}."
    elif code in _BY_STATUS or code >= 500:
        words, advice = _BY_STATUS.get(code, ("the Hub returned a server error", ""))
        reason = f"{words} ({code}){f': {detail}' if detail else ''}"
    else:
        reason, advice = first_line(error)[:_MAX_DETAIL], ""
    return f"{doing} failed: {reason}", advice or hint
