"""A picture of latency against load."""

import os
from collections.abc import Sequence

import matplotlib

# Draws without a screen.
matplotlib.use("Agg")

from matplotlib import pyplot

from tensorflow_serving.benchmarks import results


def latency_against_load(
    title: str,
    sweep: Sequence[results.Row],
    path: str | os.PathLike[str],
) -> None:
    """Draws p50 and p99 of open loads against answers a second.

    Args:
      title: Stands above the picture.
      sweep: The loads, from few to many calls.
      path: Where to write the PNG file.
    """
    rows = [row.overall for row in sweep]
    throughput = [row.answers_per_second for row in rows]
    figure, axes = pyplot.subplots(figsize=(8, 5))
    axes.plot(throughput, [row.p99_ms for row in rows], "o-", label="p99")
    axes.plot(throughput, [row.p50_ms for row in rows], "o-", label="p50")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter("{x:g}")
    axes.set_xlim(left=0)
    axes.set_xlabel("answers per second")
    axes.set_ylabel("latency from the intended start, ms")
    axes.set_title(title)
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
