"""A session that serves: its errors are those of this project."""

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from absl import logging
from tensorflow.core.protobuf import config_pb2

from tensorflow_serving.batching import tensor_batch
from tensorflow_serving.session_bundle import session_errors
from tensorflow_serving.util import errors


class ServingSession:
    """Runs a loaded graph, which callers cannot change.

    Once it is closed, neither it nor what it made refers to the graph, so that
    whoever forgets to forget them keeps no model in memory.

    Thread-safe.
    """

    def __init__(self, session: tf.compat.v1.Session) -> None:
        """Takes over the session, to close it."""
        # None once it is closed.
        self._session: tf.compat.v1.Session | None = session
        self._lock = threading.Lock()
        # What make_callable() made and somebody still has. Guarded by _lock.
        self._callables: weakref.WeakSet[_FastCallable] = weakref.WeakSet()

    def run(
        self, fetches: Sequence[str], feed_dict: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """Returns the fetched tensors, in order.

        Args:
          fetches: Names of tensors ("y:0") or of operations; the value of an
            operation is None.
          feed_dict: Values of tensors, by name.

        Raises:
          InvalidArgumentError: A name is not in the graph, or a value does not
            fit its tensor. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
          ServingError: What the graph raised, with its code.
        """
        with self._errors_converted():
            outputs: list[npt.NDArray[Any]] = self._open_session().run(
                list(fetches), dict(feed_dict)
            )
        return outputs

    def make_callable(
        self, fetches: Sequence[str], feed_list: Sequence[str]
    ) -> Callable[..., Sequence[npt.NDArray[Any]]]:
        """Returns a function that does what run() does, in less time.

        It takes arrays of the dtypes and shapes of tensor_spec(), in order, and
        raises what run() raises. It converts no dtype and checks no shape; that
        is for its callers.

        TensorFlow's own make_callable() goes through run() if there are feeds.
        What it is meant to use, and tf.keras does use, is ten times as fast for
        a small model, but has no public name.

        Raises:
          InvalidArgumentError: A name is not in the graph. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
        """
        session = self._open_session()
        with self._errors_converted():
            for name in (*fetches, *feed_list):
                session.graph.get_tensor_by_name(name)
        make_callable = getattr(session, "_make_callable_from_options", None)
        if make_callable is None:
            logging.warning(
                "TensorFlow %s has no fast callables; using run()",
                tf.__version__,
            )
        if make_callable is None or set(fetches) & set(feed_list):
            # A fast callable cannot return what it is fed.
            return functools.partial(
                self._run_in_order, tuple(fetches), tuple(feed_list)
            )
        with self._errors_converted():
            run = make_callable(
                config_pb2.CallableOptions(feed=feed_list, fetch=fetches)
            )
        function = _FastCallable(run, self._errors_converted)
        with self._lock:
            self._callables.add(function)
            if self._session is None:
                function.close()
        return function

    def tensor_spec(self, name: str) -> tensor_batch.TensorSpec:
        """Returns dtype and shape of a tensor of the graph.

        Raises:
          InvalidArgumentError: The name is not in the graph, or no array can
            be its value. Permanent.
          FailedPreconditionError: The session is closed. Permanent.
        """
        with self._errors_converted():
            tensor = self._open_session().graph.get_tensor_by_name(name)
        try:
            dtype = np.dtype(tensor.dtype.as_numpy_dtype)
        except KeyError:
            raise errors.InvalidArgumentError(
                f"Tensor {name} must have a dtype of arrays; got "
                f"{tensor.dtype.name}"
            ) from None
        shape = tensor.shape
        return tensor_batch.TensorSpec(
            name, dtype, None if shape.rank is None else tuple(shape.as_list())
        )

    def close(self) -> None:
        """Frees the session. Idempotent."""
        with self._lock:
            session, self._session = self._session, None
            callables = list(self._callables)
        if session is None:
            return
        session.close()
        for function in callables:
            function.close()

    def _open_session(self) -> tf.compat.v1.Session:
        session = self._session
        if session is None:
            raise _closed_error()
        return session

    def _run_in_order(
        self,
        fetches: Sequence[str],
        feed_list: Sequence[str],
        *feeds: npt.NDArray[Any],
    ) -> list[npt.NDArray[Any]]:
        with self._errors_converted():
            feed_dict = dict(zip(feed_list, feeds, strict=True))
        return self.run(fetches, feed_dict)

    @contextlib.contextmanager
    def _errors_converted(self) -> Iterator[None]:
        """Turns what TensorFlow raises into errors of this project."""
        try:
            yield
        except errors.ServingError:
            raise
        except tf.errors.CancelledError as error:
            if self._session is None:  # callables say so in this way
                raise _closed_error() from error
            raise session_errors.convert(error) from error
        except tf.errors.OpError as error:
            raise session_errors.convert(error) from error
        except (TypeError, ValueError, KeyError) as error:
            reason = str(error).partition("\n")[0]
            raise errors.InvalidArgumentError(
                f"fetches and feeds must fit the graph; got {reason}"
            ) from error
        except RuntimeError as error:
            raise errors.FailedPreconditionError(
                f"session must be open; got {error}"
            ) from error


class _FastCallable:
    """A callable of TensorFlow, until it is closed."""

    def __init__(
        self,
        run: Callable[..., list[npt.NDArray[Any]]],
        errors_converted: Callable[[], contextlib.AbstractContextManager[None]],
    ) -> None:
        # None once it is closed.
        self._run: Callable[..., list[npt.NDArray[Any]]] | None = run
        self._errors_converted = errors_converted

    def __call__(self, *feeds: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        run = self._run
        if run is None:
            raise _closed_error()
        with self._errors_converted():
            return run(*feeds)

    def close(self) -> None:
        self._run = None


def _closed_error() -> errors.FailedPreconditionError:
    return errors.FailedPreconditionError(
        "session must be open; got a closed one"
    )
