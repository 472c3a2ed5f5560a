"""A server that is killed at any moment while versions come and go."""

import dataclasses
import itertools
import os
import random
from collections.abc import Iterator

from tensorflow_serving.benchmarks import (
    first_answer,
    promises,
    setting,
    version_folders,
    version_supply,
    watched_server,
)
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors, progress

# How long a server lives at most, once it answers: some versions.
_MAX_SECONDS = 2.0
_STEP_SECONDS = 0.03
_NUM_COPY_STEPS = 10
# Steps between versions: in that time the server loads one.
_NUM_PAUSE_STEPS = 20
# How many versions are whole at a time.
_NUM_KEPT = 2
# So many differ. What is on the disk at a time does.
_NUM_CONTENTS = 8


@dataclasses.dataclass(frozen=True)
class Restart:
    """What a server did that was started after a kill."""

    # The newest version that was whole.
    expected_version: int
    # The version that gave the first answer; calls.NO_VERSION for none.
    version: int
    # Whether a newer one was there in part.
    was_copying: bool
    # From the start of the process to the answer.
    seconds: float


@dataclasses.dataclass(frozen=True)
class KillOutcome:
    """What happened."""

    restarts: tuple[Restart, ...]

    @property
    def num_right(self) -> int:
        """How many restarts served the newest whole version."""
        return sum(
            each.version == each.expected_version for each in self.restarts
        )

    def promises(self) -> list[promises.Promise]:
        """See Outcome."""
        number = len(self.restarts)
        num_copying = sum(each.was_copying for each in self.restarts)
        slowest = max(each.seconds for each in self.restarts)
        return [
            promises.Promise(
                f"kills: restarts after {number} kills that served the newest "
                "whole version",
                str(number),
                f"{self.num_right} ({num_copying} beside a half copy; at most "
                f"{slowest:.1f} s from start to answer)",
                self.num_right == number,
            )
        ]


def run(
    common: setting.Setting, folder: str, num_kills: int = 50
) -> KillOutcome:
    """Kills servers of a folder in which versions come and go.

    While a server starts again, nothing comes or goes: the folder stays as it
    was at the kill, with a half copy in it, or a half removed version.

    Args:
      common: How the servers are started.
      folder: An empty one.
      num_kills: How many; at least 1.

    Raises:
      ServingError: A server did not start, or did not answer.
    """
    errors.require_at_least(1, num_kills=num_kills)
    rng = random.Random(common.seed)
    clock = clock_lib.MONOTONIC
    versions = _Versions(common, folder, rng)
    bar = progress.bar("killing", num_kills, "servers")
    restarts = []
    try:
        # The first one starts, and is killed, like the others.
        for number in range(num_kills + 1):
            start = clock.now()
            with watched_server.WatchedServer(
                watched_server.mnist_inference_2(
                    versions.base_path,
                    common.poll_seconds,
                    common.server_flags,
                ),
                common.log_path,
            ) as server:
                restart = versions.ask(server.address, start)
                if number > 0:
                    restarts.append(restart)
                    bar.update()
                if number < num_kills:
                    end = clock.now() + rng.uniform(0.0, _MAX_SECONDS)
                    while (left := end - clock.now()) > 0:
                        clock.sleep(min(_STEP_SECONDS, left))
                        versions.step()
                server.kill()
    finally:
        bar.close()
    return KillOutcome(tuple(restarts))


class _Versions:
    """What an operator does, step by step: copies versions in, removes them."""

    def __init__(
        self, common: setting.Setting, folder: str, rng: random.Random
    ) -> None:
        """Starts with version 1."""
        self._supply = version_supply.VersionSupply(
            os.path.join(folder, "exported"), common.seed
        )
        self._supply.export(1, _NUM_CONTENTS)
        self._rng = rng
        self.base_path = os.path.join(folder, "served")
        os.mkdir(self.base_path)
        self._newest = 0
        self._is_copying = False
        for _ in self._copy(1):
            pass
        self._steps = self._all_steps()

    def step(self) -> None:
        """Does a little more."""
        next(self._steps)

    def ask(self, address: str, start: float) -> Restart:
        """Asks a server which version it serves.

        Args:
          address: Where it listens.
          start: When it was started.
        """
        answer = first_answer.ask(address, self._supply.workload.requests[0])
        seconds = clock_lib.MONOTONIC.now() - start
        content = int(self._supply.workload.versions_of([0], [answer])[0])
        return Restart(
            expected_version=self._newest,
            version=self._version_with(content),
            was_copying=self._is_copying,
            seconds=seconds,
        )

    def _all_steps(self) -> Iterator[None]:
        for version in itertools.count(2):
            yield from self._copy(version)
            for _ in range(_NUM_PAUSE_STEPS):
                yield
            if version > _NUM_KEPT:
                yield from self._remove(version - _NUM_KEPT)

    def _copy(self, version: int) -> Iterator[None]:
        source = self._supply.path(_content_of(version))
        self._is_copying = True
        yield from version_folders.copy_in_steps(
            source,
            version_folders.path_of(self.base_path, version),
            _NUM_COPY_STEPS,
            # As some program might.
            self._rng.sample(sorted(os.listdir(source)), 3),
        )
        self._is_copying = False
        self._newest = version

    def _remove(self, version: int) -> Iterator[None]:
        path = version_folders.path_of(self.base_path, version)
        for name in sorted(os.listdir(path)):
            yield
            os.remove(os.path.join(path, name))
        yield
        os.rmdir(path)

    def _version_with(self, content: int) -> int:
        """Returns the last version with a content, one that is copied too."""
        last = self._newest + self._is_copying
        for version in range(last, max(0, last - _NUM_CONTENTS), -1):
            if _content_of(version) == content:
                return version
        return content


def _content_of(version: int) -> int:
    """Returns which of the exports a version is a copy of."""
    return (version - 1) % _NUM_CONTENTS + 1
