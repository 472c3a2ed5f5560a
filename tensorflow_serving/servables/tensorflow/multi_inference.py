"""MultiInference: several signatures about the same examples, in one run."""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from tensorflow_serving.apis import inference_pb2
from tensorflow_serving.servables.tensorflow import (
    classify,
    examples,
    inference,
    regress,
    signature_defs,
)
from tensorflow_serving.util import errors


def begin(
    version: inference.Version, request: inference_pb2.MultiInferenceRequest
) -> inference.Inference:
    """Returns the run that a request asks for.

    Raises:
      InvalidArgumentError: A task names no model, another model than the first
        one, a signature that there is not or that another task names, or one
        with another input; or there is no task or no example. Permanent.
      UnimplementedError: The method of a task is neither to classify nor to
        regress. Permanent.
    """
    tasks = [_Task(version, request, each) for each in request.tasks]
    _require_one_run(tasks)
    array = examples.serialized(request.input)
    # TensorFlow keeps what it makes for each choice of outputs: the order of
    # the tasks is not to be a part of it.
    infos = {info.name: info for task in tasks for info in task.infos}
    names = sorted(infos)

    def respond(
        arrays: inference.Outputs, num_calls: int
    ) -> inference.Responses:
        response = inference_pb2.MultiInferenceResponse()
        by_name = dict(zip(names, arrays, strict=True))
        for task in tasks:
            own = [by_name[info.name] for info in task.infos]
            task.respond(own, len(array), response.results.add())
        return [response.SerializeToString()]

    first = min(tasks, key=lambda task: task.signature_name)
    function = version.model.function_of_tensors(
        first.signature_name,
        [first.definition.inputs[signature_defs.INPUTS]],
        [infos[name] for name in names],
    )
    return inference.Inference(
        version.model.queue(first.signature_name), function, [array], respond
    )


def multi_inference(
    version: inference.Version, request: inference_pb2.MultiInferenceRequest
) -> inference_pb2.MultiInferenceResponse:
    """Returns the response to a request; see begin() for what it raises."""
    return inference_pb2.MultiInferenceResponse.FromString(
        begin(version, request).run()
    )


def _require_one_run(tasks: Sequence["_Task"]) -> None:
    """Checks that one run can answer all tasks."""
    if not tasks:
        raise errors.InvalidArgumentError(
            "tasks must be at least one; got none"
        )
    names = [task.signature_name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise errors.InvalidArgumentError(
                f"tasks must name each signature once; got {name} again"
            )
    inputs = {task.input_name for task in tasks}
    if len(inputs) > 1:
        raise errors.InvalidArgumentError(
            "signatures of all tasks must have one input tensor; got "
            f"{sorted(inputs)}"
        )


class _Task:
    """A task of a request, checked."""

    def __init__(
        self,
        version: inference.Version,
        request: inference_pb2.MultiInferenceRequest,
        task: inference_pb2.InferenceTask,
    ) -> None:
        first = request.tasks[0].model_spec.name
        if not task.model_spec.name:
            raise errors.InvalidArgumentError("ModelSpec has no name specified")
        if task.model_spec.name != first:
            raise errors.InvalidArgumentError(
                f"tasks must name one model; got {first} and "
                f"{task.model_spec.name}"
            )
        self.signature_name = inference.signature_name(
            task.model_spec.signature_name
        )
        self.definition = version.signature_def(self.signature_name)
        self.outputs = self._outputs(task.method_name)
        self.infos = [self.definition.outputs[key] for key in self.outputs]
        self.input_name = self.definition.inputs[signature_defs.INPUTS].name
        self._spec = version.spec(self.signature_name)

    def respond(
        self,
        arrays: Sequence[npt.NDArray[Any]],
        num_examples: int,
        response: inference_pb2.InferenceResult,
    ) -> None:
        """Fills in the result of the task."""
        response.model_spec.CopyFrom(self._spec)
        if self.outputs == [signature_defs.OUTPUTS]:
            response.regression_result.CopyFrom(
                regress.result(arrays[0], num_examples)
            )
        else:
            outputs = dict(zip(self.outputs, arrays, strict=True))
            response.classification_result.CopyFrom(
                classify.result(outputs, num_examples)
            )

    def _outputs(self, method_name: str) -> list[str]:
        if method_name == signature_defs.CLASSIFY_METHOD:
            return classify.output_keys(self.definition)
        if method_name == signature_defs.REGRESS_METHOD:
            regress.require_regression(self.definition)
            return [signature_defs.OUTPUTS]
        raise errors.UnimplementedError(
            f"method_name must be {signature_defs.CLASSIFY_METHOD} or "
            f"{signature_defs.REGRESS_METHOD}; got {method_name}"
        )
