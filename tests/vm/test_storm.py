# SPDX-License-Identifier: Apache-2.0
"""Containers that come and go while others execute targets and other programs as fast as they can: what a kernel that
looks for errors of its own should see, too."""

import concurrent.futures

import applier
from cases import Tally
from containers import RUNTIMES, TestCase, profile, program
from direct import FULL

CONTAINERS = 24 if FULL else 4
TARGETS = 40 if FULL else 15
COMING_AND_GOING = 40 if FULL else 4
AT_ONCE = 3
RESTRICTED = 42  # the probe's verdict


@applier.selector_only("programs other than the entrypoint")
class Storm(TestCase):
    def swarm(self, runtime):
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        return bundle.shell(runtime, f"""
            /bin/probe swarm {TARGETS} {AT_ONCE} /bin/target verdict &
            /bin/probe swarm {TARGETS} {AT_ONCE} /bin/probe verdict
            wait
        """, timeout=3600)

    def come_and_go(self, runtime):
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        return bundle.run(runtime, "/bin/target", "verdict", timeout=3600)

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
