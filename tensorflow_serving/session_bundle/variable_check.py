"""Finds variables that a model reads and a load has left unset.

TensorFlow says so only when such a variable is read: a model could take the
place of a good one, and then fail every call.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
# Names of operations that are added to the graph.
_PREFIX: Final = "tensorflow_serving/is_set/"
_PREFIX_OF_SECOND: Final = "tensorflow_serving/is_set_now/"


class VariableCheck:
    """Operations that show which variables of a graph are set."""

    def __init__(
        self,
        graph: graph_lib.Graph,
        runs: Iterable[signature_runs.SignatureRun],
        last: str | None = None,
    ) -> None:
        """Adds the operations to a graph that no session has run yet.

        Args:
          graph: What was loaded.
          runs: Variables that they read must be set. A run that may have an
            effect is left out: it may set what it reads.
          last: The operation that sets variables after all others have, and
            that run() is going to run; None if none does.

        Raises:
          InvalidArgumentError: There is no such operation. Permanent.
        """
        names: set[str] = set()
        if graph.content.graph.ops & _CHECKS.keys():
            for run in runs:
                names.update(_variables(graph, run))
        self._checks = _add_checks(
            graph, sorted(names), _PREFIX, [last] if last else []
        )
        self._last = last
        # The variables that were found to be unset; None before.
        self._unset: list[str] | None = None

    def run(
        self,
        opened: session.Session,
        operation: str,
        feeds: Mapping[str, bytes],
    ) -> None:
        """Runs an operation that sets variables.

        If it is the last one, the variables are looked at in the same run, as
        TensorFlow takes long to prepare another one.

        Args:
          opened: A session on the graph.
          operation: The name of the operation.
          feeds: Values of tensors, by name.

        Raises:
          ServingError: See Session.run().
        """
        if operation == self._last:
            self._unset = _unset(opened, self._checks, [operation], feeds)
        else:
            opened.run([operation], feeds)

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
        unset = self._unset
        if unset is None:
            unset = _unset(opened, self._checks)
        cause = "there is no checkpoint"
        if unset and prefix is not None:
            try:
                object_checkpoint.set_variables(opened, unset, prefix)
                unset = _unset(
                    opened, _add_checks(opened.graph, unset, _PREFIX_OF_SECOND)
                )
            except errors.ServingError as error:
                cause = str(error)
        if unset:
            raise errors.FailedPreconditionError(
                "Variables that a signature reads must be set by the restore "
                f"op or the init op; got {len(unset)} that are not, such as "
                f"{unset[0]} ({cause}. A Keras model can be exported anew with "
                "model.export().)"
            )


def _add_checks(
    graph: graph_lib.Graph,
    names: Iterable[str],
    prefix: str,
    after: Sequence[str] = (),
) -> dict[str, str]:
    """Returns names of variables, and of tensors that tell about them.

    Args:
      graph: Gets the operations of these tensors.
      names: The operations of the variables.
      prefix: Begins the names of the new operations.
      after: Operations that a run must have done before.
    """
    checks = {}
    for index, name in enumerate(names):
        check = f"{prefix}{index}"
        graph.add_operation(
            _CHECKS[graph.op_type(name)], check, [f"{name}:0"], after=after
        )
        checks[name] = f"{check}:0"
    return checks


def _unset(
    opened: session.Session,
    checks: Mapping[str, str],
    operations: Sequence[str] = (),
    feeds: Mapping[str, bytes] = {},
) -> list[str]:
    """Returns the names of the operations of variables that are not set.

    Args:
      opened: A session on the graph.
      checks: See _add_checks().
      operations: What to run in the same run.
      feeds: Values of tensors, by name.
    """
    values = opened.run([*operations, *checks.values()], feeds)
    return [
        name
        for name, is_set in zip(checks, values[len(operations) :], strict=True)
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
