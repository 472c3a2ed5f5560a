"""Records what TensorFlow does in this process.

Example:
    with Profiler({"host_tracer_level": 2}) as profiler:
        ...run models...
        xspace = profiler.stop()

TensorFlow has no C API for it. Its wheel has a module for its own Python, which
can be loaded without the rest of that.
"""

import functools
import importlib.machinery
import importlib.util
import os
import pathlib
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import Any, Final

from typing_extensions import Self

from tensorflow_serving.tensorflow_c import library, wire_format
from tensorflow_serving.util import errors

_MODULE: Final = "tensorflow.python.profiler.internal._pywrap_profiler"
_FILE: Final = "python/profiler/internal/_pywrap_profiler.so"

# Field numbers, from tsl/profiler/protobuf/xplane.proto.
_XSPACE_PLANES: Final = 1
_XPLANE_LINES: Final = 3
_XLINE_EVENTS: Final = 4

# Held while a profile is taken: TensorFlow takes one at a time.
_lock: Final = threading.Lock()


class Profiler:
    """A recording that runs, from now until stop().

    A context manager that ends the recording. Not thread-safe.
    """

    def __init__(self, levels: Mapping[str, int]) -> None:
        """Starts.

        Args:
          levels: How much to record: "host_tracer_level" and so on, as in
            tf.profiler.experimental.ProfilerOptions.

        Raises:
          UnimplementedError: This TensorFlow cannot be profiled. Permanent.
          UnavailableError: Another recording runs. Transient.
        """
        session = _module().ProfilerSession()
        if not _lock.acquire(blocking=False):
            raise _busy_error()
        self._session: Any = None
        self._folder = tempfile.TemporaryDirectory()
        try:
            session.start(self._folder.name, dict(levels))
        except Exception:  # that of Python's TensorFlow
            self._end()
            raise _busy_error() from None
        self._session = session

    def stop(self) -> bytes:
        """Ends the recording; returns a tensorflow.profiler.XSpace."""
        session, self._session = self._session, None
        try:
            # The only way to have it as it is. If there is nothing, there is no
            # file.
            session.export_to_tb()
            for path in pathlib.Path(self._folder.name).rglob("*.xplane.pb"):
                return path.read_bytes()
            return b""
        finally:
            self._end()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Ends the recording, unless it has ended."""
        if self._session is not None:
            self.stop()

    def _end(self) -> None:
        self._folder.cleanup()
        _lock.release()


def has_events(xspace: bytes) -> bool:
    """Returns whether anything was recorded."""
    whole = wire_format.Message.whole(xspace)
    return any(
        True
        for plane in wire_format.parts(whole, _XSPACE_PLANES)
        for line in wire_format.parts(plane, _XPLANE_LINES)
        for _ in wire_format.parts(line, _XLINE_EVENTS)
    )


def _busy_error() -> errors.UnavailableError:
    return errors.UnavailableError(
        "Another profile is being taken; try again later"
    )


@functools.cache
def _module() -> Any:
    """Returns TensorFlow's module, loaded from its file."""
    if _MODULE in sys.modules:
        return sys.modules[_MODULE]
    path = os.path.join(library.load().folder, _FILE)
    loader = importlib.machinery.ExtensionFileLoader(_MODULE, path)
    spec = importlib.util.spec_from_loader(_MODULE, loader)
    assert spec is not None
    try:
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        # It can be loaded once. Python's TensorFlow may come later.
        return sys.modules.setdefault(_MODULE, module)
    except ImportError as error:
        raise errors.UnimplementedError(
            "This TensorFlow cannot be profiled without its Python, but 2.21 "
            f"can; {error}"
        ) from None
