"""End-to-end tests of versions that come and go under load, and of kills.

The answers themselves tell which version gave them; see constant_model.
"""

import dataclasses
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import grpc
from absl.testing import absltest

from tensorflow_serving.example import constant_model, mnist_inference_pb2
from tensorflow_serving.util import server_process

_SERVER = os.path.join(os.path.dirname(__file__), "mnist_inference_2")
_CLASSIFY = "/tensorflow.serving.MnistService/Classify"
_REQUEST = mnist_inference_pb2.MnistRequest(
    image_data=[0.5] * 784
).SerializeToString()
_NUM_THREADS = 8
_NUM_SWAPS = 8
_NUM_KILLS = 6
# Steps in which a version is copied.
_NUM_COPY_STEPS = 9
# Answers that come between two steps, in which time the server looks as well.
_ANSWERS_PER_STEP = 40


@dataclasses.dataclass(frozen=True)
class _Answer:
    """A call that has ended, by the monotonic clock."""

    start: float
    end: float
    # 0 for a wrong answer.
    version: int
    # The status of a call that failed.
    error: grpc.StatusCode | None = None


class _Client:
    """Makes calls on a channel of its own; a context manager. Thread-safe."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._classify: Any = self._channel.unary_unary(_CLASSIFY)

    def ask(self) -> _Answer:
        """Returns the answer to one call."""
        start = time.monotonic()
        try:
            message = self._classify(_REQUEST, timeout=60, wait_for_ready=True)
        except grpc.RpcError as error:
            return _Answer(start, time.monotonic(), 0, error.code())
        end = time.monotonic()
        scores = mnist_inference_pb2.MnistResponse.FromString(message).value
        is_constant = len(scores) == 10 and len(set(scores)) == 1
        return _Answer(start, end, int(scores[0]) if is_constant else 0)

    def __enter__(self) -> "_Client":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._channel.close()


class _Load:
    """Keeps calls in flight from the first answer on; a context manager."""

    def __init__(self, client: _Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        # There is one more answer. Wakes wait_for_more().
        self._news = threading.Condition(self._lock)
        # Both guarded by _lock.
        self.answers: list[_Answer] = []
        self._is_over = False
        self._threads = [
            threading.Thread(target=self._run, name="load")
            for _ in range(_NUM_THREADS)
        ]

    def wait_for_more(self, number: int) -> None:
        """Returns after so many further answers."""
        with self._lock:
            end = len(self.answers) + number
            self._news.wait_for(lambda: len(self.answers) >= end)

    def __enter__(self) -> "_Load":
        for thread in self._threads:
            thread.start()
        self.wait_for_more(_NUM_THREADS)
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._is_over = True
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        is_over = False
        while not is_over:
            answer = self._client.ask()
            with self._lock:
                self.answers.append(answer)
                self._news.notify_all()
                is_over = self._is_over


def _start(base_path: str) -> server_process.ServerProcess:
    return server_process.ServerProcess(
        [
            _SERVER,
            "--port=0",
            "--file_system_poll_wait_seconds=0.05",
            base_path,
        ],
        collects_log=True,
    )


def _state(version: int, state: str) -> str:
    return f"Servable {{name: default version: {version}}} is {state}$"


def _copy_in_steps(
    source: str, target: str, names: Sequence[str]
) -> Iterator[None]:
    """Copies files one after the other, a part of one in each step.

    Yields before each step. The copy is whole after the last one.
    """
    parts_per_file = _NUM_COPY_STEPS // len(names)
    for name in names:
        with open(os.path.join(source, name), "rb") as file:
            content = file.read()
        size = -(-len(content) // parts_per_file)
        for part in range(parts_per_file):
            yield
            os.makedirs(target, exist_ok=True)
            with open(os.path.join(target, name), "ab") as file:
                file.write(content[part * size : (part + 1) * size])


class _ReloadTestCase(absltest.TestCase):
    """Versions that wait to be served, and a folder that is served."""

    def setUp(self) -> None:
        """Starts without versions."""
        super().setUp()
        self.exported = self.create_tempdir().full_path
        self.served = self.create_tempdir().full_path

    def path(self, version: int) -> str:
        """Returns the folder of a version that is served."""
        return os.path.join(self.served, f"{version:08d}")

    def put(self, version: int) -> float:
        """Moves a version into place; returns the time just before."""
        source = constant_model.export(self.exported, version)
        now = time.monotonic()
        os.rename(source, self.path(version))
        return now


class LoadTest(_ReloadTestCase):
    """Calls while versions come and go."""

    def _check(
        self,
        answers: Sequence[_Answer],
        put_times: Mapping[int, float],
        end_times: Mapping[int, float],
    ) -> None:
        """Checks that each answer is of a version that could give it.

        Args:
          answers: What came.
          put_times: When a version became whole, or a little earlier.
          end_times: When it was known that a version had ended.
        """
        self.assertEqual([each for each in answers if each.error], [])
        for each in answers:
            self.assertIn(each.version, put_times)
            self.assertGreaterEqual(each.end, put_times[each.version])
            self.assertLessEqual(
                each.start, end_times.get(each.version, each.start)
            )
        self.assertEqual({each.version for each in answers}, set(put_times))

    def test_swaps_under_load_lose_no_call(self) -> None:
        """Each call gets the answer of a version that is there at the time.

        No answer comes before its version was put in place, or to a call that
        started after the end of its version was logged.
        """
        put_times, end_times = {1: self.put(1)}, {}
        with (
            _start(self.served) as server,
            _Client(server.address) as client,
            _Load(client) as load,
        ):
            for version in range(2, _NUM_SWAPS + 2):
                put_times[version] = self.put(version)
                server.wait_for_log(_state(version, "AVAILABLE"))
                server.wait_for_log(_state(version - 1, "END"))
                end_times[version - 1] = time.monotonic()
                shutil.rmtree(self.path(version - 1))
                load.wait_for_more(_NUM_THREADS)
        self._check(load.answers, put_times, end_times)

    def test_version_that_is_copied_slowly_answers_once_it_is_whole(
        self,
    ) -> None:
        """A version is neither available nor asked before its last byte."""
        put_times = {1: self.put(1)}
        source = constant_model.export(self.exported, 2)
        with (
            _start(self.served) as server,
            _Client(server.address) as client,
            _Load(client) as load,
        ):
            for _ in _copy_in_steps(
                source, self.path(2), sorted(os.listdir(source))
            ):
                load.wait_for_more(_ANSWERS_PER_STEP)
                self.assertNotRegex(
                    "\n".join(server.log_lines), r"version: 2\} is AVAILABLE"
                )
                put_times[2] = time.monotonic()
            server.wait_for_log(_state(2, "AVAILABLE"))
            server.wait_for_log(_state(1, "END"))
            end_times = {1: time.monotonic()}
            load.wait_for_more(_NUM_THREADS)
        self._check(load.answers, put_times, end_times)


class KillTest(_ReloadTestCase):
    """Servers that follow one that was killed."""

    def setUp(self) -> None:
        """Starts with version 1, and steps that lead to more."""
        super().setUp()
        self.rng = random.Random(0)
        self.put(1)
        # The newest version that is whole, and whether one is copied.
        self.newest = 1
        self.is_copying = False

    def _steps(self) -> Iterator[None]:
        """Copies versions in and removes old ones, file by file."""
        while True:
            version = self.newest + 1
            source = constant_model.export(self.exported, version)
            names = os.listdir(source)
            self.is_copying = True
            yield from _copy_in_steps(
                source, self.path(version), self.rng.sample(names, len(names))
            )
            self.is_copying = False
            self.newest = version
            yield
            if version > 2:
                for name in os.listdir(self.path(version - 2)):
                    yield
                    os.remove(os.path.join(self.path(version - 2), name))
                os.rmdir(self.path(version - 2))

    def test_newest_whole_version_is_served_after_a_kill(self) -> None:
        """A server that is killed leaves a folder that another one serves.

        Versions are half copied or half removed at the time of the kill, and
        stay so until the next server has answered.
        """
        steps = self._steps()
        num_half_copies = 0
        for _ in range(_NUM_KILLS):
            with (
                _start(self.served) as server,
                _Client(server.address) as client,
            ):
                self.assertEqual(client.ask().version, self.newest)
                num_half_copies += self.is_copying
                for _ in range(self.rng.randrange(1, 2 * _NUM_COPY_STEPS)):
                    next(steps)
                    self.assertIsNone(client.ask().error)
                server.send_signal(signal.SIGKILL)
                server.wait()
        self.assertGreater(num_half_copies, 0)


if __name__ == "__main__":
    absltest.main()
