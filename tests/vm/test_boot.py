# SPDX-License-Identifier: Apache-2.0
"""What wants a boot of its own: kernels that lack something, run with another kernel or other kernel arguments
(harness/run --append lsm=…), and what cannot be undone."""

import os
import unittest

import applier
from cases import wait_for
from containers import doctor, entry, oci_landlock, policy, problems, profile, program, status
from direct import DirectTestCase, fake_init, hook

with open("/sys/kernel/security/lsm", encoding="utf-8") as file:
    LSM = file.read().strip().split(",")
BPF = "bpf" in LSM
LANDLOCK = "landlock" in LSM
KERNEL = os.environ.get("VM_KERNEL", "")
YAMA = "/proc/sys/kernel/yama/ptrace_scope"
DENIED = "read /etc/secret: Permission denied\n"


class Boot(DirectTestCase):
    def assertFit(self, load, supervise):
        """The exit status of --check, by which services are skipped; it loads nothing."""
        self.assertEqual(oci_landlock("load", "--check").returncode, load)
        self.assertEqual(oci_landlock("supervise", "--check").returncode, supervise)
        self.assertFalse(status()["loaded"])

    def refused(self, *words):
        """`load` and the hook say what is missing, nothing is loaded, and a container that asks for a sandbox does not
        start, whereas one that does not ask does."""
        self.assertFit(3, 3)
        said = oci_landlock("load", "--check").stderr
        self.assertEqual([word for word in words if word not in said], [], said)
        self.assertRefused(oci_landlock("load"), *words)
        self.no_container(words[0])
        self.assertFalse(status()["loaded"])
        self.assertEqual(os.listdir("/sys/fs/bpf"), [])

    def no_container(self, *words):
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        with fake_init("init") as pid:
            self.assertRefused(hook(self.state_of(bundle, pid)), *words)
        result = bundle.run("crun", "/bin/target", "read", "/etc/secret")
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        bundle.config["annotations"] = {}
        self.assertEqual(bundle.run("crun", "/bin/target", "read", "/etc/secret").stdout, "read /etc/secret: allowed\n")

    @unittest.skipIf(BPF, "BPF LSM is on; boot with lsm=landlock")
    def test_no_bpf(self):
        """BPF LSM is off."""
        self.refused("BPF LSM is off", "boot with lsm=", "bpf")
        code, found = doctor()
        self.assertEqual((code, found["kernel.lsm"]["severity"]), (0, "note"), found)
        self.assertEqual(found["kernel.lsm"]["remedy"], "boot with lsm=" + ",".join([*LSM, "bpf"]))

    @unittest.skipIf(LANDLOCK, "Landlock is on; boot with lsm=bpf")
    def test_no_landlock(self):
        """Landlock is off."""
        remedy = "boot with lsm=" + ",".join(["landlock", *LSM])
        self.refused("Landlock is off", remedy)
        code, found = doctor()
        self.assertEqual((code, problems(found)), (1, ["kernel.landlock"]), found)
        self.assertEqual(found["kernel.landlock"]["remedy"], remedy)

    @unittest.skipUnless(KERNEL.startswith("bridge") and BPF and LANDLOCK and LSM.index("bpf") < LSM.index("landlock"),
                         "landlock comes first; boot with lsm=bpf,landlock")
    def test_order(self):
        """Landlock comes after bpf, which makes no difference."""
        self.assertFit(0, 3)
        self.assertEqual(oci_landlock("load").returncode, 0)
        self.assertEqual(status()["applier"], "kfunc")
        code, found = doctor()
        self.assertEqual((code, found["kernel.applier"]["severity"]), (0, "ok"), found)
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        self.assertEqual(bundle.run("crun", "/bin/target", "read", "/etc/secret").stdout, DENIED)

    @unittest.skipUnless(KERNEL == "bridge-replacing", "this kernel stacks what one exec is given")
    def test_replacing(self):
        """The kernel would keep only the last of several layers: an exec that needs one gets it, and one that needs more
        is denied, whether they are of one entry or of several. The next exec of a task adds its layers."""
        self.assertEqual(oci_landlock("load").returncode, 0)
        self.assertIs(status()["stacks"], False)
        self.assertIn("\nlayers      an exec can have one layer", oci_landlock("status").stdout)
        found = doctor()[1]["node.layers"]
        self.assertEqual(found["severity"], "note")
        self.assertIn("an exec can have one layer", found["message"])
        both = [policy(read=["/"]), policy(read=["/bin", "/lib"])]
        for wanted in (profile(program("/bin/target", rules=both)),
                       profile(program("/bin/target", name="one"), program("/bin/target", name="two"))):
            bundle = self.bundle()
            bundle.annotate(wanted)
            script = bundle.script("run.sh", "/bin/target read /etc/secret; echo ready; sleep 600")
            with bundle.running("crun", script) as container:
                container.wait_for("ready")
                self.assertNotIn("/etc/secret", container.output())
                item, = status()["containers"]
                self.assertEqual((item["applied"], item["denied"]), (0, 1))
                self.assertEqual((item["lastDenial"]["errno"], item["lastDenial"]["reason"]),
                                 (7, "the program needs several layers, of which this kernel would keep only the last"))
        for wanted in (profile(program("/bin/target")), profile(entry(), program("/bin/target", name="more"))):
            bundle = self.bundle()
            bundle.annotate(wanted)
            self.assertEqual(bundle.run("crun", "/bin/sh", "-c", "exec /bin/target read /etc/secret").stdout, DENIED)

    @unittest.skipIf(not BPF or not LANDLOCK or KERNEL.startswith("bridge"),
                     "this kernel has the bridge; boot another one")
    def test_no_bridge(self):
        """The kernel is not patched: the kfunc applier cannot be had, and inject is what `load` chooses. Its hook wants
        a supervisor. One node has one applier."""
        self.assertFit(0, 0)
        missing = ("lacks the kfunc bpf_lsm_policy_apply_bprm", "packaging/kernel")
        self.assertRefused(oci_landlock("load", "--applier", "kfunc"), *missing)
        self.assertFalse(status()["loaded"])
        self.assertEqual(os.listdir("/sys/fs/bpf"), [])
        supervisor = ("systemctl start oci-landlock-supervisor", "oci-landlock supervise")
        self.no_container(*supervisor)
        self.assertEqual(oci_landlock("load").returncode, 0)
        found = status()
        self.assertEqual((found["applier"], found["kernel"]["bridge"]), ("inject", False))
        self.assertFalse(found["supervisor"]["running"])
        self.no_container(*supervisor)
        self.assertRefused(oci_landlock("load", "--applier", "kfunc"), "inject", "unload")
        self.assertEqual(status()["applier"], "inject")

    @unittest.skipUnless(KERNEL.startswith("bridge") and BPF and LANDLOCK, "this kernel lacks the bridge")
    def test_bridge(self):
        """With the bridge, kfunc is what `load` chooses, and inject works there as well."""
        self.assertFit(0, 3)
        self.assertEqual(oci_landlock("load").returncode, 0)
        self.assertEqual(oci_landlock("supervise", "--check").returncode, 3)
        self.assertEqual(status()["applier"], "kfunc")
        self.assertIs(status()["stacks"], True)
        self.assertNotIn("layers", oci_landlock("status").stdout)
        self.assertRefused(oci_landlock("load", "--applier", "inject"), "kfunc", "unload")
        self.assertEqual(oci_landlock("unload").returncode, 0)
        self.assertEqual(oci_landlock("load", "--applier", "inject").returncode, 0)
        self.assertEqual(status()["applier"], "inject")
        self.addCleanup(applier.supervisor.stop)
        applier.supervisor.start()
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        self.assertEqual(bundle.run("crun", "/bin/target", "read", "/etc/secret").stdout, DENIED)

    @unittest.skipUnless(os.path.exists(YAMA) and not BPF, "Yama is off, or BPF LSM on; boot with lsm=landlock,yama")
    def test_yama_launch(self):
        """ptrace_scope up to 2 does not matter to launch, 3 is refused."""
        bundle = self.bundle()
        bundle.annotate(profile(entry(sessions=False)))
        for scope in ("1", "2", "3"):
            with open(YAMA, "w", encoding="ascii") as file:
                file.write(scope)
            for runtime in ("crun", "runc"):
                result = bundle.run(runtime, "/bin/probe", "read", "/etc/secret")
                self.assertEqual(result.stdout, "" if scope == "3" else DENIED, result.stderr)
            with fake_init("own") as pid:
                found = hook(self.state_of(bundle, pid))
                code, findings = doctor()
                self.assertEqual((code, problems(findings)), (1, ["kernel.applier"]) if scope == "3" else (0, []),
                                 findings)
                if scope == "3":
                    self.assertRefused(found, "Yama lets nobody trace", "ptrace_scope=3")
                else:
                    self.assertEqual(found.returncode, 0, found.stderr)

    @unittest.skipUnless(os.path.exists(YAMA) and not KERNEL.startswith("bridge"), "Yama is off")
    def test_yama(self):
        """ptrace_scope 3, from which there is no way back, while a container runs: its targets are denied, with an
        event each, and new containers are refused."""
        self.addCleanup(applier.supervisor.stop)
        applier.supervisor.start()
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        script = bundle.script("run.sh", """
            for go in 1 2; do
                while ! [ -e /go$go ]; do sleep 0.05; done
                /bin/target read /etc/secret
                /bin/probe read /etc/secret
                echo round $go
            done
            sleep 600
        """)
        free = "read /etc/secret: allowed\n"
        with bundle.running("crun", script) as container:
            self.assertEqual(container.code, 0, container.output())
            bundle.write("go1", "")
            container.wait_for("round 1")
            self.assertEqual(container.output(), DENIED + free + "round 1\n")
            with open(YAMA, "w", encoding="ascii") as file:
                file.write("3")
            bundle.write("go2", "")
            container.wait_for("round 2")
            rest = container.output().removeprefix(DENIED + free + "round 1\n")
            self.assertIn("/bin/target: Operation not permitted\n", rest)
            self.assertTrue(rest.endswith(free + "round 2\n"), rest)
            found, = status()["containers"]
            self.assertEqual((found["applied"], found["denied"]), (1, 1))
            code, found = doctor()
            self.assertEqual((code, problems(found)), (1, ["kernel.applier", "node.containers"]), found)
            self.assertIn("kernel.yama.ptrace_scope=3", found["kernel.applier"]["message"])
            other = self.bundle()
            other.annotate(profile(program("/bin/target")))
            result = other.run("runc", "/bin/target", "read", "/etc/secret")
            self.assertNotEqual(result.returncode, 0)
            self.assertNotIn("allowed", result.stdout)
        wait_for(lambda: applier.supervisor.tracers() == [], "no tracer is left")
        applier.supervisor.stop()
        self.assertEqual(oci_landlock("unload").returncode, 0)
        self.assertRefused(oci_landlock("load", "--applier", "inject"), "Yama", "ptrace_scope")
