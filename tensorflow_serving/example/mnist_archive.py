"""Files whose content is known, found in folders or downloaded.

What counts is the content: the gzip container differs from site to site, so
checksums are of the uncompressed files.
"""

import dataclasses
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Mapping, Sequence

import pooch
from absl import logging

from tensorflow_serving.util import errors, progress

# How long a mirror may take to answer at all, and between two packets.
_PROBE_SECONDS = 5.0
_TIMEOUT_SECONDS = 10.0

# Run in a process of its own: a name server or a firewall that swallows packets
# can hold a lookup or a connection for much longer than any timeout says.
_PROBE = """
import sys, requests
requests.head(sys.argv[1], allow_redirects=True).raise_for_status()
"""


@dataclasses.dataclass(frozen=True)
class Archive:
    """A set of gzipped files that several sites offer."""

    # SHA-256 of the uncompressed content, by file name.
    checksums: Mapping[str, str]
    # Addresses that end in a slash, in order of preference.
    mirrors: Sequence[str]

    def read(
        self, names: Sequence[str], folders: Sequence[str]
    ) -> dict[str, bytes]:
        """Returns the uncompressed content of files, by name.

        Each is taken from the first folder that has it whole; else it is
        downloaded into the first folder, which is made if it does not exist.

        Args:
          names: Keys of checksums.
          folders: Where to look; at least one.

        Raises:
          UnavailableError: A file can neither be found nor downloaded.
        """
        contents = {name: self._find(name, folders) for name in names}
        missing = [name for name in names if contents[name] is None]
        if missing:
            mirrors = _Mirrors(self.mirrors, missing[0])
            for name in missing:
                contents[name] = self._download(name, folders[0], mirrors)
        return {
            name: content
            for name, content in contents.items()
            if content is not None
        }

    def _find(self, name: str, folders: Sequence[str]) -> bytes | None:
        for folder in folders:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                try:
                    content = self._read_checked(path, name)
                except OSError as error:
                    logging.warning(
                        "%s must be a file that can be read; got %s. It is not "
                        "used: looking further",
                        path,
                        errors.reason(error),
                    )
                    continue
                if content is not None:
                    return content
                logging.warning(
                    "%s must have the published content; got a corrupt or "
                    "truncated file, which is not used: looking further",
                    path,
                )
        return None

    def _download(self, name: str, folder: str, mirrors: "_Mirrors") -> bytes:
        for mirror in list(mirrors.usable):
            url = mirror + name
            # Not 0: an empty bar counts as none.
            bar = progress.bar(f"Fetching {url}", 1, "bytes")
            try:
                with tempfile.TemporaryDirectory() as temporary:
                    path = os.path.join(temporary, name)
                    pooch.HTTPDownloader(
                        progressbar=bar, timeout=_TIMEOUT_SECONDS
                    )(url, path, None)
                    content = self._read_checked(path, name)
                    if content is not None:
                        _keep(path, folder)
                        return content
                mirrors.drop(mirror, f"{url} has not the published content")
            except OSError as error:
                mirrors.drop(mirror, f"{url}: {error}")
            finally:
                bar.close()
        raise errors.UnavailableError(
            f"{name} must be in {folder}, in MNIST_DATA_DIR or on a mirror; "
            f"got {'; '.join(mirrors.reasons) or 'no mirror'}"
        )

    def _read_checked(self, path: str, name: str) -> bytes | None:
        """Returns the uncompressed content, or None if it is wrong.

        Raises:
          OSError: The file cannot be read.
        """
        try:
            with gzip.open(path) as file:
                content = file.read()
        except (gzip.BadGzipFile, EOFError, zlib.error):
            return None
        checksum = hashlib.sha256(content).hexdigest()
        return content if checksum == self.checksums[name] else None


def _keep(path: str, folder: str) -> None:
    """Copies a file to a folder, where it appears all at once."""
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            copy = shutil.copy(path, temporary)
            os.replace(copy, os.path.join(folder, os.path.basename(path)))
    except OSError as error:
        logging.warning(
            "Folder for downloads must be writable; got %s: %s is not kept",
            error,
            os.path.basename(path),
        )


class _Mirrors:
    """Those mirrors that have not failed yet, and why the others did."""

    def __init__(self, mirrors: Sequence[str], name: str) -> None:
        """Asks all of them at once whether they have a file."""
        self.usable: list[str] = list(mirrors)
        self.reasons: list[str] = []
        probes = [
            subprocess.Popen(
                [sys.executable, "-c", _PROBE, mirror + name],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for mirror in mirrors
        ]
        deadline = time.monotonic() + _PROBE_SECONDS
        for mirror, probe in zip(mirrors, probes, strict=True):
            try:
                probe.wait(max(0.0, deadline - time.monotonic()))
                reason = ""
            except subprocess.TimeoutExpired:
                probe.kill()
                reason = f"no answer in {_PROBE_SECONDS:g} s"
            _, stderr = probe.communicate()
            if probe.returncode:
                *_, last_line = ["no reason", *stderr.splitlines()]
                self.drop(mirror, f"{mirror}{name}: {reason or last_line}")

    def drop(self, mirror: str, reason: str) -> None:
        """Stops using a mirror."""
        self.usable.remove(mirror)
        self.reasons.append(reason)
