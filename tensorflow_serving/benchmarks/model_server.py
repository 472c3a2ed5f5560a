"""Our model server, with further flags and a log that people may ask for.

Example:
    flags.adopt_module_key_flags(model_server)  # shows both flags in --help
    with model_server.start(config_path, work) as server:
        server.wait_for_log("is AVAILABLE")
"""

import shlex

from absl import flags

from tensorflow_serving.benchmarks import served, workload

_FLAGS = flags.DEFINE_string(
    "server_flags",
    "",
    "Flags of tensorflow_model_server, such as --enable_batching.",
)
_LOG = flags.DEFINE_string(
    "server_log", None, "The file that the server logs to; by default nowhere."
)


def start(
    config_path: str, work: workload.Work, *own_flags: str
) -> served.Served:
    """Starts a server that soon sees new versions; see Served.

    Args:
      config_path: The file with its models.
      work: The requests that it gets and the right answers.
      *own_flags: Flags of the program that starts it.
    """
    return served.Served(
        [
            served.program("model_servers", "tensorflow_model_server"),
            f"--model_config_file={config_path}",
            "--file_system_poll_wait_seconds=0.25",
            *own_flags,
            *shlex.split(_FLAGS.value),
        ],
        work,
        _LOG.value,
    )
