"""Which metrics and labels an expression of Prometheus names.

Example:
    promql.names('sum by (model) (rate(calls_total{status!="OK"}[5m]))')

It does not check the grammar: an expression that Prometheus refuses may have
names, too.

The format: https://prometheus.io/docs/prometheus/latest/querying/basics/.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from typing import Final

_TOKEN: Final = re.compile(
    r'(?P<text>"(?:[^"\\]|\\.)*")|(?P<range>\[[^\]]*\])'
    r"|(?P<name>[a-zA-Z_:][\w:]*)|(?P<number>[\d.]+\w*)|(?P<other>[^\s\w])"
)
_MATCHER: Final = re.compile(
    r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)'
)
_GROUPINGS: Final = {
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
}
_AGGREGATIONS: Final = {
    "avg",
    "bottomk",
    "count",
    "max",
    "min",
    "quantile",
    "stddev",
    "sum",
    "topk",
}
_OPERATORS: Final = {"and", "or", "unless", "bool", "offset", "inf", "nan"}


@dataclasses.dataclass(frozen=True)
class Matcher:
    """A condition on a label."""

    label: str
    # Such as "=~".
    operator: str
    value: str


@dataclasses.dataclass(frozen=True)
class Selector:
    """The name of a metric, with conditions."""

    metric: str
    matchers: tuple[Matcher, ...] = ()


@dataclasses.dataclass(frozen=True)
class Names:
    """All names of an expression."""

    selectors: Sequence[Selector]
    # The labels by which series are grouped or matched.
    groupings: frozenset[str]


def names(expression: str) -> Names:
    """Returns the names of an expression."""
    selectors = []
    groupings: set[str] = set()
    plain = ""
    matchers = {}
    # Braces hold nothing but matchers; each is replaced by a name for them.
    for index, part in enumerate(re.split(r"\{([^}]*)\}", expression)):
        if index % 2:
            matchers[index] = tuple(
                Matcher(*found) for found in _MATCHER.findall(part.strip())
            )
            plain += f" {{{index}}} "
        else:
            plain += part
    for name, following, group in _named(plain):
        if name in _GROUPINGS:
            groupings.update(re.findall(r"\w+", group))
        elif name not in _OPERATORS and following != "(":
            own = matchers[int(group)] if following == "{" else ()
            selectors.append(Selector(name, own))
    return Names(selectors, frozenset(groupings))


def _named(expression: str) -> Iterator[tuple[str, str, str]]:
    """Yields each name, what follows, and what is in the parentheses then.

    Names that are followed by a grouping are functions, as before parentheses.
    """
    position = 0
    while match := _TOKEN.search(expression, position):
        position = match.end()
        name = match["name"]
        if not name:
            continue
        rest = expression[position:].lstrip()
        if name in _GROUPINGS:
            group = re.match(r"\(([^)]*)\)", rest)
            inside = group[1] if group else ""
            if group:
                position = len(expression) - len(rest) + group.end()
            yield name, "(", inside
        elif re.match(rf"(?:{'|'.join(sorted(_GROUPINGS))})\b", rest) and (
            name in _AGGREGATIONS
        ):
            yield name, "(", ""
        elif found := re.match(r"\{(\d+)\}", rest):
            position = len(expression) - len(rest) + found.end()
            yield name, "{", found[1]
        else:
            yield name, rest[:1], ""
