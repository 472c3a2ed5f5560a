"""What was promised, and whether it was kept: as text, and as JSON."""

import collections
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import tabulate


@dataclasses.dataclass(frozen=True)
class Promise:
    """A row of the table."""

    what: str
    target: str
    reached: str
    is_kept: bool


class Outcome(Protocol):
    """What a scenario found out; a dataclass."""

    def promises(self) -> Sequence[Promise]:
        """Returns the rows of the scenario."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """Implements Outcome: a scenario that did not come to its end."""

    scenario: str
    error: str

    def promises(self) -> list[Promise]:
        """See Outcome."""
        reason = self.error.partition("\n")[0]
        return [Promise(self.scenario, "comes to its end", reason, False)]


def to_text(promises: Sequence[Promise]) -> str:
    """Returns a table."""
    return (
        tabulate.tabulate(
            [
                (
                    each.what,
                    each.target,
                    each.reached,
                    "yes" if each.is_kept else "NO",
                )
                for each in promises
            ],
            headers=("what", "target", "reached", "ok"),
            disable_numparse=True,
        )
        + "\n"
    )


def to_json(
    outcomes: Mapping[str, Outcome], facts: Mapping[str, str | int]
) -> str:
    """Returns rows and figures of each scenario.

    Args:
      outcomes: By the name of the scenario.
      facts: Name and value of what else a reader must know.
    """
    return json.dumps(
        {
            "facts": facts,
            "scenarios": {
                name: {
                    "promises": [
                        dataclasses.asdict(each) for each in outcome.promises()
                    ],
                    "outcome": _plain(outcome),
                }
                for name, outcome in outcomes.items()
            },
        },
        indent=2,
        allow_nan=False,
    )


def _plain(value: Any) -> Any:
    """Returns what JSON knows; not asdict(), which knows no Counter."""
    if dataclasses.is_dataclass(value):
        return {name: _plain(each) for name, each in vars(value).items()}
    if isinstance(value, collections.Counter | dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
