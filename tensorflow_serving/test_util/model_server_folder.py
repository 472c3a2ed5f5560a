"""Models in a folder, and a model server that serves them.

Example:
    folder = self.enter_context(model_server_folder.ModelServerFolder())
    folder.write("m", 1)
    config = folder.write_config("m")
    server = folder.start(program, f"--model_config_file={config}")
    with server:
        server.wait_for_log("{name: m version: 1} is AVAILABLE")
        channel = grpc.insecure_channel(folder.address)
"""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator

from google.protobuf import text_format
from typing_extensions import Self

from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.test_util import written_models
from tensorflow_serving.util import server_process


def _write_half_plus_two(path: str) -> str:
    return written_models.copy(written_models.SAVED_MODEL_TF2, path)


class ModelServerFolder:
    """A folder with a base path for each model, and with the server's socket.

    A context manager that removes the folder.
    """

    def __init__(self) -> None:
        """Makes an empty folder."""
        # The path of a socket has at most 107 bytes.
        self._folder = tempfile.TemporaryDirectory(dir="/tmp")
        self.path = self._folder.name
        # Where servers that this folder starts listen.
        self.address = f"unix:{self.path}/socket"

    def base_path(self, name: str) -> str:
        """Returns the base path of a model, whether it is there or not."""
        return os.path.join(self.path, name)

    def write(
        self,
        name: str,
        version: int = 1,
        write: Callable[[str], object] = _write_half_plus_two,
    ) -> str:
        """Puts a version below the base path of a model, as a whole.

        Args:
          name: The name of the model.
          version: The name of the folder.
          write: Makes a folder and writes a version to it.

        Returns:
          The folder of the version.
        """
        path = os.path.join(self.base_path(name), str(version))
        temporary = os.path.join(self.path, f"{name}-{version}-tmp")
        write(temporary)
        os.makedirs(self.base_path(name), exist_ok=True)
        os.rename(temporary, path)
        return path

    def config(
        self, *names: str, more: str = ""
    ) -> model_server_config_pb2.ModelServerConfig:
        """Returns the configuration of some models.

        Args:
          *names: The names of the models.
          more: Further fields of each ModelConfig, in text format.
        """
        config = model_server_config_pb2.ModelServerConfig()
        config.model_config_list.SetInParent()
        for name in names:
            model = config.model_config_list.config.add(
                name=name,
                base_path=self.base_path(name),
                model_platform="tensorflow",
            )
            text_format.Merge(more, model)
        return config

    def write_config(self, *names: str, more: str = "") -> str:
        """Writes a configuration, as a whole; returns the path of the file.

        Args:
          *names: The names of the models.
          more: See config().
        """
        path = os.path.join(self.path, "models.config")
        with open(f"{path}-tmp", "w", encoding="utf-8") as file:
            file.write(str(self.config(*names, more=more)))
        os.rename(f"{path}-tmp", path)
        return path

    def command(self, program: str, *flags: str) -> list[str]:
        """Returns the command of a server that soon sees new versions."""
        return [
            program,
            "--port=0",
            f"--grpc_socket_path={self.address.removeprefix('unix:')}",
            "--file_system_poll_wait_seconds=0.1",
            *flags,
        ]

    def start(
        self,
        program: str,
        *flags: str,
        on_log_line: Callable[[str], object] | None = None,
    ) -> server_process.ServerProcess:
        """Starts a server, whose log can be waited for; see ServerProcess."""
        return server_process.ServerProcess(
            self.command(program, *flags),
            collects_log=True,
            on_log_line=on_log_line,
        )

    @contextlib.contextmanager
    def serving(
        self,
        program: str,
        name: str,
        *flags: str,
        on_log_line: Callable[[str], object] | None = None,
    ) -> Iterator[server_process.ServerProcess]:
        """Runs a server of one model, once it has version 1 of that."""
        with self.start(
            program,
            f"--model_name={name}",
            f"--model_base_path={self.base_path(name)}",
            *flags,
            on_log_line=on_log_line,
        ) as server:
            server.wait_for_log(f"{{name: {name} version: 1}} is AVAILABLE")
            yield server

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Removes the folder."""
        self._folder.cleanup()
