"""The version of the model server.

Example:
    print(server_version.VERSION)
"""

from typing import Final

VERSION: Final = "0.1"
