"""Closed loads made by h2load, a C program that takes little of the CPU.

It comes with nghttp2: Debian package nghttp2-client.
https://nghttp2.org/documentation/h2load.1.html

h2load looks at HTTP statuses, and every gRPC error is HTTP 200. It does count
the bytes of answers, of which an error has none.
"""

import os
import re
import shutil
import subprocess
import tempfile

import numpy as np

from tensorflow_serving.benchmarks import loads
from tensorflow_serving.util import errors

_SUCCEEDED = re.compile(r"(\d+) succeeded")
_DATA_BYTES = re.compile(r"\((\d+)\) data")

_HTTP_OK = 200
_GRPC = ("-Hcontent-type: application/grpc", "-Hte: trailers")
_REST = ("-Hcontent-type: application/json", "--h1")


def is_installed() -> bool:
    """Returns whether h2load is on the PATH."""
    return shutil.which("h2load") is not None


def run(target: loads.Target, load: loads.ClosedLoad) -> loads.Calls:
    """Makes a load; returns once every call has ended.

    Raises:
      InternalError: h2load fails.
      UnavailableError: The server cannot be reached.
    """
    with tempfile.TemporaryDirectory(prefix="h2load_") as folder:
        log = os.path.join(folder, "log")
        h2load = subprocess.run(
            command(target, load, log),
            capture_output=True,
            text=True,
            check=False,
        )
        if h2load.returncode:
            raise errors.InternalError(
                f"h2load must exit with 0; got {h2load.returncode}: "
                f"{h2load.stderr}"
            )
        return to_calls(log, h2load.stdout, target, load)


def command(
    target: loads.Target, load: loads.ClosedLoad, log: str
) -> list[str]:
    """Returns the command for a load."""
    num_connections = (
        load.concurrency if target.is_rest else load.num_connections
    )
    return [
        "h2load",
        f"-D{round(load.seconds * 1000)}ms",
        f"-c{num_connections}",
        f"-m{load.concurrency // num_connections}",
        f"-d{target.body_path}",
        *(_REST if target.is_rest else _GRPC),
        f"--log-file={log}",
        f"http://{target.address}{target.method}",
    ]


def to_calls(
    log: str, summary: str, target: loads.Target, load: loads.ClosedLoad
) -> loads.Calls:
    """Returns the calls of a log.

    Its columns are the start in microseconds since the epoch, the HTTP status
    or -1, and the microseconds until the end.

    Args:
      log: The path of the log.
      summary: What h2load printed.
      target: Where the load went.
      load: The load.

    Raises:
      DataLossError: The log or the summary has another form.
      UnavailableError: There was no answer.
    """
    with open(log, "rb") as file:
        lines = file.read().splitlines()
    if not lines:
        raise errors.UnavailableError(
            f"{target.name} must answer at {target.address}; got no answer"
        )
    try:
        # "More columns may be added later", says its documentation.
        columns = [line.split(b"\t")[:3] for line in lines]
        rows = np.array(columns, np.int64).reshape(-1, 3)
    except ValueError as error:
        raise errors.DataLossError(
            f"log of h2load must have 3 columns of numbers; got {error}"
        ) from None
    start, status, micros = rows.T
    done_seconds = (start + micros - start.min()) / 1e6
    codes = np.full(len(rows), errors.StatusCode.UNKNOWN, np.int16)
    codes[status == _HTTP_OK] = errors.StatusCode.OK
    codes[status == -1] = errors.StatusCode.UNAVAILABLE
    return loads.Calls(
        begin_time=start.min() / 1e6,
        seconds=load.seconds,
        latency_seconds=micros / 1e6,
        late_seconds=np.zeros(len(rows)),
        done_seconds=done_seconds,
        codes=codes,
        num_unanswered=_num_unanswered(summary, target),
    )


def _num_unanswered(summary: str, target: loads.Target) -> int:
    """Returns how many calls had no answer though HTTP calls them good."""
    requests = _SUCCEEDED.search(summary)
    data = _DATA_BYTES.search(summary)
    if not requests or not data:
        raise errors.DataLossError(
            "h2load must print a summary; got none: " + summary
        )
    num_succeeded, num_bytes = int(requests[1]), int(data[1])
    if target.framed_answer_bytes:
        return max(0, num_succeeded - num_bytes // target.framed_answer_bytes)
    return 0 if num_bytes else num_succeeded
