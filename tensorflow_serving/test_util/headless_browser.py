"""Chromium without a window, for tests of web pages.

Example:
    browser = self.enter_context(headless_browser.start())
    browser.get("http://localhost:8501/")
"""

import contextlib
import shutil
import tempfile
import unittest
from collections.abc import Iterator
from typing import Final

from selenium.webdriver.chrome import options as options_lib
from selenium.webdriver.chrome import service, webdriver

# Nothing but the pages that a test asks for: no updates, no other servers.
_ARGUMENTS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
    "--lang=en-US",
)

Browser = webdriver.WebDriver


@contextlib.contextmanager
def start() -> Iterator[Browser]:
    """Yields a new browser, whose console can be read.

    Raises:
      unittest.SkipTest: There is no Chromium, or no driver for it.
    """
    chromium = shutil.which("chromium")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        raise unittest.SkipTest(
            "There must be chromium and chromedriver, Debian's packages "
            f"chromium and chromium-driver; found {chromium} and {driver}"
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        options = options_lib.Options()
        options.binary_location = chromium
        for argument in (*_ARGUMENTS, f"--user-data-dir={folder}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = webdriver.WebDriver(
            options=options, service=service.Service(driver)
        )
        try:
            yield browser
        finally:
            browser.quit()
