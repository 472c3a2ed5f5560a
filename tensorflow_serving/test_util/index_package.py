"""Packages of the Python package index that the build does not have.

Example:
    python = index_package.install(folder, "ovmsclient==2023.1")
    subprocess.run([python, "-I", script])
"""

import os
import site
import subprocess
import sys
import venv

from tensorflow_serving.util import errors

_SECONDS = 60.0


def install(folder: str, package: str) -> str:
    """Makes a virtual environment with a package; returns its interpreter.

    The packages of the build can be imported there as well, unless they have
    the name of the new one. This project cannot.

    Args:
      folder: Where to make it.
      package: Such as "ovmsclient==2023.1".

    Raises:
      UnavailableError: The index cannot be reached, or does not have the
        package. Its text says so in one line.
    """
    venv.create(folder, symlinks=True)
    packages = os.path.join(
        folder, "lib", f"python3.{sys.version_info.minor}", "site-packages"
    )
    command = [sys.executable, "-m", "pip", "install", "--quiet"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--no-deps"]
    command += ["--retries=0", f"--target={packages}", package]
    try:
        subprocess.run(
            command, capture_output=True, check=True, timeout=_SECONDS
        )
    except (subprocess.SubprocessError, OSError):
        raise errors.UnavailableError(
            f"{package} must be installed from a package index; none could be "
            "reached that has it"
        ) from None
    with open(
        os.path.join(packages, "build.pth"), "w", encoding="utf-8"
    ) as file:
        file.writelines(f"{path}\n" for path in site.getsitepackages())
    return os.path.join(folder, "bin", "python")
