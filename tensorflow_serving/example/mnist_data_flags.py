"""The flags that choose the images on which a program works.

Example:
    flags.adopt_module_key_flags(mnist_data_flags)  # shows them in --help
    data = mnist_input_data.read_data_sets(
        mnist_data_flags.WORK_DIR.value, mnist_data_flags.DATASET.value
    )
"""

from absl import flags

from tensorflow_serving.example import mnist_input_data

WORK_DIR = flags.DEFINE_string(
    "work_dir", "/tmp", "Folder for downloaded data."
)
DATASET = flags.DEFINE_enum(
    "dataset",
    "auto",
    mnist_input_data.DATASETS,
    "Which images: MNIST, the digits that come with this project, or (auto) "
    "MNIST if it can be had.",
)
