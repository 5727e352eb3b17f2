"""A process that no network can be reached from: whatever tries raises what nothing catches.

The command line in such a process:

    python -m tests.faults.offline finetune resnet18
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any


class Attempted(BaseException):
    """Something wanted to reach a network; not an ``Exception``, so that it cannot go unseen."""


def cut_off(set_attribute: Callable[[object, str, Any], None] = setattr) -> None:
    """Refuse every connection but those between the processes of this machine."""
    for name in ("connect", "connect_ex"):
        original = getattr(socket.socket, name)

        def local_only(
            self: socket.socket, address: Any, original: Callable[..., Any] = original
        ) -> Any:
            if self.family != socket.AF_UNIX:
                raise Attempted(address)
            return original(self, address)

        set_attribute(socket.socket, name, local_only)

    def no_names(*arguments: object, **_: object) -> None:
        raise Attempted(arguments)

    set_attribute(socket, "getaddrinfo", no_names)


if __name__ == "__main__":
    from zoo.cli import main

    cut_off()
    sys.argv[0] = "zoo"
    main()
