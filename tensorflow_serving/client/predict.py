r"""Calls Predict of a model server and prints the outputs as JSON.

Usage: predict --server=localhost:8500 --model=half_plus_two \
    --json='{"x": [1, 2]}'

The dtypes are those of the signature, for which the server is asked first.
"""

from collections.abc import Sequence

from absl import app, flags

from tensorflow_serving.client import calls, client, json_inputs, options
from tensorflow_serving.util import api_key_file, errors, program

# TensorFlow keeps the operation that initialises a model as a signature.
_INTERNAL_PREFIX = "__saved_model_"

_SERVER = flags.DEFINE_string(
    "server", None, "Host and port, such as localhost:8500.", required=True
)
_MODEL = flags.DEFINE_string("model", None, "Name of the model.", required=True)
_VERSION = flags.DEFINE_integer(
    "version", None, "Version of the model; by default the newest one."
)
_LABEL = flags.DEFINE_string("label", "", "Label of a version.")
_SIGNATURE = flags.DEFINE_string(
    "signature", "serving_default", "Signature to run."
)
_JSON = flags.DEFINE_string(
    "json",
    None,
    'An object with the inputs, such as {"x": [1, 2]}.',
    required=True,
)
_DEADLINE_SECONDS = flags.DEFINE_float(
    "deadline_seconds", 10.0, "How long each call may take.", lower_bound=0.0
)
_USE_TLS = flags.DEFINE_bool("tls", False, "Encrypt the connection.")
_CA_FILE = flags.DEFINE_string(
    "ca_file", "", "Trusted authorities in PEM; implies --tls."
)
_PRIVATE_KEY_FILE = flags.DEFINE_string(
    "private_key_file", "", "Key of this client in PEM; implies --tls."
)
_CERTIFICATE_CHAIN_FILE = flags.DEFINE_string(
    "certificate_chain_file", "", "Certificate of this client in PEM."
)
_API_KEY_FILE = flags.DEFINE_string(
    "api_key_file",
    "",
    "File with the key that the server asks for, before any other key; one on "
    "the command line could be seen by all.",
)


def main(argv: Sequence[str]) -> None:
    """Runs the program; see the module docstring."""
    if len(argv) != 1:
        raise app.UsageError(f"there must be no arguments; got {argv[1:]}")
    model = calls.Model(
        _MODEL.value, _VERSION.value, _LABEL.value, _SIGNATURE.value
    )
    with client.Client(_options()) as server:
        signatures = server.metadata(model).signatures
        signature = signatures.get(model.signature)
        if signature is None:
            names = [
                name
                for name in sorted(signatures)
                if not name.startswith(_INTERNAL_PREFIX)
            ]
            raise errors.InvalidArgumentError(
                f"--signature must be one of {names}; got {model.signature}"
            )
        inputs = json_inputs.parse(_JSON.value, signature)
        outputs = server.predict(model, inputs).outputs
    print(json_inputs.format_outputs(outputs))


def _options() -> options.Options:
    files = (
        _CA_FILE.value,
        _PRIVATE_KEY_FILE.value,
        _CERTIFICATE_CHAIN_FILE.value,
    )
    path = _API_KEY_FILE.value
    return options.Options(
        _SERVER.value,
        tls=options.TlsOptions(*files)
        if _USE_TLS.value or any(files)
        else None,
        deadline_seconds=_DEADLINE_SECONDS.value,
        api_key=api_key_file.read(path, _API_KEY_FILE.name)[0] if path else "",
    )


if __name__ == "__main__":
    program.run(main)
