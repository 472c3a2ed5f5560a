"""Versions that come broken, in several ways, while calls are in flight."""

import dataclasses
import os

from tensorflow_serving.benchmarks import (
    broken_versions,
    load_outcome,
    promises,
    reloaded_server,
    setting,
    version_folders,
    watched_server,
)
from tensorflow_serving.core import servable
from tensorflow_serving.util import clock as clock_lib
from tensorflow_serving.util import errors, progress

_State = servable.ManagerState

# How long the server has for a second thought, in periods of its looks.
_NUM_PERIODS = 3


@dataclasses.dataclass(frozen=True)
class BrokenVersion:
    """What became of one."""

    # One of broken_versions.BREAKERS.
    breaker: str
    # Why it ended, as the log says.
    reason: str
    # Whether it was ever available.
    was_available: bool
    # Whether the version before it was still there then.
    is_old_there: bool
    # Whether the good version after it came. The old one went then.
    did_next_load: bool

    @property
    def is_good(self) -> bool:
        """Whether all is as promised."""
        return (
            bool(self.reason)
            and not self.was_available
            and self.is_old_there
            and self.did_next_load
        )


@dataclasses.dataclass(frozen=True)
class BrokenOutcome:
    """What happened meanwhile."""

    versions: tuple[BrokenVersion, ...]
    load: load_outcome.LoadOutcome

    def promises(self) -> list[promises.Promise]:
        """See Outcome."""
        rows = [
            promises.Promise(
                f"broken: {each.breaker}",
                "old serves on, END with reason, next loads",
                _describe(each),
                each.is_good,
            )
            for each in self.versions
        ]
        return [
            *rows,
            promises.Promise(
                "broken: calls meanwhile",
                "0 failed, 0 wrong",
                str(self.load),
                self.load.is_clean,
            ),
        ]


def run(common: setting.Setting, folder: str) -> BrokenOutcome:
    """Puts broken versions in place, each followed by a good one.

    Raises:
      ServingError: A broken version did not come to an end.
    """
    breakers = list(broken_versions.BREAKERS)
    # Good versions have odd numbers.
    num_versions = 2 * len(breakers) + 1
    found = []
    with reloaded_server.ReloadedServer(common, folder, num_versions) as server:
        bar = progress.bar("breaking", len(breakers), "versions")
        try:
            for index, breaker in enumerate(breakers):
                found.append(
                    _try(common, server, breaker, version=2 * index + 2)
                )
                bar.update()
        finally:
            bar.close()
        return BrokenOutcome(tuple(found), server.stop_load())


def _try(
    common: setting.Setting,
    server: reloaded_server.ReloadedServer,
    breaker: str,
    version: int,
) -> BrokenVersion:
    """Puts one broken version in place, and then a good one."""
    staged = os.path.join(os.path.dirname(server.base_path), "broken")
    broken_versions.make(server.supply.path(version), staged, breaker)
    version_folders.put(staged, server.base_path, version)
    entry = server.wait_for(version, _State.END)
    clock_lib.MONOTONIC.sleep(_NUM_PERIODS * common.poll_seconds)
    log = server.process.log
    old_end = log.first(watched_server.version_id(version - 1), _State.END)
    available = log.first(watched_server.version_id(version), _State.AVAILABLE)
    did_next_load = True
    try:
        server.swap_to(version + 1)
    except errors.DeadlineExceededError:
        did_next_load = False
    server.remove(version)
    server.remove(version - 1)
    return BrokenVersion(
        breaker=breaker,
        reason=entry.reason,
        was_available=available is not None,
        is_old_there=old_end is None,
        did_next_load=did_next_load,
    )


def _describe(version: BrokenVersion) -> str:
    parts = [_shortened(version.reason) or "no reason"]
    if version.was_available:
        parts.append("was available")
    if not version.is_old_there:
        parts.append("old one ended")
    if not version.did_next_load:
        parts.append("next one did not load")
    return "; ".join(parts)


def _shortened(reason: str, num_characters: int = 80) -> str:
    if len(reason) <= num_characters:
        return reason
    return f"{reason[: num_characters - 3]}..."
