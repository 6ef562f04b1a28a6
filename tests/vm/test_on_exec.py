# SPDX-License-Identifier: Apache-2.0
"""A launcher that restricts the program it executes, and not itself: what packaging/kernel adds to Landlock for it."""

import os
import shutil
import subprocess

from cases import Cases
from containers import PROBE, TestCase, policy, profile, program

DIRECTORY = os.path.dirname(PROBE)
LAUNCHER = os.path.join(DIRECTORY, "stage-exec")
LIBRARIES = ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6")
FREE = "launcher: read /etc/secret: allowed"
DENIED = "read /etc/secret: Permission denied"


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
