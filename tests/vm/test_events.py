# SPDX-License-Identifier: Apache-2.0
"""What `events` shows of containers, on each kernel by the source that it has."""

import collections
import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

import applier
import prometheus_client.openmetrics.parser
from cases import PATIENCE, kill, wait_for
from containers import OCI_LANDLOCK, Bundle, TestCase, entry, follow, oci_landlock, policy, profile, program
from direct import FULL, KERNEL

NAMES = {"io.kubernetes.cri.container-name": "web", "io.kubernetes.cri.sandbox-name": "shop\x1b[2J/x y",
         "io.kubernetes.cri.sandbox-namespace": "default"}
SHOWN = {"namespace": "default", "pod": r"shop\x1b\x5b2J\x2fx\x20y", "container": "web"}
ADDRESS = "127.0.0.1:9465"
TRACEPOINTS = "/sys/kernel/tracing/events/landlock/landlock_deny_access_fs"
EXACT = os.path.exists(TRACEPOINTS)
LINE = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z (\w+) (\S+)(?:: (.*))?$")


class Watching:
    """`events` at work: what it has said so far."""

    def __init__(self, *words, prefix=()):
        self.read = []
        self.output = tempfile.NamedTemporaryFile("w+", encoding="utf-8")
        self.errors = tempfile.NamedTemporaryFile("w+", encoding="utf-8")
        self.process = subprocess.Popen([*prefix, OCI_LANDLOCK, "events", *words], stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.errors)

    @staticmethod
    def text(of):
        with open(of.name, encoding="utf-8") as file:
            return file.read()

    def lines(self):
        text = self.text(self.output)
        return text[:text.rfind("\n") + 1].splitlines()

    def events(self, *kinds):
        """Each is read once only: there can be many."""
        for line in self.lines()[len(self.read):]:
            self.read.append(json.loads(line))
        return [event for event in self.read if not kinds or event["event"] in kinds]

    def wait_for(self, condition, what):
        wait_for(condition, what, 120, said=self.summary)

    def summary(self):
        kinds = collections.Counter(re.findall(r'"event":"(\w+)"', self.text(self.output)))
        return f"said: {kinds} {self.lines()[-5:]} {self.text(self.errors)}"

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60 * PATIENCE)


