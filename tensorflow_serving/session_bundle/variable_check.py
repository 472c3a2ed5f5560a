"""Finds variables that a model reads and a load has left unset.

TensorFlow says so only when such a variable is read: a model could take the
place of a good one, and then fail every call.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from tensorflow_serving.session_bundle import (
    object_checkpoint,
    signature_runs,
)
from tensorflow_serving.tensorflow_c import graph as graph_lib
from tensorflow_serving.tensorflow_c import session
from tensorflow_serving.util import errors

# The operation that tells whether a variable is set, by the type of the
# variable.
_CHECKS: Final = {
    "VarHandleOp": "VarIsInitializedOp",
    "Variable": "IsVariableInitialized",
    "VariableV2": "IsVariableInitialized",
}
_PREFIX: Final = "tensorflow_serving/is_set/"


class VariableCheck:
    """Operations that show which variables of a graph are set."""

    def __init__(
        self,
        graph: graph_lib.Graph,
        runs: Iterable[signature_runs.SignatureRun],
    ) -> None:
        """Adds the operations to a graph that no session has run yet.

        Args:
          graph: What was loaded.
          runs: Variables that they read must be set. A run that may have an
            effect is left out: it may set what it reads.
        """
        names: set[str] = set()
        if graph.content.graph.ops & _CHECKS.keys():
            for run in runs:
                names.update(_variables(graph, run))
        # The names of variables and of the tensors that tell about them.
        self._checks: dict[str, str] = {}
        for index, name in enumerate(sorted(names)):
            check = f"{_PREFIX}{index}"
            graph.add_operation(
                _CHECKS[graph.op_type(name)], check, [f"{name}:0"]
            )
            self._checks[name] = f"{check}:0"

    def require_set(self, opened: session.Session, prefix: str | None) -> None:
        """Checks that the variables are set, once those that can be are.

        tf.saved_model.save() of a Keras 3 model writes a restore op that sets
        other variables than those that its signatures read. The checkpoint has
        the values of these too, by the names of objects.

        Args:
          opened: A session on the graph, restored and initialized.
          prefix: The path of its checkpoint without ".index"; None for none.

        Raises:
          FailedPreconditionError: A variable is not set. Permanent.
        """
        unset = self._unset(opened)
        cause = "there is no checkpoint"
        if unset and prefix is not None:
            try:
                object_checkpoint.set_variables(opened, unset, prefix)
                unset = self._unset(opened)
            except errors.ServingError as error:
                cause = str(error)
        if unset:
            raise errors.FailedPreconditionError(
                "Variables that a signature reads must be set by the restore "
                f"op or the init op; got {len(unset)} that are not, such as "
                f"{unset[0]} ({cause}. A Keras model can be exported anew with "
                "model.export().)"
            )

    def _unset(self, opened: session.Session) -> list[str]:
        """Returns the names of the operations of variables that are not set."""
        if not self._checks:
            return []
        values = opened.run(list(self._checks.values()))
        return [
            name
            for name, is_set in zip(self._checks, values, strict=True)
            if not is_set
        ]


def _variables(
    graph: graph_lib.Graph, run: signature_runs.SignatureRun
) -> Iterator[str]:
    """Yields the names of the operations of variables that a run reads."""
    try:
        if not run.effects(graph):
            yield from graph.reached(run.fetches, run.feeds, _CHECKS.keys())
    except errors.InvalidArgumentError:
        # Running the signature reports which tensor is not in the graph.
        return
