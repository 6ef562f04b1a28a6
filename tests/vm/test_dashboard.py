# SPDX-License-Identifier: Apache-2.0
"""What monitoring shows of a node, by Prometheus itself: each panel of the dashboard and each rule, over metrics of real
containers. With DASHBOARD=FILE it leaves what the panels would show there, for docs/draw."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import applier
from cases import PATIENCE, wait_for
from containers import SOURCE, TestCase, entry, oci_landlock, policy, profile, program
from test_events import NAMES, watching

MONITORING = os.path.join(SOURCE, "packaging", "monitoring")
METRICS, PROMETHEUS = "127.0.0.1:9464", "127.0.0.1:9490"
PERIOD = int(os.environ.get("DASHBOARD_SECONDS", "20"))


def names(container):
    return {**NAMES, "io.kubernetes.cri.sandbox-name": "shop", "io.kubernetes.cri.container-name": container}


@applier.selector_only("it has no selector that could tell anything")
@unittest.skipUnless(shutil.which("prometheus"), "Prometheus is not here; run with --engines")
class Dashboard(TestCase):
    def ask(self, path, **words):
        url = f"http://{PROMETHEUS}/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=60 * PATIENCE) as answer:
            return json.load(answer)["data"]

    @contextlib.contextmanager
    def prometheus(self):
        with tempfile.TemporaryDirectory() as directory:
            config = os.path.join(directory, "prometheus.yml")
            with open(config, "w", encoding="utf-8") as file:
                json.dump({"global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
                           "rule_files": [os.path.join(MONITORING, "rules.yml")],
                           "scrape_configs": [{"job_name": "oci-landlock",
                                               "static_configs": [{"targets": [METRICS]}]}]}, file)
            with open(os.path.join(directory, "log"), "w+", encoding="utf-8") as log:
                with subprocess.Popen(["prometheus", f"--config.file={config}", f"--web.listen-address={PROMETHEUS}",
                                       f"--storage.tsdb.path={directory}/data"], stdout=log, stderr=log) as process:
                    try:
                        wait_for(self.is_scraped, "Prometheus has metrics", 240)
                        yield
                    except AssertionError as error:
                        log.seek(0)
                        raise AssertionError(f"{error}; Prometheus said: {log.read()[-2000:]}") from error
                    finally:
                        process.kill()

    def is_scraped(self):
        try:
            return self.ask("query", query="up == 1")["result"]
        except OSError:
            return False

    def busy(self, name, wanted, script):
        bundle = self.bundle()
        bundle.annotate(wanted)
        bundle.config["annotations"].update(names(name))
        bundle.config["process"]["args"] = ["/bin/sh", "/run.sh"]
        bundle.write("run.sh", script)
        bundle.save()
        return bundle.running("crun", "/bin/sh", "/run.sh")

    def test_panels(self):
        """Of each a value, and those that must be the right one."""
        self.assertEqual(oci_landlock("load").returncode, 0)
        allowed = policy(read=["/bin", "/run.sh"], write=["/dev"])
        again = "while :; do /bin/target read /etc/secret; sleep 1; done\n"
        with open(os.path.join(MONITORING, "dashboard.json"), encoding="utf-8") as file:
            panels = json.load(file)["panels"]
        with watching("--json", "--listen", METRICS), self.prometheus(), \
                self.busy("web", profile(program("/bin/target", name="web", rules=allowed)), again), \
                self.busy("db", profile(program("/bin/target", name="db", mode="audit", rules=allowed)), again), \
                self.busy("old", profile(program("/bin/none", name="zero"), program("/bin/target", name="one")),
                          "while :; do /bin/probe stack 16 + exec /bin/target; sleep 1; done\n"), \
                self.busy("part", profile(entry(name="part", missingPaths="skip",
                                                rules=policy(read=["/bin", "/run.sh", "/absent"], write=["/dev"]))),
                          "while :; do sleep 1; done\n"):
            begin = time.time()
            wait_for(lambda: all(self.values(panel) for panel in panels), "each panel shows something", 240)
            while time.time() < begin + PERIOD:
                time.sleep(1)
            shown = {panel["title"]: self.values(panel) for panel in panels}
            self.assertEqual([shown[panel["title"]] for panel in panels[:6]], [[4], [0], [0], [0], [1], [1]])
            for title in ("Accesses that Landlock denied", "Accesses that audited entries would deny",
                          "Execs that were restricted", "Execs that failed closed"):
                self.assertGreater(max(shown[title]), 0, title)
            self.assertEqual(set(shown["Events that were not told"]), {0})
            rules = [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]
            self.assertEqual({rule["health"] for rule in rules}, {"ok"}, rules)
            firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
            self.assertEqual(firing, {"LandlockFailsClosed", "LandlockDenies"})
            if "DASHBOARD" in os.environ:
                self.leave(panels, begin)

    @staticmethod
    def expression(target):
        """As Grafana would send it."""
        return target["expr"].replace("$__rate_interval", "60s").replace("$node", ".*").replace("$namespace", ".*")

    def values(self, panel):
        return [float(one["value"][1]) for target in panel["targets"]
                for one in self.ask("query", query=self.expression(target))["result"]]

    def leave(self, panels, begin):
        for panel in panels:
            for target in panel["targets"]:
                target["result"] = self.ask("query_range", query=self.expression(target), start=begin, end=time.time(),
                                            step=4)["result"]
                for one in target["result"]:
                    one["values"] = [[int(when), value] for when, value in one["values"]]
        with open(os.environ["DASHBOARD"], "w", encoding="utf-8") as file:
            file.write("[\n" + ",\n".join(json.dumps(panel, separators=(",", ":")) for panel in panels) + "\n]\n")
