"""Tests of the web page in a real browser, with a real server."""

import math
import os
import subprocess
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import requests
from absl.testing import absltest, parameterized
from selenium.webdriver.common import action_chains, by, keys
from selenium.webdriver.remote import webelement
from selenium.webdriver.support import wait

from tensorflow_serving.test_util import (
    headless_browser,
    held_port,
    model_server_folder,
    small_model,
    written_models,
)
from tensorflow_serving.util import server_process

_FOLDER: Final = os.path.dirname(__file__)
_SERVER: Final = os.path.join(_FOLDER, "tensorflow_model_server")
_EXPORT: Final = os.path.join(_FOLDER, "..", "example", "mnist_export")
_SECONDS: Final = 60
# A model's name is any text; this one is a fault if a page takes it for HTML.
_HOSTILE: Final = "<img src=x onerror=document.title=1>"
_KEY: Final = "0YwYq3m5t1lVd8Hn1b0OqK2s"
_FOCUSABLE: Final = "a[href], button, input, select, textarea, summary, canvas"

_Found = TypeVar("_Found")


class WebPageBrowserTest(parameterized.TestCase):
    """One browser for all tests, and a server with models of each kind."""

    browser: headless_browser.Browser
    folder: model_server_folder.ModelServerFolder
    port: int

    @classmethod
    def setUpClass(cls) -> None:
        """Trains a model for digits, and starts both."""
        super().setUpClass()
        cls.browser = cls.enter_context(headless_browser.start())
        cls.folder = cls.enter_context(model_server_folder.ModelServerFolder())
        mnist = cls.folder.base_path("mnist")
        subprocess.run([_EXPORT, "--dataset=digits", mnist], check=True)
        for name in ("half", "swapped", "spoiled", "hostile"):
            cls.folder.write(name)
        cls.folder.write("small", write=small_model.write)
        config = cls.folder.config(
            "mnist", "half", "swapped", "spoiled", "small", "hostile"
        )
        config.model_config_list.config[-1].name = _HOSTILE
        path = os.path.join(cls.folder.path, "models.config")
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(config))
        cls.port = cls.enter_context(held_port.hold())
        server = cls._start(
            cls.port, f"--model_config_file={path}", "--enable_batching"
        )
        server.wait_for_log("All models have been loaded")

    @classmethod
    def _start(cls, port: int, *flags: str) -> server_process.ServerProcess:
        server = cls.folder.start(
            _SERVER, f"--rest_api_port={port}", "--host=localhost", *flags
        )
        cls.enter_context(server)
        return server

    def tearDown(self) -> None:
        """Looks for errors of scripts, and of the policy of the page."""
        expected = ("404", "401", "400", "ERR_CONNECTION")
        errors = [
            entry["message"]
            for entry in self.browser.get_log("browser")  # type: ignore[no-untyped-call]
            if entry["level"] == "SEVERE"
            and not any(each in entry["message"] for each in expected)
        ]
        self.assertEqual(errors, [])
        super().tearDown()

    def _open(self, fragment: str = "", port: int = 0) -> None:
        self.browser.get("about:blank")
        self.browser.get(f"http://localhost:{port or self.port}/{fragment}")

    def _find(self, css: str) -> webelement.WebElement:
        return self._wait(
            lambda: self.browser.find_element(by.By.CSS_SELECTOR, css), css
        )

    def _wait(self, find: Callable[[], _Found], text: str) -> _Found:
        """Returns what is found, once that is something."""
        return wait.WebDriverWait(
            self.browser, _SECONDS, 0.05, ignored_exceptions=(Exception,)
        ).until(lambda _: find(), text)

    def _wait_for_text(self, css: str, text: str) -> None:
        self._wait(lambda: text in self._find(css).text, f"{text} in {css}")

    def _rows(self, css: str) -> Sequence[str]:
        return [
            each.text
            for each in self.browser.find_elements(by.By.CSS_SELECTOR, css)
        ]

    def _press(self, *pressed: str) -> None:
        action_chains.ActionChains(self.browser).send_keys(*pressed).perform()

    def test_digit_that_is_drawn_is_recognized(self) -> None:
        """A ring drawn with the mouse is a zero, with the shares of all ten."""
        self._open("#/models/mnist")
        canvas = self._find("canvas")
        corners = [
            (
                round(70 * math.cos(step * math.pi / 12)),
                round(95 * math.sin(step * math.pi / 12)),
            )
            for step in range(25)
        ]
        chain = action_chains.ActionChains(self.browser, duration=10)
        chain.move_to_element_with_offset(canvas, *corners[0]).click_and_hold()
        for corner in corners[1:]:
            chain.move_to_element_with_offset(canvas, *corner)
        chain.release().perform()
        self._wait_for_text(".guess", "This is 0")
        self.assertEqual(len(self._rows(".classes li")), 10)
        self._wait_for_text(".stages", "queue")

    def test_digit_may_be_drawn_with_keys(self) -> None:
        """The arrow keys move the pen, Space puts it down, Delete clears."""
        self._open("#/models/mnist")
        self._find("canvas").send_keys(keys.Keys.ARROW_LEFT * 6)
        self._press(" ")
        self._press(keys.Keys.ARROW_RIGHT * 12)
        self._press((keys.Keys.ARROW_DOWN * 2 + keys.Keys.ARROW_LEFT) * 7)
        self._press(" ")
        self._wait_for_text(".guess", "This is 7")
        self._press(keys.Keys.DELETE)
        self._wait_for_text(".guess", "Nothing is drawn yet")

    def test_swap_of_versions_is_seen(self) -> None:
        """A new version takes the place of the old one, without a reload."""
        self._open()
        row = "#models tr:has(a[href='#/models/swapped'])"
        self._wait_for_text(row, "1 available")
        self.folder.write("swapped", 2)
        self._wait_for_text(row, "2 available")
        self._wait(
            lambda: "1 available" not in self._find(row).text, "1 is gone"
        )

    def test_broken_version_says_why(self) -> None:
        """The reason is beside it, and the head of the page names the model."""
        self._open()
        row = "#models tr:has(a[href='#/models/spoiled'])"
        self._wait_for_text(row, "1 available")
        self.folder.write("spoiled", 2, written_models.copy_broken)
        self._wait_for_text(row, "2 failed")
        self._wait_for_text(row, "Variables files must be whole")
        self._wait_for_text("#health", "spoiled")
        self._find("a[href='#/models/spoiled']").click()
        self._wait_for_text("#versions", "Variables files must be whole")

    def test_form_sends_a_request(self) -> None:
        """The answer comes with its status, its version and its time."""
        self._open("#/models/half")
        field = self._find("#try textarea")
        self.assertEqual(field.get_attribute("value"), "[0]")
        field.clear()
        field.send_keys("[1, 2")
        self._find("#try button[type=submit]").click()
        self._wait_for_text(".wrong", "This must be JSON")
        field.send_keys("]")
        self._find("#try button[type=submit]").click()
        self._wait_for_text(".status", "200 OK by version 1 in")
        self._wait_for_text(".answer pre", "2.5")
        names = [each.split("\n")[0] for each in self._rows(".stages li")]
        self.assertEqual(names[:5], ["read", "queue", "batch", "run", "write"])
        self._wait_for_text("#calls", "serving_default")
        self._wait_for_text("#batches", "Rows of a batch")

    @parameterized.parameters(
        ("classify", "classify", "examples a list of features", "[{}]"),
        ("regress", "regress", "examples a list of features", "[{}]"),
        ("regress_column", "regress", "examples a list of features", "[{}]"),
        ("regress_of_tf2", "predict", "inputs string of any shape", '[""]'),
    )
    def test_form_sends_to_the_method_of_a_signature(
        self, signature: str, method: str, label: str, value: str
    ) -> None:
        """Classify and Regress take lists of features, others take tensors."""
        self._open("#/models/small")
        self._find(f"#try-signature option[value={signature}]").click()
        self._wait_for_text("#try button[type=submit]", f"Send to :{method}")
        self._wait_for_text("#try-form label", label)
        field = self._find("#try-form textarea")
        self.assertEqual(field.get_attribute("value"), value)
        field.clear()
        # A signature for tensors takes an Example that is serialized already.
        typed = '["12345678901234"]' if value == '[""]' else '[{"x": [1]}]'
        field.send_keys(typed)
        self._find("#try button[type=submit]").click()
        self._wait_for_text(".status", "200 OK by version 1 in")
        # The length of the Example; see small_model.
        self._wait_for_text(".answer pre", "14.0")
        command = self._find(".answer details pre")
        self.assertIn(
            f"/v1/models/small/versions/1:{method}",
            command.get_attribute("textContent") or "",
        )

    def test_signatures_are_in_order(self) -> None:
        """The default one is first; of any number, one is found by its name."""
        self._open("#/models/small")
        self._find("#try-signature option[value=types]")
        first, *others = self._rows("#try-signature option")
        self.assertEqual(first, "serving_default")
        self.assertEqual(others, sorted(others))

    def test_first_values_are_taken_as_they_are(self) -> None:
        """Nobody has to know a model to see that it answers."""
        self._open("#/models/small")
        for signature in ("serving_default", "echo", "pair", "texts"):
            self._find(f"#try-signature option[value={signature}]").click()
            self._find("#try button[type=submit]").click()
            self._wait_for_text(".status", "200 OK by version 1 in")

    def test_refused_request_says_why(self) -> None:
        """The form shows the error, and the list of errors has it too."""
        self._open("#/models/half")
        field = self._find("#try textarea")
        field.clear()
        field.send_keys('["x"]', keys.Keys.TAB, keys.Keys.ENTER)
        self._wait_for_text(".status", "400")
        self._wait_for_text(".answer pre", "is not of expected type: float32")
        self._find("nav a").click()
        self._wait_for_text("#errors", "is not of expected type: float32")
        self._wait_for_text("#errors", "INVALID_ARGUMENT")

    def test_rates_are_those_of_the_last_seconds(self) -> None:
        """Calls that come while the page is open are counted."""
        self._open()
        url = f"http://localhost:{self.port}/v1/models/half:predict"
        with requests.Session() as session:

            def has_rate() -> bool:
                session.post(url, json={"instances": [1]})
                has_median = self._find("#median").text.endswith("s")
                return has_median and self._find("#requests").text[0] > "0"

            self._wait(has_rate, "a rate and a median")

    def test_names_are_texts(self) -> None:
        """A name that is HTML is shown as it is, and can be called."""
        self._open()
        self._wait_for_text("#models", _HOSTILE)
        self.browser.find_element(by.By.LINK_TEXT, _HOSTILE).click()
        self._wait_for_text("#model-name", _HOSTILE)
        self._find("#try button[type=submit]").click()
        self._wait_for_text(".status", "200 OK")
        self.assertIn(_HOSTILE, self.browser.title)
        images = self.browser.find_elements(by.By.TAG_NAME, "img")
        self.assertEqual(images, [])

    def test_all_can_be_reached_with_a_keyboard(self) -> None:
        """The Tab key comes to everything, and everything has a name."""
        for fragment, last in (
            ("", "#models a"),
            ("#/models/half", "#try button"),
            ("#/models/mnist", "#try summary"),
        ):
            self._open(fragment)
            self._find(last)
            wanted = [
                each
                for each in self.browser.find_elements(
                    by.By.CSS_SELECTOR, _FOCUSABLE
                )
                if each.is_displayed()
            ]
            reached = []
            for _ in range(3 * len(wanted)):
                self._press(keys.Keys.TAB)
                reached.append(self.browser.switch_to.active_element)
            for each in wanted:
                with self.subTest(each.get_attribute("outerHTML")):
                    self.assertIn(each, reached)
                    self.assertTrue(each.accessible_name)

    def test_nothing_comes_from_elsewhere(self) -> None:
        """All that the page loads is from the server."""
        self._open("#/models/mnist")
        self._find("canvas")
        found = self.browser.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)"
        )
        self.assertGreater(len(found), 10)
        for url in found:
            self.assertRegex(url, f"^http://localhost:{self.port}/")

    def test_counts_are_those_of_all_processes(self) -> None:
        """Calls of two workers come together, whichever answers the page."""
        port = self.enter_context(held_port.hold())
        folder = self.enter_context(model_server_folder.ModelServerFolder())
        folder.write("half")
        server = folder.start(
            _SERVER,
            "--num_workers=2",
            f"--rest_api_port={port}",
            "--host=localhost",
            "--model_name=half",
            f"--model_base_path={folder.base_path('half')}",
        )
        with server:
            self._open("#/models/half", port)
            self._wait_for_text("#version", "2 processes")
            self._wait_for_text("#versions", "available")
            url = f"http://localhost:{port}/v1/models/half:predict"
            for _ in range(20):
                # Each on a connection of its own, to one worker or the other.
                requests.post(url, json={"instances": [1, 2, 3]})
            row = "#calls tr td:last-child"
            self._wait(lambda: self._find(row).text == "20", "20 calls")
            self._wait_for_text("#batches", "20 batches, 3 rows each")
            self._wait_for_text("#batches", "3 to 4")
            self._require_one_page_of_metrics_a_look()

    def _require_one_page_of_metrics_a_look(self) -> None:
        """Checks that the view of a model asks for no metrics of its own."""
        paths = self.browser.execute_script(
            "return performance.getEntriesByType('resource')"
            ".map(e => new URL(e.name).pathname)"
        )
        self.assertIn("/metrics", paths)
        self.assertLessEqual(
            paths.count("/metrics"), paths.count("/page/state")
        )

    def test_server_may_ask_for_a_key_and_may_end(self) -> None:
        """The page asks for the key, and says when nobody answers."""
        port = self.enter_context(held_port.hold())
        path = os.path.join(self.folder.path, "keys")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{_KEY}\n")
        folder = self.enter_context(model_server_folder.ModelServerFolder())
        folder.write("half")
        server = folder.start(
            _SERVER,
            f"--rest_api_port={port}",
            "--host=localhost",
            "--model_name=half",
            f"--model_base_path={folder.base_path('half')}",
            f"--api_key_file={path}",
        )
        with server:
            self._open(port=port)
            field = self._find("#key")
            self._wait(field.is_displayed, "a field for the key")
            field.send_keys("another key", keys.Keys.ENTER)
            self._wait_for_text("#key-hint", "did not take the last key")
            field.send_keys(_KEY, keys.Keys.ENTER)
            self._wait_for_text("#models", "1 available")
            self.assertFalse(field.is_displayed())
        self._wait_for_text("#lost", "The server does not answer")


if __name__ == "__main__":
    absltest.main()
