"""A loader that records its calls, and fails or blocks when a test wants it."""

import threading
from collections.abc import Sequence

from typing_extensions import override

from tensorflow_serving.core import loader
from tensorflow_serving.resources import resource_tracker


class FakeLoader(loader.Loader):
    """Implements loader.Loader for a servable that is there already.

    A test that needs a load to last goes in steps:

        fake = FakeLoader()
        fake.may_load.clear()
        ...have another thread load it...
        fake.load_started.wait()
        ...assert on the state while the load is blocked...
        fake.may_load.set()

    It is strict: a load of what is loaded, and an unload of what is not, are
    AssertionErrors.

    Thread-safe.
    """

    def __init__(
        self,
        servable: object = None,
        *,
        ram_in_bytes: int = 0,
        estimate_error: Exception | None = None,
        errors: Sequence[Exception] = (),
        unload_error: Exception | None = None,
        warning: str = "",
    ) -> None:
        """Makes a loader whose calls do not block.

        Args:
          servable: What is loaded; None for an object of its own.
          ram_in_bytes: The estimate, which a test may change at any time.
          estimate_error: What estimate_resources() raises.
          errors: What the first calls of load() raise, one each.
          unload_error: What unload() raises; the servable is gone all the same.
          warning: A flaw of the servable.
        """
        self._servable = object() if servable is None else servable
        self._estimate_error = estimate_error
        self._unload_error = unload_error
        self._warning = warning
        self._lock = threading.Lock()
        self._load_errors = list(errors)  # guarded by _lock
        self._is_loaded = False  # guarded by _lock
        self.ram_in_bytes = ram_in_bytes
        # The names of calls, "estimate", "load" and "unload", and their
        # threads. Guarded by _lock.
        self.calls: list[str] = []
        self.threads: list[threading.Thread] = []
        # Set when a call begins, the first one or the next one after clear().
        self.load_started = threading.Event()
        self.unload_started = threading.Event()
        # While one is not set, the call blocks.
        self.may_load = threading.Event()
        self.may_unload = threading.Event()
        self.may_load.set()
        self.may_unload.set()

    @property
    def is_loaded(self) -> bool:
        """Whether the servable is in memory."""
        with self._lock:
            return self._is_loaded

    @override
    def estimate_resources(self) -> resource_tracker.ResourceAllocation:
        """Returns the memory that the test has set."""
        self._record("estimate")
        if self._estimate_error is not None:
            raise self._estimate_error
        return resource_tracker.ResourceAllocation(self.ram_in_bytes)

    @override
    def load(self) -> None:
        """Loads, or raises the next error."""
        self._record("load")
        self.load_started.set()
        self.may_load.wait()
        with self._lock:
            assert not self._is_loaded, "the servable is loaded already"
            if self._load_errors:
                raise self._load_errors.pop(0)
            self._is_loaded = True

    @override
    def unload(self) -> None:
        """Unloads."""
        self._record("unload")
        self.unload_started.set()
        self.may_unload.wait()
        with self._lock:
            assert self._is_loaded, "the servable is not loaded"
            self._is_loaded = False
        if self._unload_error is not None:
            raise self._unload_error

    @override
    def servable(self) -> object:
        assert self.is_loaded, "the servable must be loaded"
        return self._servable

    @override
    def warning(self) -> str:
        return self._warning

    def _record(self, call: str) -> None:
        with self._lock:
            self.calls.append(call)
            self.threads.append(threading.current_thread())
