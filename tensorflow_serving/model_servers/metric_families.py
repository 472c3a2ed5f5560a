"""Metrics as values: families of series, their text, and their bytes.

Example:
    calls = metric_families.Family(
        "calls_total", "counter", "Calls.", labels=("model",)
    )
    calls.add(("m",), 3)
    metric_families.text([calls])

The text is the format of Prometheus, which its own client writes at 7 us a
line; a server of a thousand models has a hundred thousand lines.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

import dataclasses
import enum
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import orjson

from tensorflow_serving.model_servers import histograms

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPED: Final = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_ESCAPED_HELP: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})

Labels = tuple[str, ...]
# The value of a series; of a histogram the counts of its buckets, each on its
# own, and then the sum of all values.
Values = list[float]


class Combine(enum.Enum):
    """How series of several processes with the same labels become one."""

    SUM = "sum"
    MAX = "max"
    # They do not: each has another label, with the number of its process.
    APART = "apart"


@dataclasses.dataclass
class Family:
    """A metric, with a series for each choice of its labels."""

    # As it is shown: a counter's may end with _total, and need not.
    name: str
    # "counter", "gauge" or "histogram".
    kind: str
    help: str
    labels: Labels = ()
    combine: Combine = Combine.SUM
    # The upper bounds of a histogram; its last bucket has none.
    bounds: Sequence[float] = ()
    series: dict[Labels, Values] = dataclasses.field(default_factory=dict)

    def add(self, labels: Labels, value: float) -> None:
        """Adds to a series of a counter or a gauge."""
        found = self.series.setdefault(labels, [0])
        found[0] += value

    def add_histogram(
        self, labels: Labels, histogram: histograms.Histogram
    ) -> None:
        """Adds to a series of a histogram with the bounds of the family."""
        values = [*histogram.counts, histogram.total]
        self.series[labels] = summed(self.series.get(labels), values)

    def empty_copy(self) -> "Family":
        """Returns the family without its series."""
        return dataclasses.replace(self, series={})


def summed(one: Values | None, other: Values) -> Values:
    """Returns the sum of the values of two series."""
    if one is None:
        return other
    return [mine + its for mine, its in zip(one, other, strict=True)]


def text(families: Iterable[Family]) -> bytes:
    """Returns metrics in the format of Prometheus; see CONTENT_TYPE."""
    return b"".join("".join(_lines(each)).encode() for each in families)


def pack(families: Iterable[Family]) -> bytes:
    """Returns metrics for another process; see unpack()."""
    # Each by itself: a call of orjson keeps all other threads from running.
    return b"\n".join(orjson.dumps(_packed(each)) for each in families)


def unpack(data: bytes) -> list[Family]:
    """Returns the metrics that were packed."""
    return [_unpacked(*orjson.loads(line)) for line in data.splitlines()]


def _packed(family: Family) -> Sequence[Any]:
    return (
        family.name,
        family.kind,
        family.help,
        family.labels,
        family.combine.value,
        family.bounds,
        [*family.series],
        [*family.series.values()],
    )


def _unpacked(*fields: Any) -> Family:
    name, kind, explanation, labels, combine, bounds, keys, values = fields
    return Family(
        name,
        kind,
        explanation,
        tuple(labels),
        Combine(combine),
        tuple(bounds),
        dict(zip(map(tuple, keys), values, strict=True)),
    )


def _lines(family: Family) -> Iterator[str]:
    name = family.name
    yield f"# HELP {name} {family.help.translate(_ESCAPED_HELP)}\n"
    yield f"# TYPE {name} {family.kind}\n"
    if family.kind != "histogram":
        for labels, (value,) in family.series.items():
            shown = _label_text(family, labels)
            yield (
                f"{name}{{{shown}}} {value}\n" if shown else f"{name} {value}\n"
            )
        return
    ends = [
        f'le="{_bound_text(bound)}"}} '
        for bound in (*family.bounds, float("inf"))
    ]
    for labels, (*counts, total) in family.series.items():
        yield _histogram_lines(
            name, _label_text(family, labels), ends, counts, total
        )


def _histogram_lines(
    name: str,
    labels: str,
    ends: Sequence[str],
    counts: Sequence[float],
    total: float,
) -> str:
    """Returns a series; Prometheus wants counts of all up to a bound."""
    start = f"{name}_bucket{{{labels}," if labels else f"{name}_bucket{{"
    sums = [*itertools.accumulate(counts)]
    lines = [
        f"{start}{end}{count}\n" for end, count in zip(ends, sums, strict=True)
    ]
    shown = f"{{{labels}}}" if labels else ""
    return (
        f"{''.join(lines)}{name}_count{shown} {sums[-1]}\n"
        f"{name}_sum{shown} {total}\n"
    )


def _label_text(family: Family, labels: Labels) -> str:
    """Returns labels as they are shown, in the order of their names."""
    pairs = sorted(zip(family.labels, labels, strict=True))
    return ",".join(
        [f'{name}="{value.translate(_ESCAPED)}"' for name, value in pairs]
    )


def _bound_text(bound: float) -> str:
    """Returns a bound with six digits, in which the original writes it.

    Series with other texts would be others: dashboards could not add up the
    buckets of servers of both kinds.
    """
    return "+Inf" if math.isinf(bound) else f"{bound:g}"
