"""Tests that monitoring.md, the dashboard and alerts name real metrics."""

import json
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import requests
from absl.testing import absltest

from tensorflow_serving.client import calls, client, options
from tensorflow_serving.test_util import (
    held_port,
    model_server_folder,
    promql,
    readiness,
    small_model,
    written_models,
)
from tensorflow_serving.util import errors, server_process

_FOLDER: Final = pathlib.Path(__file__).parent
_SERVER: Final = os.path.join(
    _FOLDER.parent, "model_servers", "tensorflow_model_server"
)
_ROW: Final = re.compile(
    r"\| `(?P<name>[\w:]+)` \| (?P<kind>counter|gauge|histogram) \|"
    r"(?P<labels>.*?)\| .+ \|"
)
_ALERT_ROW: Final = re.compile(r"\| `(TensorFlowServing\w+)` \| .+ \|")
_SAMPLE: Final = re.compile(r"([\w:]+)(?:\{(.*)\})? [-+.e\d]+")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# The labels that Prometheus gives to all metrics of a server.
_OF_TARGET: Final = {"job", "instance"}
_BATCHING: Final = """
max_batch_size { value: 4 }
allowed_batch_sizes: 2
allowed_batch_sizes: 4
"""

_LOGGING: Final = """
logging_config {{
  log_collector_config {{ type: "file" filename_prefix: "{}/log" }}
  sampling_config {{ sampling_rate: 1 }}
}}
"""

_Labels = Sequence[Mapping[str, str]]


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _panels() -> Iterator[Mapping[str, Any]]:
    """Yields the panels of the dashboard, without rows."""
    for panel in json.loads(_read("grafana_dashboard.json"))["panels"]:
        if panel["type"] != "row":
            yield panel


def _expressions() -> Mapping[str, str]:
    """Returns the expressions of the dashboard and the alerts, by title."""
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in _panels()
        for target in panel["targets"]
    }
    alert = ""
    for line in _read("prometheus_alerts.yaml").splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "- alert":
            alert = value
        elif key == "expr":
            found[alert] = value
    return found


