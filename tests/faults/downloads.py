"""Kill downloads at random moments, look at what lies under the final name, and start them again.

From a web address, and a file and a folder of a Hub in turn, all from hosts on this machine:

    python -m tests.faults.downloads --kills 60
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

from tests.faults import children, tallies
from tests.faults.hosts import Host, Hub, up
from tests.faults.tallies import Tally

CONTENT = random.Random(0).randbytes(4 << 20)
PACE = 0.005  # seconds for every 64 kB: 0.3 for the content
PIECES = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
REPOSITORY = {
    "config.json": b"{}",
    "tokenizer.json": CONTENT[: 2 << 20],  # slower than the weights, if it went beside them
    PIECES[0]: CONTENT[2 << 20 : 3 << 20],
    PIECES[1]: CONTENT[3 << 20 :],
}


@contextmanager
def elsewhere(host: Host) -> Iterator[str]:
    """The address of a host in a process of its own, so that this one can be forked."""
    reading, writing = os.pipe()

    def serve() -> None:
        with up(host):
            os.write(writing, host.address.encode())
            signal.pause()

    child = children.fork(serve)
    try:
        yield os.read(reading, 100).decode()
    finally:
        os.kill(child, signal.SIGKILL)
        children.wait(child)
        os.close(reading)
        os.close(writing)


def _torment(folder: Path, kills: int, seed: int, web: str) -> Tally:
    import huggingface_hub.file_download
    import huggingface_hub.hf_api  # noqa: F401  so that children inherit what they need

    from zoo import Weights
    from zoo.weights.loading.load import fetch
    from zoo.weights.local_weights import cached_file

    chance, tally = random.Random(seed), Tally()
    for number, uri in enumerate(
        cycle([f"{web}/net.pth", f"hf:acme/net/{PIECES[0]}", "hf:acme/net"])
    ):
        if tally.kills >= kills:
            return tally
        home, weights = folder / str(number), Weights(tag="V1", uri=uri)
        os.environ |= {"TORCH_HOME": str(home), "HF_HOME": str(home), "ZOO_CACHE": str(home)}
        for _ in range(3):
            child = children.fork(lambda: fetch(weights))  # noqa: B023
            ended = children.strike(child, chance.uniform(0, 0.4), signal.SIGKILL)
            assert ended != children.FAILED, uri
            found = cached_file(weights)
            if found is not None and not right(found):
                tally.lost += (f"{uri} after a kill",)
            if ended == children.DONE or tally.kills == kills:
                break
            tally.kills += 1
            tally.begun += any(home.rglob("*.part")) or any(home.rglob("*.incomplete"))
        child = children.fork(lambda: fetch(weights))  # noqa: B023
        assert children.wait(child) == children.DONE, f"{uri} could not be started again"
        found = cached_file(weights)
        left = [path.name for path in home.rglob("*.part*")]
        if found is None or not right(found) or left:
            tally.lost += (f"{uri} in the end, beside {left}",)
        else:
            tally.whole += 1
        shutil.rmtree(home)
    raise AssertionError("unreachable: cycle never ends")


def right(found: Path) -> bool:
    """Whether a file, or all of a folder, is what the host has."""
    if found.is_dir():
        inside = {file.name: file.read_bytes() for file in found.iterdir()}
        return inside == REPOSITORY
    return found.read_bytes() == (REPOSITORY | {"net.pth": CONTENT})[found.name]


def torment(folder: Path, kills: int, seed: int) -> Tally:
    """Kill ``kills`` times; each download is killed at most three times, and then left alone."""
    hub = Hub({f"acme/net/{name}": content for name, content in REPOSITORY.items()}, pace=PACE)
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    host = Host({"net.pth": CONTENT}, pace=PACE)
    with elsewhere(host) as web, elsewhere(hub) as endpoint:
        os.environ["HF_ENDPOINT"] = endpoint
        return _torment(folder, kills, seed, web)


if __name__ == "__main__":
    tallies.main(__doc__, torment, kills=60)