@contextlib.contextmanager
def holding_the_lock():
    """As somebody who hangs would."""
    with open("/run/oci-landlock/lock", "r+", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def watching(*words, prefix=()):
    """From when it sees something."""
    seen = Watching(*words, prefix=prefix)
    try:
        seen.wait_for(lambda: "watching" in seen.text(seen.output) + seen.text(seen.errors), "it watches")
        yield seen
    finally:
        seen.end()


@applier.selector_only("it has no selector that could tell anything")
class Events(TestCase):
    def setUp(self):
        super().setUp()
        self.assertEqual(oci_landlock("load").returncode, 0)

    def container(self, wanted, **annotations):
        bundle = self.bundle()
        bundle.annotate(wanted, **{**NAMES, **annotations})
        return bundle

    def test_from_a_denial_to_the_mended_profile(self):
        """Each thing that happens to a container, in its order; and the rule that is proposed is the one that helps."""
        rules = policy(read=["/bin"], write=["/dev"])
        bundle = self.container(profile(program("/bin/target", name="one", rules=rules)))
        run = bundle.script("run.sh", "/bin/probe read /etc/secret; /bin/target read /etc/secret; "
                                      "/bin/probe read /etc/secret")
        with watching("--json") as seen:
            head, = seen.events()
            self.assertEqual((head["event"], head["source"], head["unseen"]),
                             ("watching", "tracepoints" if EXACT else "hooks", []))
            result = bundle.run("crun", run)
            self.assertEqual(result.stdout.count("allowed"), 2, result)
            self.assertEqual(result.stdout.count("Permission denied"), 1, result)
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            created, applied, denied, removed = seen.events()[1:]
            self.assertEqual([event["event"] for event in (created, applied, denied, removed)],
                             ["created", "applied", "denied", "removed"])
            for event in (created, applied, denied, removed):
                self.assertEqual((event["container"], event["names"], event["digest"][:7]),
                                 (bundle.id, SHOWN, "sha256:"))
            for event in (applied, denied):
                self.assertEqual((event["entries"], event["program"]), (["one"], "/bin/target"))
            self.assertEqual((applied["pid"], applied["startBootTimeNs"]), (denied["pid"], denied["startBootTimeNs"]))
            self.assertEqual((denied["rights"], denied["path"], denied["exact"]), (["read_file"], "/etc/secret", EXACT))
            self.assertEqual("domain" in denied, EXACT)
            # As the story goes on.
            for rule in denied["allow"]["pathBeneath"]:
                rules["pathBeneath"].append(rule)
            bundle.annotate(profile(program("/bin/target", name="one", rules=rules)), **NAMES)
            self.assertEqual(bundle.run("crun", run).stdout.count("allowed"), 3)
            seen.wait_for(lambda: len(seen.events("removed")) == 2, "it is removed")
            self.assertEqual([event["event"] for event in seen.events()[5:]], ["created", "applied", "removed"])
            self.assertEqual(seen.end(), 0)

    def test_each_right(self):
        """One denial of each kind, in a container that may do nothing outside of /allowed, and what is said of it."""
        rules = policy(read=["/bin", "/run.sh"], write=["/dev", "/allowed"])
        rules["ruleset"][0].update(handledAccessNet=["bind_tcp", "connect_tcp"],
                                   scoped=["signal", "abstract_unix_socket"])
        bundle = self.container(profile(program("/bin/inner", name="one", rules=rules)))
        for name in ("etc/x", "allowed/old"):
            bundle.write(name, "x")
        os.makedirs(bundle.path("etc/empty"))
        os.symlink("busybox", bundle.path("bin/truncate"))
        cases = {
            "cat /etc/x": (["read_file"], "/etc/x"),
            "ls /etc": (["read_dir"], "/etc"),
            "echo > /etc/new": (["make_reg"], "/etc/new"),
            "echo >> /etc/x": (["write_file"], "/etc/x"),
            "/etc/program": (["execute", "read_file"], "/etc/program"),
            "mkdir /etc/made": (["make_dir"], "/etc/made"),
            "busybox mkfifo /etc/fifo": (["make_fifo"], "/etc/fifo"),
            "ln -s x /etc/link": (["make_sym"], "/etc/link"),
            "rm /etc/x": (["remove_file"], "/etc/x"),
            "busybox rmdir /etc/empty": (["remove_dir"], "/etc/empty"),
        }
        bundle.script("etc/program", "true\n")
        script = "".join(f"{line}\n" for line in cases)
        script += "busybox nc -l -p 7777 127.0.0.1\nbusybox nc 127.0.0.1 7778\nkill -0 1\n"
        bundle.script("run.sh", script)
        with watching("--json", "--kind", "denied") as seen:
            bundle.config["process"]["cwd"] = "/"
            os.link(bundle.path("bin/probe"), bundle.path("bin/inner"))
            result = bundle.run("crun", "/bin/sh", "-c", "/bin/inner exec /bin/sh /run.sh < /dev/null; true")
            self.assertEqual(result.returncode, 0, result)
            seen.wait_for(lambda: any(event["rights"] == ["signal"] for event in seen.events("denied")),
                          "the last one")
            found = seen.events("denied")
        by_path = [(event["rights"], event["path"]) for event in found if "path" in event]
        for line, (rights, path) in cases.items():
            above = path if not EXACT or rights[0] in ("read_file", "read_dir", "write_file", "execute") \
                else os.path.dirname(path)
            self.assertIn((rights, above), by_path, line)
            allow, = [event["allow"] for event in found
                      if (event["rights"], event.get("path")) == (rights, above)][:1]
            parent = above if rights[0] in ("read_file", "read_dir", "write_file", "execute") else "/etc"
            self.assertEqual(allow, {"pathBeneath": [{"allowedAccess": rights, "parent": [parent]}]}, line)
        ports = {(tuple(event["rights"]), event["port"]) for event in found if "port" in event}
        self.assertEqual(ports, {(("bind_tcp",), 7777), (("connect_tcp",), 7778)})
        signals, = [event for event in found if event["rights"] == ["signal"]][:1]
        self.assertNotIn("allow", signals)

    @unittest.skipIf(KERNEL < (6, 12), "Landlock asks nobody, or not each of them")
    def test_other_ways(self):
        """To a device as programs of 32 bits, and to a port by sending."""
        rules = policy(read=["/bin"])
        rules["ruleset"][0].update(handledAccessNet=["bind_tcp", "connect_tcp"])
        rules["pathBeneath"].append({"allowedAccess": ["read_file", "write_file"], "parent": ["/dev/null"]})
        bundle = self.container(profile(entry(name="one", rules=rules, sessions=False)))
        widths = ["ioctl", "ioctl32"] if os.uname().machine == "x86_64" else ["ioctl"]
        words = [word for width in widths for word in (width, "/dev/null", "+")]
        with watching("--json", "--kind", "denied") as seen:
            result = bundle.run("crun", "/bin/probe", *words, "fastopen", "7781", "+", "read", "/etc/secret")
            self.assertEqual(result.stdout.count("Permission denied"), len(widths) + 2, result)
            seen.wait_for(lambda: any(event.get("path") == "/etc/secret" for event in seen.events("denied")),
                          "the last one")
            found = [(event["rights"], event.get("path", event.get("port"))) for event in seen.events("denied")]
        self.assertEqual(found, [*[(["ioctl_dev"], "/dev/null")] * len(widths), (["connect_tcp"], 7781),
                                 (["read_file"], "/etc/secret")])

    @unittest.skipIf(KERNEL < (7, 2), "Landlock knows UDP from Linux 7.2 on")
    def test_rights_of_newer_kernels(self):
        """UDP, and sockets that have a name: denials of these are no others'."""
        rules = policy(read=["/bin"], write=["/dev"], abi=10,
                       netPort=[{"allowedAccess": ["connect_send_udp"], "port": [7780]}])
        rules["ruleset"][0].update(handledAccessNet=["bind_tcp", "connect_tcp", "bind_udp", "connect_send_udp"])
        bundle = self.container(profile(entry(name="one", rules=rules, sessions=False)))
        words = ("udp", "bind", "7777", "+", "udp", "connect", "7778", "+", "udp", "send", "7779", "+",
                 "udp", "send", "7780", "+", "unix", "/etc/socket", "+", "read", "/etc/secret")
        with socket.socket(socket.AF_UNIX) as server, watching("--json", "--kind", "denied") as seen:
            server.bind(bundle.path("etc/socket"))
            server.listen()
            result = bundle.run("crun", "/bin/probe", *words)
            self.assertEqual(result.stdout.count("Permission denied"), 6, result)
            seen.wait_for(lambda: any(event.get("path") == "/etc/secret" for event in seen.events("denied")),
                          "the last one")
            found = seen.events("denied")
        ports = {(tuple(event["rights"]), event.get("port")) for event in found if "path" not in event}
        # By hooks all is told that a send needs.
        self.assertEqual(ports, {(("bind_udp",), 7777), (("connect_send_udp",), 7778), (("connect_send_udp",), 7779),
                                 (("bind_udp",), 0)} | (set() if EXACT else {(("connect_send_udp",), 7780)}))
        self.assertEqual([(event["rights"], event["path"]) for event in found if "path" in event],
                         [(["resolve_unix"], "/etc/socket"), (["read_file"], "/etc/secret")])

    def test_text(self):
        """The same for people; whatever is in a name, a line stays one line."""
        rules = policy(read=["/bin", "/run.sh"], write=["/dev"])
        bundle = self.container(profile(entry(name="one", rules=rules)))
        bundle.write("etc/a\x1b[2J\nb", "x")
        run = bundle.script("run.sh", "cat '/etc/a\x1b[2J\nb'\n")
        with watching() as seen:
            result = bundle.run("crun", run)
            self.assertEqual(result.stderr.count("Permission denied"), 1, result)
            seen.wait_for(lambda: " removed " in "\n".join(seen.lines()), "it is removed")
            found = [LINE.match(line) for line in seen.lines()]
            self.assertNotIn(None, found, seen.lines())
            self.assertEqual({match[2] for match in found}, {"/".join(SHOWN.values())})
            self.assertEqual([match[1] for match in found if match[1] != "denied"], ["created", "applied", "removed"])
            self.assertTrue(any(re.search(r"^/bin/busybox\[\d+\] read_file /etc/a\\x1b\[2J\\x0ab; would be allowed by ",
                                          match[3] or "") for match in found), seen.lines())

    def test_failed_closed(self):
        """An exec that could not get its domain, with its reason."""
        bundle = self.container(profile(program("/bin/none", name="zero"), program("/bin/target", name="one")))
        run = bundle.script("run.sh", "/bin/probe stack 16 + exec /bin/target; true")
        with watching("--json", "--kind", "failedClosed") as seen:
            self.assertNotIn("secret", bundle.run("crun", run).stdout)
            seen.wait_for(lambda: seen.events("failedClosed"), "it is told")
            failed, = seen.events("failedClosed")
            self.assertEqual((failed["entries"], failed["reason"], failed["errno"], failed["command"]),
                             (["one"], "the task is in 16 Landlock layers already", 7,
                              applier.refused_name("probe", "target")))

    def test_partial(self):
        """What best-effort has left out is said when the container comes, and with it what that was."""
        rules = policy(read=["/bin", "/absent"], write=["/dev"])
        bundle = self.container(profile(entry(name="one", missingPaths="skip", rules=rules)))
        with watching("--json") as seen:
            bundle.run("crun", "/bin/true")
            seen.wait_for(lambda: seen.events("partial"), "it is told")
            partial, = seen.events("partial")
            self.assertEqual((partial["entry"], partial["without"]), ("one", ["/absent"]))

    def test_one_container_only(self):
        """By id and by name; and a helper of another container, or a free one, is nobody's event."""
        wanted = profile(entry(name="one"))
        web, other, free = self.container(wanted), self.container(wanted), self.bundle()
        other.config["annotations"]["io.kubernetes.cri.container-name"] = "db"
        for chosen in (web.id, "web", "/".join(SHOWN.values())):
            with watching("--json", "--container", chosen) as seen:
                for bundle in (other, free, web):
                    bundle.run("crun", "/bin/probe", "read", "/etc/secret")
                seen.wait_for(lambda: seen.events("removed"), "it is removed")
                self.assertEqual({event["container"] for event in seen.events()[1:]}, {web.id})
                self.assertEqual([event["event"] for event in seen.events()[1:]],
                                 ["created", "applied", "denied", "removed"])

    def test_flood(self):
        """What a container does hides nothing of another, and nothing is left out without being counted."""
        loud = self.container(profile(entry(name="loud", rules=policy(read=["/bin"], write=["/dev"]))))
        calm = self.container(profile(entry(name="calm", rules=policy(read=["/bin"], write=["/dev"]))))
        calm.config["annotations"]["io.kubernetes.cri.container-name"] = "calm"
        count = 20000 if FULL else 5000
        with watching("--json", "--share", "10") as seen:
            with loud.running("crun", "/bin/probe", "flood", str(count), "/etc/secret") as container:
                for _ in range(3):
                    calm.run("crun", "/bin/probe", "read", "/etc/secret")
                container.wait_for(f"flood: {count} denied", 300)

            def calms():
                return [event for event in seen.events("denied") if event["container"] == calm.id]
            seen.wait_for(lambda: len(calms()) == 3, "the calm one is seen")

            def accounted():
                told = [event for event in seen.events("denied") if event["container"] == loud.id]
                lost = [event["count"] for event in seen.events("lost") if event.get("container") == loud.id]
                return len(told), sum(lost)
            seen.wait_for(lambda: sum(accounted()) == count, "each is told or counted")
            self.assertGreaterEqual(accounted()[0], 9)  # one of ten is that the exec was restricted
            self.assertGreater(accounted()[1], 0)
            self.assertEqual([event for event in seen.events("lost") if event.get("container") != loud.id], [])
            seen.wait_for(lambda: self.shares() == [], "nothing is kept of what is gone")

    @unittest.skipIf(os.cpu_count() == 1, "where the reader's calls about maps are interrupted by the loud one, some is "
                                          "lost, which the man page says")
    def test_beside_a_flood(self):
        """Likewise on one and the same processor, which the kernel takes from the loud one wherever it is."""
        loud, calm = (self.container(profile(entry(name=name, rules=policy(read=["/bin"], write=["/dev"]))))
                      for name in ("loud", "calm"))
        for bundle in (loud, calm):
            bundle.config["linux"]["resources"] = {"cpu": {"cpus": "0"}}
        count = 300
        # So few a second that they are read in time also where the machine has a part of a processor: the loud one is
        # told its share, the calm one less than that.
        with watching("--json", "--share", "150") as seen:
            with loud.running("crun", "/bin/probe", "flood", "1000000000", "/etc/secret"):
                calm.run("crun", "/bin/sh", "-c",
                         f"for i in $(seq {count}); do /bin/probe read /etc/secret; busybox usleep 10000; done",
                         timeout=300)

                def calms():
                    return [event for event in seen.events("denied") if event["container"] == calm.id]
                # Whoever reads may have to wait for the processor, too.
                seen.wait_for(lambda: len(calms()) >= count, "each is told")
            self.assertEqual([event for event in seen.events("lost") if event.get("container") != loud.id], [])
            self.assertEqual(len(calms()), count)

    @staticmethod
    def shares():
        return json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "name", "shares"], stdout=subprocess.PIPE,
                                         text=True, check=True).stdout)

    def test_whole_under_load(self):
        """With a share that is large enough, each of many denials comes through, or is counted as lost."""
        bundle = self.container(profile(entry(name="one", rules=policy(read=["/bin"], write=["/dev"]))))
        count = 20000 if FULL else 5000
        with watching("--json", "--share", "1000000") as seen:
            bundle.run("crun", "/bin/probe", "flood", str(count), "/etc/secret", timeout=300)
            seen.wait_for(lambda: len(seen.events("denied")) + sum(e["count"] for e in seen.events("lost")) == count,
                          "each is told or counted")
            self.assertGreater(len(seen.events("denied")), count // 4)

    def test_ends_in_a_flood(self):
        """However much comes: it ends when it is told to, and says meanwhile what was left out."""
        bundle = self.container(profile(entry(name="one", rules=policy(read=["/bin"], write=["/dev"]))))
        with watching("--json", "--share", "1000000") as seen:
            with bundle.running("crun", "/bin/probe", "flood", "1000000000", "/etc/secret") as container:
                seen.wait_for(lambda: '"event":"lost"' in seen.text(seen.output), "it says what was left out")
                self.assertEqual(container.state()["status"], "running")
                self.assertEqual(seen.end(), 0)
                self.assertEqual(container.state()["status"], "running")

    def test_nothing_is_left(self):
        """Two at once see the same; and killed, it leaves no program and no map behind."""
        bundle = self.container(profile(entry(name="one", rules=policy(read=["/bin"], write=["/dev"]))))
        before = self.programs()
        with watching("--json") as first, watching("--json") as second:
            self.assertNotEqual(self.programs(), before)
            bundle.run("crun", "/bin/probe", "read", "/etc/secret")
            for seen in (first, second):
                seen.wait_for(lambda seen=seen: seen.events("removed"), "it is removed")

            def told(seen):
                return [(event["event"], event.get("pid")) for event in seen.events()[1:]]
            self.assertEqual(told(first), told(second))
            for seen in (first, second):
                seen.process.kill()
                seen.process.wait()
        wait_for(lambda: self.programs() == before, "the programs are gone")

    @staticmethod
    def programs():
        found = json.loads(subprocess.run(["bpftool", "-j", "prog", "list"], stdout=subprocess.PIPE, text=True,
                                          check=True).stdout)
        # systemd and others come and go with theirs.
        return sorted(item["id"] for item in found if item["type"] in ("tracing", "kprobe", "lsm"))

    def test_the_selector_goes(self):
        """It ends with a line, and does not go on as if nothing happened."""
        with watching("--json") as seen:
            self.assertEqual(oci_landlock("unload", "--force").returncode, 0)
            self.assertEqual(seen.process.wait(timeout=60 * PATIENCE), 1)
            self.assertIn("the selector was unloaded", seen.text(seen.errors))
        refused = oci_landlock("events")
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertIn("the selector is not loaded", refused.stderr)

    def test_a_reader_that_does_not_read(self):
        """Nobody waits for it: containers go on, and what found no room is counted when it reads again."""
        bundle = self.container(profile(entry(name="one", rules=policy(read=["/bin"], write=["/dev"]))))
        with subprocess.Popen([OCI_LANDLOCK, "events", "--json", "--share", "1000000"], stdout=subprocess.PIPE,
                              text=True) as process:
            self.assertIn("watching", process.stdout.readline())
            kill(process.pid, signal.SIGSTOP)
            count = 40000  # more than the ring has room for
            result = bundle.run("crun", "/bin/probe", "flood", str(count), "/etc/secret", timeout=300)
            self.assertIn(f"{count} denied", result.stdout)
            kill(process.pid, signal.SIGCONT)
            told = lost = 0
            end = time.monotonic() + 60 * PATIENCE
            while told + lost < count and time.monotonic() < end:
                event = json.loads(process.stdout.readline())
                told += event["event"] == "denied"
                lost += event.get("count", 0)
            process.terminate()
        # With it is counted what else was not told: that the exec was restricted.
        self.assertIn(told + lost, (count, count + 1))
        self.assertGreater(lost, 0)

    def test_the_guide(self):
        """What it says is done and comes out, word by word."""
        with tempfile.TemporaryDirectory() as directory:
            bundle = Bundle(os.path.join(directory, "bundle"))
            bundle.config["process"]["args"] = ["cat", "/srv/data"]
            bundle.config["annotations"] = {"io.landlock.profile": "report"}
            os.makedirs(bundle.path("srv"))
            bundle.write("srv/data", "42\n")
            bundle.save()
            follow(self, "denials.md", directory)

    def test_the_guide_of_monitoring(self):
        """The same. Where it listens is free here."""
        with tempfile.TemporaryDirectory() as directory:
            bundle = Bundle(os.path.join(directory, "bundle"))
            bundle.config["process"]["args"] = ["/bin/report"]
            bundle.config["annotations"] = {"io.landlock.profile": "report"}
            bundle.script("bin/report", "cat /srv/data\nsleep 600\n")
            os.makedirs(bundle.path("srv"))
            bundle.write("srv/data", "42\n")
            bundle.save()
            self.addCleanup(subprocess.run, ["crun", "delete", "--force", "report"], check=False)
            follow(self, "monitoring.md", directory)

    def served(self, path="/metrics"):
        """Status and text."""
        try:
            with urllib.request.urlopen(f"http://{ADDRESS}{path}", timeout=60 * PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def test_served(self):
        """--listen: what `metrics` prints and what was told, whatever of it is printed; strangers hold nothing up, and
        when the state cannot be read that is said."""
        bundle = self.container(profile(entry(name="one", rules=policy(read=["/bin", "/run.sh"], write=["/dev"]))))
        run = bundle.script("run.sh", "cat /etc/secret; cat /etc/secret; sleep 600\n")
        with watching("--json", "--kind", "removed", "--listen", ADDRESS) as seen, contextlib.ExitStack() as strangers:
            for _ in range(200):
                stranger = strangers.enter_context(socket.create_connection(ADDRESS.split(":"), timeout=60 * PATIENCE))
                stranger.send(b"GET /metrics")
            with bundle.running("crun", run):
                denied = re.compile(r'^oci_landlock_accesses_denied_total\{namespace="default",pod=".*",container="web",'
                                    rf'container_id="{bundle.id}",.*entry="one",right="read_file"\}} 2$', re.M)
                wait_for(lambda: denied.search(self.served()[1]), "the denials are counted", 120)
                text = self.served()[1]
                self.assertTrue(text.endswith("\n# EOF\n"))
                families = list(prometheus_client.openmetrics.parser.text_string_to_metric_families(text))
                plain = oci_landlock("metrics").stdout
                self.assertLessEqual(set(plain.splitlines()), set(text.splitlines()))
                self.assertIn("oci_landlock_events", {family.name for family in families})
                self.assertEqual(self.served("/")[0], 404)
                self.assertEqual(seen.events()[1:], [])
            wait_for(lambda: "accesses_denied_total{" not in self.served()[1], "its series end", 120)
            self.assertEqual(oci_landlock("load").returncode, 0)
            with holding_the_lock():
                wait_for(lambda: self.served()[0] == 503, "it says that it cannot look", 120)
                self.assertIn("lock", self.served()[1])
            wait_for(lambda: self.served()[0] == 200, "it can look again", 120)
            for wrong, why in (("localhost:1", "an address has digits and a port"),
                               (ADDRESS, "Address already in use")):
                refused = oci_landlock("events", "--listen", wrong)
                self.assertEqual((refused.returncode, refused.stdout), (1, ""))
                self.assertRegex(refused.stderr, rf"^oci-landlock: [^\n]*{why}[^\n]*\n$")
            self.assertEqual(oci_landlock("events", "--listen", ADDRESS, "--since", "-1h").returncode, 2)
            # What answers is killed: the command does not go on without it.
            server, = (int(pid) for pid in subprocess.run(["pgrep", "--parent", str(seen.process.pid)], check=True,
                                                          stdout=subprocess.PIPE, text=True).stdout.split())
            kill(server, signal.SIGKILL)
            self.assertEqual(seen.process.wait(timeout=60 * PATIENCE), 1)
            self.assertIn("the process that answers over HTTP has ended", seen.text(seen.errors))
