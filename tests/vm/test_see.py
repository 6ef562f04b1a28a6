# SPDX-License-Identifier: Apache-2.0
"""What people see of containers: pinned profiles, names, inspect and ps."""

import hashlib
import json
import os
import re
import subprocess
import tempfile

import applier
import prometheus_client.openmetrics.parser
import prometheus_client.parser
from cases import PATIENCE, RESTRICTED, SECRET, wait_for
from containers import OCI_LANDLOCK, RUNTIMES, TestCase, entry, node_log, oci_landlock, policy, profile, program, status

PROFILES = "/etc/oci-landlock/profiles"
POLICIES = "/run/oci-landlock/policies"
MAN = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "docs", "man")
NAMES = {"io.kubernetes.cri.container-name": "web", "io.kubernetes.cri.sandbox-name": "shop\x1b[2J/x y",
         "io.kubernetes.cri.sandbox-namespace": "default"}
SHOWN = r"default/shop\x1b\x5b2J\x2fx\x20y/web"
READS = ("/bin/probe", *SECRET.split())


def digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def entrypoint(**more):
    """What every applier covers."""
    return profile(entry(name="one", sessions=False, **more))


def ask(*words):
    """The answer of a command, from JSON."""
    answer = oci_landlock(*words, "--json")
    if answer.returncode:
        raise AssertionError(answer)
    return json.loads(answer.stdout)


def members(document):
    """The names of all members of a JSON document."""
    if isinstance(document, list):
        return {name for item in document for name in members(item)}
    if isinstance(document, dict):
        return set(document) | members(list(document.values()))
    return set()


class Pinned(TestCase):
    def outcome(self, annotations, runtime="crun"):
        """What the container says, or what is said of it."""
        bundle = self.bundle()
        bundle.config["annotations"] = annotations
        before = len(node_log())
        result = bundle.run(runtime, *READS)
        if result.returncode == 0:
            return result.stdout.strip()
        self.assertEqual(result.stdout, "")
        return node_log()[before:]

    def test_inline(self):
        """A profile of other content is refused, to the byte; so are digests that are none, or without a profile."""
        text = json.dumps(entrypoint())
        wanted = {"io.landlock.profile": text}
        for runtime in RUNTIMES:
            self.assertEqual(self.outcome({**wanted, "io.landlock.digest": digest(text)}, runtime), RESTRICTED)
            self.assertIn(f"annotation io.landlock.profile: has the digest {digest(text)}, and annotation "
                          f"io.landlock.digest wants {digest(text + ' ')}",
                          self.outcome({**wanted, "io.landlock.digest": digest(text + " ")}, runtime))
        for wrong in ("", digest(text).upper(), digest(text) + "\n"):
            self.assertIn("is no digest; write sha256:", self.outcome({**wanted, "io.landlock.digest": wrong}))
        self.assertIn("annotation io.landlock.digest: needs io.landlock.profile",
                      self.outcome({"io.landlock.digest": digest(text)}))
        # Of one container of a pod.
        for name, said in (("web", "has the digest"), ("db", RESTRICTED)):
            self.assertIn(said, self.outcome({**wanted, "io.landlock.digest/web": digest(""),
                                              "io.kubernetes.cri.container-name": name}))

    def test_by_name(self):
        """What sha256sum says of the file counts, and any change to it is seen."""
        os.makedirs(PROFILES, exist_ok=True)
        path = os.path.join(PROFILES, "pinned.json")
        self.addCleanup(os.unlink, path)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(entrypoint(), file, indent=4)
        summed = subprocess.run(["sha256sum", path], stdout=subprocess.PIPE, text=True, check=True).stdout.split()[0]
        self.assertEqual(ask("check", path)[0]["digest"], "sha256:" + summed)
        self.assertIn(f"\n  digest sha256:{summed}\n", oci_landlock("check", path).stdout)
        wanted = {"io.landlock.profile": "pinned", "io.landlock.digest": "sha256:" + summed}
        self.assertEqual(self.outcome(wanted), RESTRICTED)
        with open(path, "a", encoding="utf-8") as file:
            file.write("\n")
        self.assertIn(f"{path}: has the digest", self.outcome(wanted))


