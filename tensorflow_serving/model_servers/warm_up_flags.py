"""The flags of warm-ups, and the options that they make.

Example:
    flags.adopt_module_key_flags(warm_up_flags)  # shows them in --help
    server_core.Options(warm_up=warm_up_flags.options())
"""

from absl import flags

from tensorflow_serving.servables.tensorflow import model_warm_up

_ENABLE_MODEL_WARMUP = flags.DEFINE_bool(
    "enable_model_warmup",
    True,
    "Whether a version replays the requests in its file assets.extra/"
    "tf_serving_warmup_requests before it serves, or without one runs each "
    "signature that has no effect with zeros.",
)
_ZEROS_SECONDS = flags.DEFINE_float(
    "model_warmup_zeros_seconds",
    model_warm_up.Options.zeros_seconds,
    "When a version without that file runs no further signature with zeros; "
    "0: it runs none. However they end, it is served.",
    lower_bound=0.0,
)
_NUM_REQUEST_ITERATIONS = flags.DEFINE_integer(
    "num_request_iterations_for_warmup",
    0,
    "How often a warm-up replays each request; 0: once.",
    lower_bound=0,
)
_TIMEOUT_SECONDS = flags.DEFINE_float(
    "model_warmup_timeout_seconds",
    model_warm_up.Options.timeout_seconds,
    "When a warm-up leaves out the rest of its requests; 0: never. A version "
    "of which a request takes longer than that is not served.",
    lower_bound=0.0,
)
_REQUIRE_MODEL_WARMUP = flags.DEFINE_bool(
    "require_model_warmup",
    False,
    "Whether a version whose warm-up fails is not served; else its status has "
    "a warning. A version without a file needs none.",
)


def options() -> model_warm_up.Options | None:
    """Returns how versions are warmed up; None if they are not."""
    if not _ENABLE_MODEL_WARMUP.value:
        return None
    return model_warm_up.Options(
        num_request_iterations=_NUM_REQUEST_ITERATIONS.value or 1,
        timeout_seconds=_TIMEOUT_SECONDS.value,
        is_required=_REQUIRE_MODEL_WARMUP.value,
        zeros_seconds=_ZEROS_SECONDS.value,
    )