def _samples(page: str) -> Mapping[str, _Labels]:
    """Returns the labels of all series of a page, by the name in a line."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for line in page.splitlines():
        if not line.startswith("#"):
            match = _SAMPLE.fullmatch(line)
            assert match, line
            found.setdefault(match[1], []).append(
                dict(_LABEL.findall(match[2] or ""))
            )
    return found


class MonitoringTest(absltest.TestCase):
    """A server of two processes that was called in all ways."""

    page: str
    samples: Mapping[str, _Labels]

    @classmethod
    def setUpClass(cls) -> None:
        """Calls the server, and gets a page."""
        super().setUpClass()
        folder = cls.enter_context(model_server_folder.ModelServerFolder())
        folder.write("m", write=small_model.write)
        folder.write("broken", write=written_models.copy_broken)
        config = folder.write_config(
            "m", "broken", more=_LOGGING.format(folder.path)
        )
        batching = pathlib.Path(folder.path, "batching.config")
        batching.write_text(_BATCHING, encoding="utf-8")
        port = cls.enter_context(held_port.hold())
        server = cls.enter_context(
            folder.start(
                _SERVER,
                "--num_workers=2",
                f"--rest_api_port={port}",
                f"--model_config_file={config}",
                "--enable_batching",
                f"--batching_parameters_file={batching}",
                "--max_num_load_retries=0",
                "--access_log=text",
                f"--access_log_file={folder.path}/calls.log",
            )
        )
        url = f"http://localhost:{port}"
        readiness.wait_until_ready(f"{url}/readyz/m")
        cls._wait_for_failure(server)
        cls._call(folder.address, url)
        # Calls are logged soon after they are answered.
        cls.page = ""
        while not re.search(r"^\S+:request_log_count\{", cls.page, re.M):
            cls.page = requests.get(f"{url}/metrics").text
        cls.samples = _samples(cls.page)

    @classmethod
    def _wait_for_failure(cls, server: server_process.ServerProcess) -> None:
        """Waits until both processes have given a model up."""
        num_lines = server.wait_for_log("name: broken version: 1} is END")
        server.wait_for_log("name: broken version: 1} is END", num_lines)

    @classmethod
    def _call(cls, address: str, url: str) -> None:
        """Calls a model with success and without, over both ports."""
        with client.Client(options.Options(address)) as own:
            x = np.array([1, 2, 3], np.float32)
            own.predict(calls.Model("m"), {"x": x})
            for name in ("m", "unknown"):
                try:
                    own.predict(calls.Model(name), {"x": np.array(["?"])})
                except (errors.InvalidArgumentError, errors.NotFoundError):
                    continue
                raise AssertionError("a wrong call must be refused")
        bodies: Sequence[tuple[str, Any]] = (
            ("predict", {"instances": [1.0]}),
            ("predict", {"instances": [1.0, 2.0, 3.0]}),
            (
                "regress",
                {"signature_name": "regress", "examples": [{"a": 1}]},
            ),
        )
        requests.get(f"{url}/v1/models/m").raise_for_status()
        for method, body in bodies:
            requests.post(
                f"{url}/v1/models/m:{method}", json=body
            ).raise_for_status()

    def _families(self) -> Mapping[str, str]:
        """Returns the kinds of all metrics of the page."""
        return dict(re.findall(r"^# TYPE (\S+) (\w+)$", self.page, re.M))

    def _rows(self) -> Mapping[str, re.Match[str]]:
        """Returns the metrics of the documentation."""
        rows: dict[str, re.Match[str]] = {}
        for line in _read("monitoring.md").splitlines():
            if match := _ROW.fullmatch(line):
                self.assertNotIn(match["name"], rows)
                rows[match["name"]] = match
        return rows

    def test_page_has_every_metric_that_exists_and_no_other(self) -> None:
        """Their kinds are right, too."""
        self.assertEqual(
            {name: match["kind"] for name, match in self._rows().items()},
            self._families(),
        )

    def test_page_has_the_labels_of_each_metric(self) -> None:
        """All series of a metric have them, and no others."""
        for name, match in self._rows().items():
            with self.subTest(name):
                expected = set(re.findall(r"`(\w+)`", match["labels"]))
                if name.startswith(("process_", "python_")):
                    expected.add("worker")
                shown = f"{name}_count" if "histogram" in match[0] else name
                series = self.samples.get(shown, [])
                self.assertTrue(series)
                for labels in series:
                    self.assertEqual({*labels}, expected)

    def test_expressions_name_metrics_and_labels_that_exist(self) -> None:
        """A typing error would be an empty panel, or an alert never sent."""
        for title, expression in _expressions().items():
            with self.subTest(title):
                names = promql.names(expression)
                self.assertTrue(names.selectors)
                known = set(_OF_TARGET)
                for selector in names.selectors:
                    known |= self._labels_of(selector)
                self.assertLessEqual(names.groupings, known)

    def _labels_of(self, selector: promql.Selector) -> set[str]:
        """Returns the labels of a metric that the conditions allow."""
        self.assertIn(selector.metric, self.samples)
        series = self.samples[selector.metric]
        labels = set().union(*series)
        for matcher in selector.matchers:
            self.assertIn(matcher.label, labels | _OF_TARGET)
            if matcher.operator == "=" and matcher.label not in _OF_TARGET:
                self.assertIn(
                    matcher.value, {each[matcher.label] for each in series}
                )
        return labels

    def test_dashboard_or_alerts_show_every_metric_of_ours(self) -> None:
        """A metric that nobody looks at would not be needed."""
        shown = {
            re.sub("_(bucket|sum|count)$", "", selector.metric)
            for expression in _expressions().values()
            for selector in promql.names(expression).selectors
        }
        ours = {
            name
            for name in self._families()
            if name.startswith("tensorflow_serving_")
        }
        self.assertEqual(ours - shown, set())

    def test_panels_say_what_they_show_and_do_not_overlap(self) -> None:
        """Each has a title, targets, a unit that fits, and its own place."""
        places: set[tuple[int, int]] = set()
        for panel in _panels():
            with self.subTest(panel["title"]):
                self.assertTrue(panel["targets"])
                place = panel["gridPos"]
                own = {
                    (x, y)
                    for x in range(place["x"], place["x"] + place["w"])
                    for y in range(place["y"], place["y"] + place["h"])
                }
                self.assertFalse(own & places)
                self.assertLessEqual(place["x"] + place["w"], 24)
                places |= own

    def test_page_has_every_alert(self) -> None:
        """Each has somebody who should do something."""
        rules = re.findall(
            r"^ +- alert: (\w+)$", _read("prometheus_alerts.yaml"), re.M
        )
        rows = [
            match[1]
            for line in _read("monitoring.md").splitlines()
            if (match := _ALERT_ROW.fullmatch(line))
        ]
        self.assertEqual(rules, rows)


if __name__ == "__main__":
    absltest.main()