class Seen(TestCase):
    def container(self, wanted=None, **annotations):
        bundle = self.bundle()
        bundle.annotate(wanted or entrypoint(), **{**NAMES, **annotations})
        return bundle

    def test_names(self):
        """status and the log name namespace, pod and container, whatever is written there, and however long it is."""
        bundle = self.container()
        with bundle.running("crun", "/bin/sleep", "600") as container:
            self.assertEqual(container.code, 0, container.output())
            found, = status()["containers"]
            self.assertEqual(found["names"], dict(zip(("namespace", "pod", "container"), SHOWN.split("/"))))
            self.assertEqual(found["digest"], digest(bundle.config["annotations"]["io.landlock.profile"]))
            self.assertNotIn("baselineDigest", found)
            self.assertEqual([one["name"] for one in found["entries"]], ["one"])
            self.assertIn(f"\n{bundle.id}\n  name     {SHOWN}\n", oci_landlock("status").stdout)
        before = len(node_log())
        bundle.config["annotations"]["io.landlock.digest"] = digest("")
        self.assertNotEqual(bundle.run("crun", *READS).returncode, 0)
        self.assertIn(f"container {bundle.id} ({SHOWN}): annotation io.landlock.profile: has the digest",
                      node_log()[before:])
        long = self.container(profile(*[entry(name=f"{i:064}", sessions=False) for i in range(16)]),
                              **{key: "\x01" * 10000 for key in NAMES})
        with long.running("crun", "/bin/sleep", "600") as container:
            self.assertEqual(container.code, 0, container.output() + node_log()[before:])
            found, = status()["containers"]
            self.assertEqual(len(found["names"]), 3)
            for name in found["names"].values():
                self.assertRegex(name, r"^(\\x01)+[\\x01]*\.\.\.$")
            self.assertEqual(len(found["digest"]), 71)
            self.assertEqual(len(ask("inspect", long.id)["entries"]), 16)

    def test_inspect(self):
        """The policy as it is enforced, by id, by its beginning and by name."""
        rules = policy(read=["/bin", "/allowed", "/absent"], write=["/led"])
        bundle = self.container(profile(entry(name="one", sessions=False, missingPaths="skip", rules=rules),
                                        entry(name="two", sessions=False,
                                              rules=[policy(read=["/"], write=["/"])] * 2)))
        os.symlink("tmp", bundle.path("led"))
        other = self.bundle()
        other.annotate(entrypoint(), **{**NAMES, "io.kubernetes.cri.container-name": "db"})
        with bundle.running("crun", "/bin/sleep", "600"), other.running("crun", "/bin/sleep", "600"):
            wait_for(lambda: ask("inspect", bundle.id)["applied"], "it is restricted")
            found = ask("inspect", bundle.id)
            for words in (bundle.id[:-1], "web", SHOWN):
                self.assertEqual(ask("inspect", words), found)
            self.assertEqual(ask("inspect", "db")["id"], other.id)
            self.assertEqual((found["id"], found["applier"], found["policyRecorded"], found["applied"]),
                             (bundle.id, applier.APPLIER, True, True if applier.LAUNCH else 1))
            self.assertEqual(found["landlockAbi"], status()["kernel"]["landlockAbi"])
            self.assertEqual(found["digest"], digest(bundle.config["annotations"]["io.landlock.profile"]))
            one, two = found["entries"]
            self.assertEqual((one["name"], one["select"], one["sessions"], one["noNewPrivileges"], one["enforcement"],
                              one["skippedPaths"], one["links"]),
                             ("one", "entrypoint", False, True, "partial", ["/absent"],
                              ["/led leads to /tmp"]))
            self.assertEqual([rule["path"] for rule in one["layers"][0]["pathBeneath"]], ["/allowed", "/bin", "/led"])
            self.assertEqual(len(two["layers"]), 2)
            text = oci_landlock("inspect", "web").stdout
            for line in (f"container   {bundle.id}\n", f"name        {SHOWN}\n", f"digest      {found['digest']}\n",
                         "privileges  no_new_privs set by one, two\n",
                         "  entry one: the entrypoint, not in exec sessions\n    enforcement: partial\n",
                         "    without /absent: it was not there\n", "      allows /allowed: "):
                self.assertIn(line, text)
            for words, said in (("test-", "can be any of 2 containers: "), ("shop", "no container \"shop\""),
                                ("nobody", "no container \"nobody\" with a sandbox lives here")):
                result = oci_landlock("inspect", words)
                self.assertEqual((result.returncode, result.stdout), (1, ""))
                self.assertIn(said, result.stderr)
                self.assertEqual(result.stderr.count("\n"), 1)
        self.assertIn("no container", oci_landlock("inspect", bundle.id).stderr)
        if not applier.LAUNCH:
            self.assertEqual(os.listdir(POLICIES), [])

    def test_json_as_it_is_described(self):
        """Each member of what is printed as JSON is in the man page; and what cannot be written is an error."""
        bundle = self.container(profile(entry(name="one", sessions=False, missingPaths="skip",
                                              rules=policy(read=["/bin", "/absent"], write=["/tmp"]))))
        with bundle.running("crun", "/bin/sleep", "600"):
            wait_for(lambda: ask("inspect", "web")["applied"], "it is restricted")
            for words, pages in ((("status",), ("status",)), (("ps",), ("ps",)), (("doctor",), ("doctor",)),
                                 (("inspect", "web"), ("inspect", "check", "profile", "status"))):
                with self.subTest(words=words):
                    text = oci_landlock(*words, "--json").stdout
                    described = set()
                    for page in pages:
                        page = f"oci-landlock-{page}.{5 if page == 'profile' else 1}"
                        with open(os.path.join(MAN, page), encoding="utf-8") as file:
                            described |= set(re.findall(r"\w+", file.read()))
                    self.assertIn("containers" if words == ("ps",) else "message" if words == ("doctor",) else "entries",
                                  members(json.loads(text)))
                    self.assertEqual(members(json.loads(text)) - described, set())
                    for more in ((), ("--json",)):
                        with open("/dev/full", "w", encoding="utf-8") as full:
                            result = subprocess.run([OCI_LANDLOCK, *words, *more], stdout=full, stderr=subprocess.PIPE,
                                                    text=True, timeout=60 * PATIENCE, check=False)
                        self.assertEqual(result.returncode, 1)
                        self.assertRegex(result.stderr, r"\Aoci-landlock: write to standard output: [^\n]+\n\Z")

    def test_metrics(self):
        """What monitoring reads, by the parser of those who read it; a file is replaced as a whole or not at all."""
        bundle = self.container()
        with bundle.running("crun", "/bin/sleep", "600") as container:
            self.assertEqual(container.code, 0, container.output())
            wait_for(lambda: ask("inspect", "web")["applied"], "it is restricted")
            found = self.metrics(oci_landlock("metrics").stdout)
            about, = found["oci_landlock_build_info"]
            self.assertEqual(dict(about)["applier"], applier.APPLIER)
            self.assertEqual(found["oci_landlock_containers"], {(): 1})
            (labels, restricted), = found["oci_landlock_execs_restricted_total"].items()
            self.assertEqual(restricted, 1)
            labels = dict(labels)
            self.assertEqual({key: labels[key] for key in ("namespace", "pod", "container", "container_id")},
                             {**dict(zip(("namespace", "pod", "container"), SHOWN.split("/"))),
                              "container_id": bundle.id})
            (labels, partial), = found["oci_landlock_entry_partial"].items()
            self.assertEqual((dict(labels)["entry"], partial), ("one", 0))
            with tempfile.TemporaryDirectory() as directory:
                path = os.path.join(directory, "metrics.prom")
                for _ in range(2):
                    self.assertEqual(oci_landlock("metrics", "--output", path).returncode, 0)
                    with open(path, encoding="utf-8") as file:
                        self.assertEqual(self.metrics(file.read()), found)
                self.assertEqual(os.listdir(directory), ["metrics.prom"])
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o644)
                os.mkdir(os.path.join(directory, "taken"))
                refused = oci_landlock("metrics", "--output", os.path.join(directory, "taken"))
                self.assertEqual((refused.returncode, sorted(os.listdir(directory))), (1, ["metrics.prom", "taken"]))
                self.assertIn("cannot write", refused.stderr)
        self.assertEqual(self.metrics(oci_landlock("metrics").stdout)["oci_landlock_containers"], {(): 0})

    def metrics(self, text):
        """Name of a sample -> labels -> value. The strict parser, and that of the older format, which collectors of
        files have."""
        families = list(prometheus_client.openmetrics.parser.text_string_to_metric_families(text))
        self.assertEqual([sample.value for family in families for sample in family.samples],
                         [sample.value for family in prometheus_client.parser.text_string_to_metric_families(text)
                          for sample in family.samples])
        found = {}
        for family in families:
            self.assertTrue(family.documentation)
            for sample in family.samples:
                found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
        return found

    @applier.selector_only("it denies no exec")
    def test_denied(self):
        """inspect has what was denied last, and of which entry."""
        bundle = self.container(profile(program("/bin/none", name="zero"), program("/bin/target", name="one")))
        run = bundle.script("run.sh", "/bin/probe stack 16 + exec /bin/target; echo ready; sleep 600")
        with bundle.running("crun", run) as container:
            container.wait_for("ready")
            found = ask("inspect", "web")
            self.assertEqual((found["applied"], found["denied"]), (0, 1))
            self.assertEqual({key: found["lastDenial"][key] for key in ("comm", "entry", "errno")},
                             {"comm": applier.refused_name("probe", "target"), "entry": "one", "errno": 7})
            self.assertRegex(oci_landlock("inspect", "web").stdout, r"\nlast        denied .*, entry one\n")

    @applier.selector_only("it denies no exec")
    def test_a_count_never_falls(self):
        """What fails closed has at no moment been counted as restricted: monitoring would take that for a new count."""
        bundle = self.container(profile(program("/bin/none", name="zero"), program("/bin/target", name="one")))
        run = bundle.script("run.sh", "while :; do /bin/probe stack 16 + exec /bin/target; done")
        with bundle.running("crun", run) as container:
            self.assertEqual(container.code, 0, container.output())
            wait_for(lambda: ask("inspect", "web")["denied"] > 0, "something has failed")
            self.assertEqual({ask("inspect", "web")["applied"] for _ in range(30)}, {0})

    @applier.selector_only("it knows of the init alone")
    def test_ps(self):
        """Who is restricted, by what: a target, its child, a helper beside it, and a session; never a "no" for what
        could not be looked at."""
        bundle = self.container(profile(program("/bin/inner", name="target", sessions=False),
                                        program("/bin/none", name="guest")))
        os.link(bundle.path("bin/probe"), bundle.path("bin/inner"))
        run = bundle.script("run.sh", "/bin/inner exec /bin/sh -c 'sleep 1001 & sleep 1002; true' &\nsleep 1003 &\n"
                                      "sleep 1004\n")
        with bundle.running("crun", run) as container:
            self.assertEqual(container.code, 0, container.output())
            subprocess.run(["crun", "exec", "--detach", bundle.id, "/bin/sleep", "1005"], check=True)
            expected = {"/bin/sh /run.sh": ("init", "no", []), "sleep 1003": ("init", "no", []),
                        "sleep 1004": ("init", "no", []), "sleep 1001": ("init", "yes", ["target"]),
                        "sleep 1002": ("init", "yes", ["target"]), "/bin/sleep 1005": ("session", "yes", ["guest"]),
                        "/bin/sh -c sleep 1001 & sleep 1002; true": ("init", "yes", ["target"])}
            wait_for(lambda: self.processes() == expected, "the processes are there")
            text = oci_landlock("ps").stdout
            self.assertTrue(text.startswith(f"{bundle.id} ({SHOWN})\n  PID "), text)
            self.assertRegex(text, r"\n  \d+ +session +sleep +guest\n")
            self.assertRegex(text, r"\n  \d+ +init +sleep +nothing\n")
            self.restricted = {line for line, verdict in expected.items() if verdict[1] == "yes"}
            self.check_what_cannot_be_seen()
        self.assertEqual(ask("ps")["containers"], [])

    @staticmethod
    def command_line(process):
        with open(f"/proc/{process['pid']}/cmdline", encoding="utf-8") as file:
            return file.read().replace("\0", " ").strip()

    def processes(self, *prefix):
        """Command line -> what ps says; None: it fails."""
        answer = subprocess.run([*prefix, OCI_LANDLOCK, "ps", "--json"], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, check=False)
        if answer.returncode:
            self.assertRegex(answer.stderr, r"^(oci-landlock: [^\n]+\n|prlimit|.*error while loading)")
            return None
        found, = json.loads(answer.stdout)["containers"]
        self.assertEqual("incomplete" in found, prefix[:1] == ("unshare",))
        return {self.command_line(process): (process.get("from"), process["restricted"], process["entries"])
                for process in found["processes"]}

    def check_what_cannot_be_seen(self):
        # Nobody has a number in a new pid namespace.
        self.assertEqual(self.processes("unshare", "--pid", "--fork"), {})
        # Without descriptors it fails, or it cannot look at processes, or it can.
        said = set()
        for limit in range(4, 40):
            found = self.processes("prlimit", f"--nofile={limit}")
            for line, (_, verdict, entries) in (found or {}).items():
                said.add(verdict)
                if line in self.restricted:
                    self.assertIn(verdict, ("yes", "unknown"), f"{line} with {limit} descriptors")
                else:
                    self.assertIn(verdict, ("no", "unknown"), f"{line} with {limit} descriptors")
                self.assertEqual(bool(entries), verdict == "yes")
            if found and said >= {"unknown"} and all(verdict != "unknown" for _, verdict, _ in found.values()):
                break
        self.assertEqual(said, {"yes", "no", "unknown"})


class Launched(TestCase):
    def setUp(self):
        if not applier.LAUNCH:
            self.skipTest("launch only: the selector knows of every process")
        super().setUp()

    def test_ps(self):
        """The init is known, and that nobody else is, is said."""
        bundle = self.bundle()
        bundle.annotate(entrypoint(), **NAMES)
        with bundle.running("crun", "/bin/sleep", "600") as container:
            wait_for(lambda: ask("inspect", "web")["applied"], "it is restricted")
            found, = ask("ps")["containers"]
            self.assertIn("knows of the init alone", found.pop("incomplete"))
            self.assertEqual(found, {"id": bundle.id, "names": status()["containers"][0]["names"],
                                     "processes": [{"pid": container.pid(), "command": "sleep", "from": "init",
                                                    "restricted": "yes", "entries": ["one"]}]})
            self.assertIn("There may be more: the launch applier", oci_landlock("ps").stdout)
