# SPDX-License-Identifier: Apache-2.0
"""Kernels that lack something: run with another kernel, or other kernel arguments (harness/run --append lsm=…)."""

import os
import unittest

from containers import oci_landlock, profile, program, status
from direct import DirectTestCase, fake_init, hook

with open("/sys/kernel/security/lsm", encoding="utf-8") as file:
    LSM = file.read().strip().split(",")
BPF = "bpf" in LSM
LANDLOCK = "landlock" in LSM
KERNEL = os.environ.get("VM_KERNEL", "")


class Boot(DirectTestCase):
    def refused(self, *words):
        """`load` and the hook say what is missing, nothing is loaded, and a container that asks for a sandbox does not
        start, whereas one that does not ask does."""
        self.assertRefused(oci_landlock("load"), *words)
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        with fake_init("init") as pid:
            self.assertRefused(hook(self.state_of(bundle, pid)), words[0])
        result = bundle.run("crun", "/bin/target", "read", "/etc/secret")
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        bundle.config["annotations"] = {}
        self.assertEqual(bundle.run("crun", "/bin/target", "read", "/etc/secret").stdout, "read /etc/secret: allowed\n")
        self.assertFalse(status()["loaded"])
        self.assertEqual(os.listdir("/sys/fs/bpf"), [])

    @unittest.skipIf(BPF, "BPF LSM is on; boot with lsm=landlock")
    def test_no_bpf(self):
        """BPF LSM is off."""
        self.refused("BPF LSM is off", "boot with lsm=", "bpf")

    @unittest.skipIf(LANDLOCK, "Landlock is on; boot with lsm=bpf")
    def test_no_landlock(self):
        """Landlock is off."""
        self.refused("Landlock is off", "landlock")

    @unittest.skipUnless(BPF and LANDLOCK and LSM.index("bpf") < LSM.index("landlock"),
                         "landlock comes first; boot with lsm=bpf,landlock")
    def test_order(self):
        """Landlock comes after bpf."""
        self.refused("Landlock must come before bpf", "order")

    @unittest.skipIf(not BPF or not LANDLOCK or KERNEL.startswith("bridge"),
                     "this kernel has the bridge; boot another one")
    def test_no_bridge(self):
        """The kernel is not patched."""
        self.refused("lacks the kfunc bpf_landlock_restrict_binprm", "packaging/kernel")
