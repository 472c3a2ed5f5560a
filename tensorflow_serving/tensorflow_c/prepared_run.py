"""A run of which all is prepared that does not depend on the values."""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c import library, status, tensor
from tensorflow_serving.util import errors


class PreparedRun:
    """Feeds and fetches, in the form that the C API wants.

    A tensor that is both fed and fetched does not go through the graph.

    Thread-safe.
    """

    def __init__(
        self,
        graph: graph_lib.Graph,
        fetches: Sequence[str],
        feeds: Sequence[str],
        *,
        hides_values: bool = False,
    ) -> None:
        """Looks the names up.

        Args:
          graph: Must stay open as long as this is called.
          fetches: Names of tensors ("y:0"), or of operations that are run.
          feeds: Names of tensors.
          hides_values: Whether errors of runs must have no values; see
            status.to_run_error().

        Raises:
          InvalidArgumentError: A name is not in the graph, or arrays cannot
            have the type of the tensor. Permanent.
        """
        functions = library.load().functions
        self._hides_values = hides_values
        self._session_run = functions.TF_SessionRun
        self._delete_tensor = functions.TF_DeleteTensor
        names = dict.fromkeys(
            name for name in fetches if ":" in name and name not in feeds
        )
        operations = [name for name in fetches if ":" not in name]
        fed = [graph.output(name) for name in feeds]
        fetched = [graph.output(name) for name in names]
        self._new_tensor = [
            tensor.converter(graph.output_type(output)).new_tensor
            for output in fed
        ]
        self._take_array = [
            tensor.converter(graph.output_type(output)).take_array
            for output in fetched
        ]
        self._feeds = (library.Output * len(fed))(*fed)
        self._fetches = (library.Output * len(fetched))(*fetched)
        self._operations = (ctypes.c_void_p * len(operations))(
            *map(graph.operation, operations)
        )
        self._feeds_address = ctypes.addressof(self._feeds)
        self._fetches_address = ctypes.addressof(self._fetches)
        self._num_fetches = len(fetched)
        self._num_operations = len(operations)
        self._order = _order(fetches, list(feeds), list(names))
        # A run takes one, and leaves it for the next run.
        self._workspaces: list[_Workspace] = []

    def __call__(
        self, session: int, arrays: Sequence[npt.NDArray[Any]]
    ) -> list[Any]:
        """Runs a session, and returns the values of the fetches.

        Args:
          session: A TF_Session on the graph, which stays open meanwhile.
          arrays: A value for each feed, of its dtype.

        Raises:
          InvalidArgumentError: There are too many feeds, or too few, or one has
            another dtype. Permanent.
          ServingError: What the graph raised, with its code.
        """
        if len(arrays) != len(self._new_tensor):
            raise errors.InvalidArgumentError(
                "fetches and feeds must fit the graph; got "
                f"{len(arrays)} feeds instead of {len(self._new_tensor)}"
            )
        if not self._num_fetches and not self._num_operations:
            return self._chosen((), arrays)
        try:
            workspace = self._workspaces.pop()
        except IndexError:
            workspace = _Workspace(len(self._feeds), len(self._fetches))
        values = self._run(session, arrays, workspace)
        # If something was raised, it is thrown away.
        self._workspaces.append(workspace)
        return values if self._order is None else self._chosen(values, arrays)

    def _run(
        self,
        session: int,
        arrays: Sequence[npt.NDArray[Any]],
        workspace: "_Workspace",
    ) -> list[Any]:
        """Returns the value of each tensor that is fetched from the graph."""
        delete = self._delete_tensor
        inputs, outputs = workspace.inputs, workspace.outputs
        num_inputs = 0
        result = status.acquire()
        try:
            for new_tensor in self._new_tensor:
                inputs[num_inputs] = new_tensor(arrays[num_inputs])
                num_inputs += 1
            self._session_run(
                session,
                None,
                self._feeds_address,
                workspace.inputs_address,
                num_inputs,
                self._fetches_address,
                workspace.outputs_address,
                self._num_fetches,
                self._operations,
                self._num_operations,
                None,
                result.pointer,
            )
            result.check(hides_values=self._hides_values)
        finally:
            status.release(result)
            for index in range(num_inputs):
                delete(inputs[index])
        return self._take_values(outputs)

    def _take_values(self, outputs: Any) -> list[Any]:
        """Returns the values of tensors, which are freed.

        Args:
          outputs: An array of pointers to them.
        """
        values: list[Any] = []
        try:
            for take_array in self._take_array:
                values.append(take_array(outputs[len(values)]))
        except BaseException:
            # The one that failed has its owner, or is lost with its memory.
            for pointer in outputs[len(values) + 1 :]:
                self._delete_tensor(pointer)
            raise
        return values

    def _chosen(
        self, values: Sequence[Any], arrays: Sequence[npt.NDArray[Any]]
    ) -> list[Any]:
        """Returns the value of each fetch; see _order()."""
        chosen: list[Any] = []
        for index in self._order or ():
            if index is None:
                chosen.append(None)
            elif index >= 0:
                chosen.append(values[index])
            else:
                chosen.append(np.asarray(arrays[index]))
        return chosen


class _Workspace:
    """Room for the pointers to the tensors of a run."""

    __slots__ = ("inputs", "inputs_address", "outputs", "outputs_address")

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        self.inputs = (ctypes.c_void_p * num_inputs)()
        self.outputs = (ctypes.c_void_p * num_outputs)()
        self.inputs_address = ctypes.addressof(self.inputs)
        self.outputs_address = ctypes.addressof(self.outputs)


def _order(
    fetches: Sequence[str], feeds: Sequence[str], fetched: Sequence[str]
) -> list[int | None] | None:
    """Returns where the value of each fetch is.

    Returns:
      An index of fetched; a negative index of feeds; or None for an operation.
      None instead of the list if all are fetched, in their order.
    """
    if list(fetches) == list(fetched):
        return None
    indices: dict[str, int] = {name: i for i, name in enumerate(fetched)}
    indices |= {name: i - len(feeds) for i, name in enumerate(feeds)}
    return [indices.get(name) for name in fetches]
