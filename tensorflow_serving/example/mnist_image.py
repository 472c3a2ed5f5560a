"""The size of an image of MNIST, and the number of its classes.

Importing this costs nothing, unlike mnist_input_data, which reads the data.
"""

from typing import Final

# Images are square.
SIDE_PIXELS: Final = 28
NUM_PIXELS: Final = SIDE_PIXELS**2
# The digits 0 to 9.
NUM_CLASSES: Final = 10
