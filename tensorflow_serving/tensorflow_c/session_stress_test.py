"""Runs one session from many threads while it is closed."""

import concurrent.futures
import threading

import numpy as np
from absl.testing import absltest

from tensorflow_serving.tensorflow_c import session as session_lib
from tensorflow_serving.tensorflow_c import tensor
from tensorflow_serving.test_util import graph_builder
from tensorflow_serving.util import errors

_NUM_THREADS = 16
_NUM_SESSIONS = 20
# How many runs there are before the session is closed.
_NUM_RUNS = 100


class SessionStressTest(absltest.TestCase):
    """One session and many threads."""

    def _open(self) -> session_lib.Session:
        graph = graph_builder.GraphBuilder()
        graph.placeholder("x", "float32", [None])
        graph.constant("two", np.array(2, np.float32))
        graph.node("y", "Mul", ["x", "two"], T="float32")
        return graph.open_session()

    def test_runs_are_right_until_the_session_is_closed(self) -> None:
        """Each run has its own answer, or an error that says so."""
        for _ in range(_NUM_SESSIONS):
            session = self._open()
            function = session.make_callable(["y:0"], ["x:0"])
            enough = threading.Semaphore(0)

            def run_until_closed(
                seed: int,
                function: session_lib.Callable = function,
                enough: threading.Semaphore = enough,
            ) -> int:
                for number in range(seed, 10**9, _NUM_THREADS):
                    x = np.full([number % 999 + 1], number, np.float32)
                    try:
                        (y,) = function(x)
                    except errors.FailedPreconditionError:
                        return 1
                    np.testing.assert_array_equal(y, 2 * x)
                    enough.release()
                return 0

            with concurrent.futures.ThreadPoolExecutor(_NUM_THREADS) as threads:
                ended = [
                    threads.submit(run_until_closed, seed)
                    for seed in range(_NUM_THREADS)
                ]
                for _ in range(_NUM_RUNS):
                    enough.acquire()
                session.close()
                self.assertEqual(
                    sum(each.result() for each in ended), _NUM_THREADS
                )
        self.assertEqual(tensor.num_lent_arrays(), 0)


if __name__ == "__main__":
    absltest.main()
