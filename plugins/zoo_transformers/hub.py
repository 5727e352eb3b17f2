"""Small text files of Hub repositories: the cache first, then the Hub if it answers. No torch."""

from __future__ import annotations

from pathlib import Path

from zoo import NameLookupError, WeightsError, WeightsUnavailable, hub_reachable


def cached_folder(repo: str) -> Path | None:
    """The repository's files in the Hub's cache on this machine, or ``None``."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repo, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def read(repo: str, file: str) -> str | None:
    """The text of ``file``; ``None`` where the repository has no such file.

    Raises:
        NameLookupError: There is no such repository, or it asks for an agreement first.
        WeightsUnavailable: The file is not in the cache and the Hub is out of reach.
        WeightsError: The Hub answered, and the download failed.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    found = try_to_load_from_cache(repo, file)
    if found is not None and not isinstance(found, str):
        return None  # The cache remembers that there is no such file.
    path = Path(found or "")
    if found is None:
        _demand_hub(repo)
        try:
            path = Path(hf_hub_download(repo, file))
        except GatedRepoError as error:
            raise NameLookupError(
                f"{repo} is given out only after an agreement on its page",
                hint=f"Accept it at https://huggingface.co/{repo}, then type 'hf auth login'.",
            ) from error
        except RepositoryNotFoundError as error:
            raise NameLookupError(
                f"the Hub has no repository {repo!r}, or you may not see it",
                hint=f"Look for it at https://huggingface.co/models?search={repo}.",
            ) from error
        except LocalEntryNotFoundError as error:  # what the cache says after the Hub did not answer
            raise _failure(repo, file, error.__cause__ or error) from error
        except EntryNotFoundError:
            return None
        except (HfHubHTTPError, OSError) as error:
            raise _failure(repo, file, error) from error
    return path.read_text(encoding="utf-8")


def _failure(repo: str, file: str, error: BaseException) -> WeightsError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return WeightsError(
        f"fetching {file} of {repo} failed: {reason}",
        hint="Try again, or give a local folder as path:FOLDER.",
    )


def _demand_hub(repo: str) -> None:
    if not hub_reachable():
        raise WeightsUnavailable(
            f"{repo} is not in the catalogue, its config is not on this machine, "
            "and the Hub is out of reach",
            hint="Give a local folder as path:FOLDER, or see 'zoo list --modality text --all'.",
        )
