"""Loads models as a server would, and says what came of it.

Example:
    with TrialLoad(options, models) as trial:
        trial.wait([servable.ServableId("m", 1)])
        print(trial.table())
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import tabulate
from typing_extensions import Self

from tensorflow_serving.apis import model_pb2
from tensorflow_serving.core import servable
from tensorflow_serving.model_servers import model_configs, server_core
from tensorflow_serving.servables.tensorflow import signature_defs
from tensorflow_serving.tensorflow_c import data_type
from tensorflow_serving.tensorflow_c.protos import meta_graph_pb2

_HEADERS: Final = ("model", "version", "signature", "inputs", "outputs")
_AVAILABLE: Final = servable.ManagerState.AVAILABLE
_END: Final = servable.ManagerState.END


class TrialLoad:
    """Models that are loaded and warmed up, for nobody to call.

    A context manager that closes itself, and then waits for loads.
    """

    def __init__(
        self,
        options: server_core.Options,
        models: model_configs.Models,
    ) -> None:
        """Starts to load.

        Args:
          options: As for the server. The time that loads may take, if any, is
            their model_load_timeout_seconds.
          models: Which models.
        """
        self._timeout_seconds = options.model_load_timeout_seconds
        self._core = server_core.ServerCore(options, models)
        # Those that wait() was given.
        self._ids: Sequence[servable.ServableId] = ()

    def wait(self, ids: Sequence[servable.ServableId]) -> None:
        """Waits until each version has been loaded, or has failed."""
        self._ids = ids
        self._core.news.wait_until(
            lambda: not self.is_loading, self._timeout_seconds
        )

    @property
    def is_loading(self) -> bool:
        """Whether a version has neither been loaded nor failed."""
        return not all(map(_is_final, self._states().values()))

    def problems(self) -> Iterator[str]:
        """Yields which versions do not serve, or have a flaw, and why."""
        for each, state in self._states().items():
            if state is None or not state.is_available:
                yield (
                    f"model {each.name}: version {each.version} must become "
                    f"AVAILABLE; got {state or 'no sign of it'}"
                )
            elif state.warning:
                yield (
                    f"model {each.name}: version {each.version} can be "
                    f"served, but has a flaw: {state.warning}"
                )

    def table(self) -> str:
        """Returns what can be called: models, versions and signatures."""
        return tabulate.tabulate(
            [*self._rows()], _HEADERS, disable_numparse=True
        )

    def close(self) -> None:
        """Unloads; waits for loads. Idempotent."""
        self._core.close()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Closes itself."""
        self.close()

    def _states(
        self,
    ) -> Mapping[servable.ServableId, servable.ServableState | None]:
        return {
            each: self._core.states(each.name).get(each.version)
            for each in self._ids
        }

    def _rows(self) -> Iterator[Sequence[str]]:
        """Yields a line for each signature of each version that was loaded."""
        for each, state in self._states().items():
            if state is None or not state.is_available:
                continue
            spec = model_pb2.ModelSpec(name=each.name)
            spec.version.value = each.version
            with self._core.handle(spec) as handle:
                signatures = handle.servable.signature_defs
                for name in signature_defs.names_for_callers(signatures):
                    yield (
                        each.name,
                        str(each.version),
                        name,
                        _tensors(signatures[name].inputs),
                        _tensors(signatures[name].outputs),
                    )


def _is_final(state: servable.ServableState | None) -> bool:
    return state is not None and state.manager_state in (_AVAILABLE, _END)


def _tensors(infos: Mapping[str, meta_graph_pb2.TensorInfo]) -> str:
    return ", ".join(f"{key}: {_text(infos[key])}" for key in sorted(infos))


def _text(info: meta_graph_pb2.TensorInfo) -> str:
    """Returns dtype and shape, such as float32 [?, 784]."""
    dtype = data_type.name(info.dtype)
    shape = info.tensor_shape
    if shape.unknown_rank:
        return f"{dtype} of any rank"
    sizes = ("?" if dim.size < 0 else str(dim.size) for dim in shape.dim)
    return f"{dtype} [{', '.join(sizes)}]"
