"""How calls of each model become batches: by one file, or by one for each.

A version with a file batching_params.pbtxt, BatchingParameters in text format,
can have parameters of its own.
"""

import collections
import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from absl import logging
from google.protobuf import text_format
from typing_extensions import Self

from tensorflow_serving.batching import run_size
from tensorflow_serving.model_servers import text_files
from tensorflow_serving.servables.tensorflow import (
    batch_threads,
    served_model,
    session_bundle_config_pb2,
)
from tensorflow_serving.session_bundle import session, session_bundle
from tensorflow_serving.util import errors

FILENAME: Final = "batching_params.pbtxt"
_OF_THREADS: Final = ("num_batch_threads", "thread_pool_name")


@dataclasses.dataclass(frozen=True)
class Options:
    """How calls become batches."""

    # How those of all models do; if versions have files of their own, what
    # such a file does not say.
    batching: batch_threads.Options = batch_threads.Options()
    # How those of a version without a file run; None: versions have no files.
    without_file: batch_threads.Options | None = None


class ModelBatching:
    """The threads that run the calls of all models.

    A context manager that closes itself. Thread-safe.
    """

    def __init__(
        self, options: Options, on_stuck: Callable[[], None] = lambda: None
    ) -> None:
        """Starts the threads.

        Args:
          options: See Options.
          on_stuck: See SharedBatchScheduler.

        Raises:
          ResourceExhaustedError: The system has no more threads. Transient.
        """
        self._options = options
        with contextlib.ExitStack() as stack:
            self._threads = batch_threads.BatchThreads(
                options.batching, on_stuck
            )
            stack.callback(self._threads.close)
            self._without_file = self._threads
            if options.without_file is not None:
                self._without_file = batch_threads.BatchThreads(
                    options.without_file, on_stuck
                )
                stack.callback(self._without_file.close)
            self._stack = stack.pop_all()

    def served(
        self, bundle: session_bundle.SessionBundle[session.Session]
    ) -> served_model.ServedModel:
        """Makes of a bundle what is served, and takes it over.

        Raises:
          FailedPreconditionError: The file of the version is not what it should
            be, or its signatures do not fit the graph; the bundle is still
            the caller's. Permanent.
          UnavailableError: The storage failed. Transient.
        """
        threads, batching = self._threads, self._options.batching
        if self._options.without_file is not None:
            own = of_version(bundle.path, batching)
            batching = own or self._options.without_file
            if own is None:
                threads = self._without_file
                logging.info("%s is not batched: no %s", bundle.path, FILENAME)
        model = served_model.ServedModel(bundle, threads, batching)
        if not batching.session.never_merges:
            _log_run_alone(bundle.path, model.signatures_run_alone())
        return model

    def num_runs(self) -> Mapping[run_size.RunSize, int]:
        """Returns how many runs of all models there ever were."""
        found = collections.Counter(self._threads.num_runs())
        if self._without_file is not self._threads:
            found.update(self._without_file.num_runs())
        return found

    def close(self) -> None:
        """Ends the threads; models must be closed before. Idempotent."""
        self._stack.close()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()


def _log_run_alone(path: str, names: Sequence[str]) -> None:
    if names:
        logging.info(
            "Calls of %s are never merged, as an input or output has no batch "
            "dimension, or there is no input: %s",
            ", ".join(names),
            path,
        )


def warn_of_all_but_threads(
    parameters: session_bundle_config_pb2.BatchingParameters, path: str
) -> None:
    """Logs what has no effect in the file of all models."""
    names = [
        field.name
        for field, _ in parameters.ListFields()
        if field.name not in _OF_THREADS
    ]
    if names:
        logging.warning(
            "%s of --batching_parameters_file have no effect with "
            "--enable_per_model_batching_parameters; put them into %s of a "
            "version: %s",
            ", ".join(names),
            FILENAME,
            path,
        )


def of_version(
    path: str, defaults: batch_threads.Options
) -> batch_threads.Options | None:
    """Returns how calls of a version become batches, by its file.

    Args:
      path: The folder of the version.
      defaults: What the file does not say. It never says which threads.

    Returns:
      None if there is no file.

    Raises:
      FailedPreconditionError: The file is not what it should be. Permanent.
      UnavailableError: The storage failed. Transient.
    """
    filename = os.path.join(path, FILENAME)
    parameters = session_bundle_config_pb2.BatchingParameters()
    try:
        text_format.Parse(text_files.read_text(filename), parameters)
        options = defaults.updated(parameters)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.UnavailableError(
            f"batching parameters of a version must be readable; got {error}"
        ) from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise errors.FailedPreconditionError(
            "batching parameters of a version must be "
            f"{parameters.DESCRIPTOR.full_name} in text format; got "
            f"{filename}:{error}"
        ) from None
    except errors.InvalidArgumentError as error:
        raise errors.FailedPreconditionError(f"{error}: {filename}") from None
    for name in _OF_THREADS:
        if parameters.HasField(name):
            logging.warning(
                "%s has no effect in the file of a version, as all versions "
                "share their threads; see --batching_parameters_file: %s",
                name,
                filename,
            )
    return dataclasses.replace(options, threads=defaults.threads)
