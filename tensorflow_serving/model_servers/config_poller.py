"""Puts a configuration into effect when its file has changed.

Example:
    with ConfigPoller(served, options.changed_models, 60) as poller:
        termination.call_on_hangup(poller.poll_soon)
"""

import threading
from collections.abc import Callable

from absl import logging
from typing_extensions import Self

from tensorflow_serving.model_servers import model_configs, served_models
from tensorflow_serving.util import errors


class ConfigPoller:
    """Reads a configuration every so often, and when it is asked to.

    What cannot be read or put into effect leaves everything as it is, and is
    logged, once for each text. New models are not waited for.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self,
        served: served_models.ServedModels,
        read: Callable[[], model_configs.Models],
        period_seconds: float,
    ) -> None:
        """Starts a thread.

        Args:
          served: Serves the models.
          read: Returns the models to serve, or raises a ServingError.
          period_seconds: How often to read; 0 for only when asked to.
        """
        self._served = served
        self._read = read
        self._period_seconds = period_seconds
        self._is_closed = False
        # poll_soon() or close() was called. Wakes the thread.
        self._news = threading.Event()
        self._last_error = ""
        self._thread = threading.Thread(target=self._run, name="config_poller")
        self._thread.start()

    def poll_soon(self) -> None:
        """Has the configuration read now, and logs what came of it.

        Does not block.
        """
        self._news.set()

    def poll_once(self, *, is_asked: bool = False) -> None:
        """Reads the configuration; puts it into effect if it is another one.

        Args:
          is_asked: Whether to log also what is nothing new.
        """
        try:
            models = self._read()
            is_changed = models != self._served.models
            if is_changed:
                self._served.update(models)
            self._last_error = ""
        except errors.ServingError as error:
            if is_asked or str(error) != self._last_error:
                logging.warning("The configuration stays as it is: %s", error)
            self._last_error = str(error)
        except Exception:
            logging.exception("Looking at the configuration failed; going on")
        else:
            if is_changed or is_asked:
                logging.info(
                    "The configuration is %s; its models are %s",
                    "another one now" if is_changed else "the same as before",
                    model_configs.names(models),
                )

    def close(self) -> None:
        """Ends the thread. Idempotent."""
        self._is_closed = True
        self._news.set()
        self._thread.join()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _run(self) -> None:
        while True:
            is_asked = self._news.wait(self._period_seconds or None)
            if self._is_closed:
                return
            self._news.clear()
            self.poll_once(is_asked=is_asked)
