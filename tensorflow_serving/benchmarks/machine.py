"""What a reader of figures must know of the machine that they are from."""

import importlib.metadata
import os
import platform

_PACKAGES = ("grpcio", "numpy", "protobuf", "tensorflow")


def facts() -> dict[str, str | int]:
    """Returns the machine and the versions of what the server is made of."""
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "machine": platform.machine(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }
