# SPDX-License-Identifier: Apache-2.0
"""A launcher that restricts the program it executes, and not itself: what packaging/kernel adds to Landlock for it."""

import collections
import os
import re
import shutil
import subprocess
import time
import unittest

from cases import PATIENCE, Cases
from containers import PROBE, TestCase, policy, profile, program

DIRECTORY = os.path.dirname(PROBE)
LAUNCHER = os.path.join(DIRECTORY, "stage-exec")
LIBRARIES = ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6")
FREE = "launcher: read /etc/secret: allowed"
DENIED = "read /etc/secret: Permission denied"
TRACING = "/sys/kernel/tracing"
EVENT = re.compile(r" landlock_(\w+): (.*)$", re.M)


class Events:
    """What Landlock's tracepoints say while this is entered, in an instance of its own."""

    def __init__(self):
        self.directory = os.path.join(TRACING, "instances", f"oci-landlock-{os.getpid()}")

    def __enter__(self):
        os.mkdir(self.directory)
        with open(os.path.join(self.directory, "events/landlock/enable"), "w", encoding="ascii") as enable:
            enable.write("1")
        return self

    def __exit__(self, *_):
        os.rmdir(self.directory)

    def seen(self):
        """Name of an event: its fields, of each."""
        with open(os.path.join(self.directory, "trace"), encoding="utf-8", errors="replace") as trace:
            text = trace.read()
        found = collections.defaultdict(list)
        for name, fields in EVENT.findall(text):
            found[name].append(dict(field.split("=", 1) for field in fields.split(" ") if "=" in field))
        return found

    def settled(self, patience=20):
        """The same, once as many domains have ended as have begun: a worker of the kernel frees them."""
        end = time.monotonic() + patience * PATIENCE
        while True:
            found = self.seen()
            if len(found["free_domain"]) >= len(found["create_domain"]) or time.monotonic() > end:
                return found
            time.sleep(0.2)


def domains(events):
    return sorted(event["domain"] for event in events)


@unittest.skipUnless(os.path.isdir(os.path.join(TRACING, "events/landlock")), "this kernel has no events of Landlock")
class Tracepoints(TestCase):
    """As landlock_restrict_self(2) has them: of each domain its creation and its end, and of those in force that too."""

    def launch(self, path):
        if subprocess.run([LAUNCHER], check=False, stderr=subprocess.DEVNULL).returncode == 77:
            self.skipTest("this kernel lacks LANDLOCK_RESTRICT_SELF_ON_EXEC")
        with Events() as events:
            subprocess.run([LAUNCHER, "/usr", "--", path], check=False, stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return events.settled()

    def test_of_a_launcher(self):
        seen = self.launch(os.path.join(DIRECTORY, "small-static"))
        self.assertEqual(len(seen["create_domain"]), 1)
        # The ruleset that user space made, and no copy of it.
        self.assertEqual([event["ruleset"].split(".")[0] for event in seen["create_ruleset"]],
                         [event["ruleset"].split(".")[0] for event in seen["create_domain"]])
        self.assertEqual(len(seen["free_ruleset"]), 1)
        self.assertEqual(seen["enforce_domain"], [{"domain": seen["create_domain"][0]["domain"], "complete": "1",
                                                   "process_wide": "1", "no_new_privs": "1"}])
        self.assertEqual(domains(seen["free_domain"]), domains(seen["create_domain"]))

    def test_of_a_failed_exec(self):
        """What is no program fails after the domain was made."""
        script = os.path.join(self.bundle().directory, "no-program")
        with open(script, "w", encoding="ascii") as file:
            file.write("none\n")
        os.chmod(script, 0o755)
        seen = self.launch(script)
        self.assertEqual(len(seen["create_domain"]), 1)
        self.assertEqual(seen["enforce_domain"], [])
        self.assertEqual(domains(seen["free_domain"]), domains(seen["create_domain"]))

    @unittest.skipUnless(os.environ.get("APPLIER") == "kfunc", "only kfunc applies policies to an exec")
    def test_of_a_profile(self):
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target", rules=policy(read=["/bin", "/allowed"]))))
        with Events() as events:
            cases = Cases()
            cases.prints("of the profile", "/bin/target read /etc/secret", DENIED)
            cases.run(self, bundle, "crun")
            seen = events.settled()
        self.assertTrue(seen["enforce_domain"])
        self.assertLessEqual(set(domains(seen["enforce_domain"])), set(domains(seen["create_domain"])))
        self.assertEqual({event["complete"] + event["process_wide"] for event in seen["enforce_domain"]}, {"11"})
        self.assertEqual(domains(seen["free_domain"]), domains(seen["create_domain"]))


class OnExec(TestCase):
    def setUp(self):
        super().setUp()
        if subprocess.run([LAUNCHER], check=False, stderr=subprocess.DEVNULL).returncode == 77:
            self.skipTest("this kernel lacks LANDLOCK_RESTRICT_SELF_ON_EXEC")

    def launching(self, *names):
        """A bundle with the launcher and these programs of this build."""
        bundle = self.bundle()
        for name in ("stage-exec", *names):
            shutil.copy(os.path.join(DIRECTORY, name), bundle.path("bin", name))
        return bundle

    def test_from_the_first_instruction(self):
        """The launcher reads what the program cannot, and a program that does nothing else first is denied. It need not
        be allowed to read the program itself, as opposed to its libraries."""
        names = [name for name in ("entry64", "entry32", "small-static", "small-static-pie", "small-dynamic-pie")
                 if os.path.exists(os.path.join(DIRECTORY, name))]
        bundle = self.launching(*names)
        for library in LIBRARIES:
            os.makedirs(os.path.dirname(bundle.path(library[1:])), exist_ok=True)
            shutil.copy(library, bundle.path(library[1:]))
        cases = Cases()
        for name in names:
            paths = "/lib /lib64" if "dynamic" in name else "/allowed"
            cases.prints(name, f"/bin/stage-exec {paths} -- /bin/{name}", FREE, DENIED)
            cases.free(name + ", executed by another", f"/bin/{name}")
        cases.prints("allowed", "/bin/stage-exec /etc -- /bin/small-static", FREE, "read /etc/secret: allowed")
        cases.prints("what it executes in turn", "/bin/stage-exec /bin -- /bin/probe exec /bin/small-static", FREE,
                     DENIED)
        cases.prints("a failed exec", "/bin/stage-exec /allowed -- /bin/none", FREE,
                     "stage-exec: /bin/none: No such file or directory")
        cases.run(self, bundle, "crun")

    def test_with_a_profile(self):
        """A program that has both a launcher with a ruleset and a profile gets what both allow, in either's way."""
        bundle = self.launching()
        bundle.annotate(profile(program("/bin/target", rules=policy(read=["/bin", "/allowed"]))))
        both = "read /etc/secret + read /allowed/file + read /bin/probe"
        cases = Cases()
        cases.prints("of the launcher", f"/bin/stage-exec /etc /bin -- /bin/probe {both}", FREE, "read /etc/secret: allowed",
                     "read /allowed/file: Permission denied", "read /bin/probe: allowed")
        cases.prints("of the profile", f"/bin/target {both}", DENIED, "read /allowed/file: allowed",
                     "read /bin/probe: allowed")
        cases.prints("of both", f"/bin/stage-exec /etc /bin -- /bin/target {both}", FREE, DENIED,
                     "read /allowed/file: Permission denied", "read /bin/probe: allowed")
        cases.run(self, bundle, "crun")
