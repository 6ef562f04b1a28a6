# SPDX-License-Identifier: Apache-2.0
"""Many containers that each execute many targets at once, while the supervisor is killed and started again every
second. Each target sees for itself whether it is restricted."""

import concurrent.futures
import os
import tempfile
import threading


import applier
from applier import supervisor
from cases import Tally, wait_for
from containers import TestCase, profile, program, status
from direct import FULL
from fdstore import FdStore

CONTAINERS = 200 if FULL else 12
TARGETS = 100 if FULL else 12
AT_ONCE = 3  # of a container: who waits for a supervisor keeps the processors busy, and there are two
WORKERS = 16


@applier.inject_only("a supervisor at work")
class Load(TestCase):
    def storm(self, start, between):
        """Runs the containers; returns the tally, and how often the supervisor was killed. `start` starts it again;
        `between`: once they all exist, before their targets start."""
        bundles = []
        for _ in range(CONTAINERS):
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            # Rounds, so that there is something to do for as long as supervisors are killed.
            bundle.script("run.sh", f"""
                while ! [ -e /tmp/go ]; do sleep 0.1; done
                for round in 1 2 3 4; do
                    /bin/probe swarm {TARGETS} {AT_ONCE} /bin/target verdict
                    sleep 1
                done
                echo over
                sleep 10000
            """)
            bundles.append(bundle)
        kills = 0
        stop = threading.Event()

        def killer():
            nonlocal kills
            while not stop.wait(2):
                supervisor.kill()
                start()
                kills += 1

        with concurrent.futures.ThreadPoolExecutor(max_workers=WORKERS) as pool:
            contexts = [bundle.running("crun", "/run.sh") for bundle in bundles]
            running = list(pool.map(lambda context: context.__enter__(), contexts))
            try:
                self.assertEqual([container.code for container in running], [0] * CONTAINERS,
                                 [container.output() for container in running if container.code])
                between()
                thread = threading.Thread(target=killer)
                thread.start()
                try:
                    for bundle in bundles:
                        bundle.write("tmp/go", "")
                    for container in running:
                        container.wait_for("over", 3600 if FULL else 600)
                finally:
                    stop.set()
                    thread.join()
                tally = Tally("".join(container.output() for container in running))
                self.assertEqual(tally.swarms, 4 * CONTAINERS)
                events = sum(item["denied"] for item in status()["containers"])
            finally:
                list(pool.map(lambda context: context.__exit__(None, None, None), contexts))
        print(f"    {CONTAINERS} containers, {kills} kills: {tally.restricted} restricted, {tally.denied} denied, "
              f"{tally.killed} killed, {events} events")
        self.assertEqual((tally.unrestricted, tally.unsure, tally.other), (0, 0, 0))
        self.assertEqual(tally.restricted + tally.denied + tally.killed, 4 * CONTAINERS * TARGETS)
        # A target that dies with its tracer leaves none.
        self.assertLessEqual(tally.denied, events)
        return tally, kills

    def idle_descriptors(self):
        """Of a supervisor that has let go of what ran before."""
        wait_for(lambda: status()["supervisor"].get("containers") == 0, "the supervisor holds nothing")
        # Nor the connection of whoever has just asked.
        found = []

        def settled():
            nonlocal found
            before, found = found, supervisor.descriptors()
            return found == before

        wait_for(settled, "the supervisor opens and closes nothing", pause=2)
        return found

    def leaves_nothing(self, before):
        if not supervisor.running():
            supervisor.start()
        self.assertNothingLeft()
        wait_for(lambda: supervisor.descriptors() == before, "the supervisor holds what it held before",
                 said=lambda: f"{before} before, {supervisor.descriptors()}")
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        self.assertEqual(bundle.run("crun", "/bin/target", "read", "/etc/secret").stdout,
                         "read /etc/secret: Permission denied\n")

    def test_quiet(self):
        """Nobody is killed: every target runs, restricted."""
        before = self.idle_descriptors()
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        count = CONTAINERS * TARGETS
        result = bundle.run("crun", "/bin/probe", "swarm", str(count), str(TARGETS), "/bin/target", "verdict",
                            timeout=3600)
        self.assertEqual(Tally(result.stdout).restricted, count, result.stdout + result.stderr)
        self.leaves_nothing(before)

    def test_kept(self):
        """With a store: containers survive the supervisors, and their targets go on to run, restricted."""
        supervisor.stop()
        store = FdStore(os.path.join(tempfile.mkdtemp(dir="/run"), "notify"))
        self.addCleanup(store.close)
        self.addCleanup(supervisor.stop)
        store.start(supervisor)
        before = self.idle_descriptors()
        tally, kills = self.storm(lambda: store.start(supervisor), lambda: None)
        self.assertGreater(kills, 1)
        self.assertGreater(tally.restricted, 0)
        self.leaves_nothing(before)
        wait_for(lambda: store.count() == 0, "nothing is stored any more",
                 said=lambda: f"{store.kept} is, and the supervisor has {status()['supervisor']}")

    def test_not_kept(self):
        """Without: after the first kill every target is denied, and a new container works."""
        before = self.idle_descriptors()

        def first():
            supervisor.kill()
            supervisor.start()

        tally, _ = self.storm(supervisor.start, first)
        self.assertEqual((tally.restricted, tally.killed), (0, 0))
        self.leaves_nothing(before)
