"""Read small text files of Hub repositories, from the cache or the Hub. No torch."""

from __future__ import annotations

from pathlib import Path

from zoo import (
    NameLookupError,
    WeightsError,
    WeightsUnavailable,
    ZooError,
    hub_error_in_words,
    hub_reachable,
)


def cached_folder(repo: str) -> Path | None:
    """The repository's folder in the local Hub cache, or ``None``."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def read(repo: str, file: str) -> str | None:
    """Return the text of ``file``; ``None`` if the repository does not have it.

    Raises:
        NameLookupError: The repository does not exist, or its terms must be accepted first.
        WeightsUnavailable: The file is not in the cache and the Hub is unreachable.
        WeightsError: The Hub answered, and the download failed.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
    )

    found = try_to_load_from_cache(repo, file)
    if found is not None and not isinstance(found, str):
        return None  # The cache has recorded that the file does not exist.
    path = Path(found or "")
    if found is None:
        _demand_hub(repo)
        try:
            path = Path(hf_hub_download(repo, file))
        except LocalEntryNotFoundError as error:  # after the Hub did not answer
            raise _failure(repo, file, error) from error
        except EntryNotFoundError:
            return None
        except (HfHubHTTPError, OSError) as error:
            raise _failure(repo, file, error) from error
    return path.read_text(encoding="utf-8")


def _failure(repo: str, file: str, error: Exception) -> ZooError:
    from huggingface_hub.errors import RepositoryNotFoundError

    message, hint = hub_error_in_words(
        error,
        repo,
        doing=f"fetching {repo}/{file}",
        hint="Try again, or give a local folder as path:FOLDER.",
    )
    # This includes gated repositories, which this user cannot read.
    kind = NameLookupError if isinstance(error, RepositoryNotFoundError) else WeightsError
    return kind(message, hint=hint)


def _demand_hub(repo: str) -> None:
    if not hub_reachable():
        raise WeightsUnavailable(
            f"{repo} is not in the catalogue, its config is not on this machine, "
            "and the Hub is unreachable",
            hint="Use a local folder with path:FOLDER, or see 'zoo list --modality text --all'.",
        )
