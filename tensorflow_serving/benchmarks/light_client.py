"""Loads made by load_client, in a process of its own."""

import os
import subprocess
import tempfile

from tensorflow_serving.benchmarks import calls, loads
from tensorflow_serving.util import errors

# The program stands beside this module.
_PROGRAM = os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "load_client"
)


class LightClient:
    """Implements loads.LoadGenerator, and makes open loads. Thread-safe.

    It sees the status of each call and checks each answer. A target must be the
    method of workload.CLASSIFY.
    """

    name = "load_client"

    def __init__(self, workload_path: str, deadline_seconds: float) -> None:
        """Takes a file of workload.Workload.save(), and what calls may take."""
        self._workload_path = workload_path
        self._deadline_seconds = deadline_seconds

    def run(self, target: loads.Target, load: loads.ClosedLoad) -> calls.Calls:
        """See LoadGenerator."""
        return self._run(
            target,
            f"--concurrency={load.concurrency}",
            f"--seconds={load.seconds}",
            f"--num_calls={load.num_calls}",
        )

    def run_open(
        self, target: loads.Target, load: loads.OpenLoad, seed: int
    ) -> calls.Calls:
        """Makes an open load; returns once every call has ended.

        Args:
          target: Where it goes.
          load: The load.
          seed: Decides when calls start.

        Raises:
          UnavailableError: The server cannot be reached.
        """
        return self._run(
            target,
            f"--rate={load.rate}",
            f"--seconds={load.seconds}",
            f"--seed={seed}",
        )

    def _run(self, target: loads.Target, *flags: str) -> calls.Calls:
        with tempfile.TemporaryDirectory(prefix="load_client_") as folder:
            output = os.path.join(folder, "calls")
            client = subprocess.run(
                [
                    _PROGRAM,
                    f"--server={target.address}",
                    f"--workload={self._workload_path}",
                    f"--deadline_seconds={self._deadline_seconds}",
                    f"--output={output}",
                    *flags,
                ],
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
            if client.returncode:
                raise errors.UnavailableError(
                    f"load_client must exit with 0; got {client.returncode}: "
                    f"{client.stderr.strip()}"
                )
            return calls.load(output)
