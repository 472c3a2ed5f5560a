"""Results as text for people, and as JSON for programs."""

import collections
import dataclasses
import json
import math
from collections.abc import Sequence

import tabulate

from tensorflow_serving.benchmarks import figures, results

_UNKNOWN = "-"

_COLUMNS = (
    "load",
    "server",
    "made by",
    "calls/s",
    "answers/s",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "p99.9 ms",
    "late ms",
    "errors",
    "checked",
    "wrong",
    "batch",
    "queue ms",
    "run ms",
    "CPU s/1k",
    "MB",
)


def to_text(found: results.Results) -> str:
    """Returns tables and lines, as README.md explains them."""
    parts = [
        f"{found.model}, server flags: {found.server_flags or '(none)'}",
        ", ".join(f"{name} {value}" for name, value in found.facts.items()),
        _table(found.rows),
    ]
    if ratios := found.ratios():
        parts.append(_ratios_table(ratios))
    parts.append("\n".join(_lines(found)))
    for title, rows in (
        ("Open loads, once each", found.sweep),
        ("Overload", [found.overload] if found.overload else []),
        ("Soak", found.soak),
    ):
        if rows:
            parts.append(f"{title}:\n{_table(rows)}")
    return "\n\n".join(parts) + "\n"


def to_json(found: results.Results) -> str:
    """Returns everything: each round, medians, and what they are from."""
    return json.dumps(
        {
            "model": found.model,
            "server_flags": found.server_flags,
            "facts": found.facts,
            "in_process_images_per_second": found.in_process,
            "capacity": found.capacity,
            "rows": [_row_object(row) for row in found.rows],
            "ratios": [
                _finite(dataclasses.asdict(ratio)) for ratio in found.ratios()
            ],
            "sweep": [_row_object(row) for row in found.sweep],
            "overload": _row_object(found.overload) if found.overload else None,
            "soak": [_row_object(row) for row in found.soak],
        },
        indent=2,
        allow_nan=False,
    )


def _lines(found: results.Results) -> list[str]:
    """Returns what is a line of its own."""
    lines = [
        f"Capacity: {found.capacity:.0f} answers/s, of the best closed load "
        "by load_client"
    ]
    if found.in_process:
        best = max(found.in_process, key=lambda size: found.in_process[size])
        limit = found.in_process_limit
        lines.append(
            f"In-process limit: {limit:.0f} images/s by session.run at batch "
            f"size {best}"
        )
        lines += [
            f"{row.load} ({row.generator}) / limit: "
            f"{row.overall.answers_per_second / limit:.3f}"
            for row in found.rows
            if row.target == results.OURS and row.load.startswith("closed")
        ]
    if found.overload:
        overall = found.overload.overall
        lines.append(
            f"Overload: {overall.offered_per_second:.0f} calls/s; goodput / "
            f"capacity: {overall.answers_per_second / found.capacity:.3f}"
        )
    if found.soak:
        first, last = (row.overall.resident_mb for row in found.soak)
        assert first is not None and last is not None
        lines.append(
            f"Soak: resident memory {first:.0f} MB, then {last:.0f} MB; ratio: "
            f"{last / first:.3f}"
        )
    return lines


def _table(rows: Sequence[results.Row]) -> str:
    return tabulate.tabulate(
        [_cells(row) for row in rows],
        headers=_COLUMNS,
        missingval=_UNKNOWN,
        # Numbers are texts already, with the digits that mean something.
        disable_numparse=True,
        colalign=["left"] * 3 + ["right"] * (len(_COLUMNS) - 3),
    )


def _ratios_table(ratios: Sequence[results.Ratios]) -> str:
    return tabulate.tabulate(
        [
            (
                ratio.load,
                f"{results.OURS} / {ratio.target}",
                _number(ratio.throughput, 3),
                _number(ratio.p50, 3),
                _number(ratio.p99, 3),
            )
            for ratio in ratios
        ],
        headers=("load", "ratio", "answers/s", "p50", "p99"),
        disable_numparse=True,
    )


def _cells(row: results.Row) -> list[str]:
    overall = row.overall
    timing = overall.timing
    is_open = row.load.startswith("open")
    return [
        row.load,
        row.target,
        row.generator,
        _number(overall.offered_per_second, 0),
        _number(overall.answers_per_second, 0),
        _number(overall.p50_ms, 2),
        _number(overall.p90_ms, 2),
        _number(overall.p99_ms, 2),
        _number(overall.p999_ms, 2),
        _number(overall.late_p99_ms if is_open else None, 2),
        _errors(overall.errors),
        f"{overall.num_checked}",
        f"{overall.num_wrong}",
        _number(timing.batch_size if timing else None, 1),
        _number(timing.queue_micros / 1000 if timing else None, 2),
        _number(timing.run_micros / 1000 if timing else None, 2),
        _number(overall.cpu_seconds_per_1000, 3),
        _number(overall.resident_mb, 0),
    ]


def _number(value: float | None, num_digits: int) -> str:
    if value is None or math.isnan(value):
        return _UNKNOWN
    return f"{value:.{num_digits}f}"


def _errors(errors: collections.Counter[str]) -> str:
    """Returns "0", or "3: UNAVAILABLE 2, UNKNOWN 1"."""
    if not errors:
        return "0"
    parts = [f"{name} {count}" for name, count in errors.most_common()]
    return f"{errors.total()}: {', '.join(parts)}"


def _row_object(row: results.Row) -> dict[str, object]:
    return {
        "target": row.target,
        "load": row.load,
        "generator": row.generator,
        "rounds": [_figures_object(each) for each in row.rounds],
        "overall": _figures_object(row.overall),
    }


def _figures_object(measured: figures.Figures) -> dict[str, object]:
    # Not asdict(), which knows no Counter.
    timing = measured.timing
    return _finite(
        {**vars(measured), "timing": dataclasses.asdict(timing)}
        if timing
        else vars(measured)
    )


def _finite(values: dict[str, object]) -> dict[str, object]:
    """Returns the values with None for NaN, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in values.items()
    }
