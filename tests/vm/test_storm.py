# SPDX-License-Identifier: Apache-2.0
"""Containers that come and go while others execute targets and other programs as fast as they can: what a kernel that
looks for errors of its own should see, too; and execs without memory."""

import concurrent.futures
import os
import re
import shutil
import unittest

import applier
from cases import Tally
from containers import PROBE, RUNTIMES, TestCase, command, profile, program
from direct import FULL

CONTAINERS = 24 if FULL else 4
TARGETS = int(os.environ.get("TARGETS", 40 if FULL else 15))  # of each container, and as many other programs
COMING_AND_GOING = 40 if FULL else 4
AT_ONCE = 3
LONG = 3600 + TARGETS // 10
RESTRICTED = 42  # the probe's verdict
ALLOCATIONS = 600  # more than two execs have, and all that one is restricted with
FAULTS = "/sys/kernel/debug/failslab"


@applier.selector_only("programs other than the entrypoint")
class Storm(TestCase):
    def swarm(self, runtime):
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        return bundle.shell(runtime, f"""
            /bin/probe swarm {TARGETS} {AT_ONCE} /bin/target verdict &
            /bin/probe swarm {TARGETS} {AT_ONCE} /bin/probe verdict
            wait
        """, timeout=LONG)

    def come_and_go(self, runtime):
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        return bundle.run(runtime, "/bin/target", "verdict", timeout=LONG)

    def test_exec_storm(self):
        with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
            swarms = [pool.submit(self.swarm, RUNTIMES[i % len(RUNTIMES)]) for i in range(CONTAINERS)]
            others = [pool.submit(self.come_and_go, RUNTIMES[i % len(RUNTIMES)]) for i in range(COMING_AND_GOING)]
            results = [swarm.result() for swarm in swarms]
            codes = [other.result().returncode for other in others]
        tally = Tally("".join(result.stdout for result in results))
        said = [result.stderr for result in results if result.stderr]
        self.assertEqual((tally.swarms, tally.restricted, tally.unrestricted),
                         (2 * CONTAINERS, CONTAINERS * TARGETS, CONTAINERS * TARGETS), said)
        self.assertEqual(codes, [RESTRICTED] * COMING_AND_GOING)
        self.assertNothingLeft()


@unittest.skipUnless(os.path.exists("/proc/self/fail-nth"), "this kernel fails no allocations; boot bridge-debug")
class Starved(TestCase):
    """An allocation of the kernel fails, whichever it is: then the exec does, or the program is restricted."""

    def setUp(self):
        super().setUp()
        if not os.path.isdir(FAULTS):
            command("mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug", check=True)
        # Those that may wait for memory, too.
        with open(FAULTS + "/ignore-gfp-wait", "w", encoding="ascii") as file:
            file.write("N")

    def starve(self, bundle, words):
        for kind in bundle.config["process"]["capabilities"].values():
            kind.append("CAP_SYS_RESOURCE")
        result = bundle.shell("crun", f"/bin/probe starved {ALLOCATIONS} {words}", timeout=3600)
        tally = Tally(result.stdout)
        print(*re.findall(r"^(?:swarm|starved): .*$", result.stdout, re.M), sep="\n", flush=True)
        self.assertEqual((tally.swarms, tally.unrestricted), (1, 0), result.stderr)
        self.assertGreater(tally.denied + tally.unsure + tally.killed + tally.other, 0)
        # The others were long enough.
        last = re.search(r"^starved: the last was (\d+)$", result.stdout, re.M)
        self.assertLess(int(last[1]), ALLOCATIONS - 20)
        self.assertNothingLeft()

    @applier.selector_only("programs other than the entrypoint")
    def test_target(self):
        bundle = self.bundle()
        bundle.annotate(profile(*[program("/bin/target")] * 2))
        self.starve(bundle, "/bin/target verdict")

    def test_staged(self):
        """By a launcher, for the next exec."""
        bundle = self.bundle()
        launcher = os.path.join(os.path.dirname(PROBE), "stage-exec")
        if command(launcher).returncode == 77:
            self.skipTest("this kernel lacks LANDLOCK_RESTRICT_SELF_ON_EXEC")
        shutil.copy(launcher, bundle.path("bin", "stage-exec"))
        self.starve(bundle, "/bin/stage-exec /bin -- /bin/probe verdict")
