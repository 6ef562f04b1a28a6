# SPDX-License-Identifier: Apache-2.0
"""SELinux that enforces Debian 13's policy, and podman's containers in their domain: harness/run --suite trixie --engines
--append lsm=landlock,selinux,bpf; with launch lsm=landlock,selinux."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import applier
from cases import FREE, RESTRICTED
from containers import SOURCE, Bundle, TestCase, command, doctor, entry, install, policy, profile, program

ENFORCE = "/sys/fs/selinux/enforce"
POLICY = "/etc/selinux/default"
# What a service has that the policy does not know, and a root who has logged in.
SERVICE = "system_u:system_r:initrc_t:s0-s0:c0.c1023"
UNCONFINED = "unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023"
CONTAINER = "system_u:system_r:container_t:s0:c1,c2"
FILES = "system_u:object_r:container_file_t:s0:c1,c2"
SAID = "/run/hook.said"
ASKS = ("--annotation", "io.landlock.profile=web", "--annotation", "run.oci.hooks.stderr=" + SAID)
# What the hook says where it is confined: it may not even look at bpffs, nor attach to the container's init.
REFUSED = r"oci-landlock: container \w+: " + (
    "attach to the container's init: Permission denied" if applier.LAUNCH else
    "look at /sys/fs/bpf: Permission denied")
MODULE = "/usr/share/oci-landlock/selinux/oci-landlock.cil"

with open("/sys/kernel/security/lsm", encoding="utf-8") as file:
    SELINUX = "selinux" in file.read().strip().split(",")


def enforce(number):
    with open(ENFORCE, "w", encoding="ascii") as file:
        file.write(number)


def denied():
    """The last that the policy denied, for whoever has to find out why."""
    log = command("dmesg").stdout.splitlines()
    return "\n".join([line for line in log if "avc:  denied" in line][-20:])


def become(context):
    """As if it had been started so."""
    with open("/proc/self/attr/current", "w", encoding="ascii") as file:
        file.write(context)


@unittest.skipUnless(SELINUX, "SELinux is off; boot with --append lsm=landlock,selinux,bpf")
@unittest.skipUnless(os.path.exists("/usr/share/selinux/default/podman.pp.bz2"), "this policy does not know containers")
class Enforcing(TestCase):
    @classmethod
    def setUpClass(cls):
        install()
        os.makedirs("/etc/oci-landlock/profiles", exist_ok=True)
        os.makedirs("/var/lib/containers", exist_ok=True)
        rules = policy(read=["/bin", "/proc"], write=["/dev", "/tmp"])
        wanted = entry(sessions=False, rules=rules) if applier.LAUNCH else program("/bin/target", rules=rules)
        with open("/etc/oci-landlock/profiles/web.json", "w", encoding="utf-8") as file:
            json.dump(profile(wanted), file)
        # A boot with udev and systemd has done all that.
        command("modprobe", "overlay", check=True)
        command("load_policy", "-i", check=True)
        command("setfiles", "-F", "-e", "/src", "-e", "/images", "-e", "/proc", "-e", "/sys", "-e", "/dev",
                POLICY + "/contexts/files/file_contexts", "/", timeout=300, check=True)
        # What containers' engines make in there is labelled by it.
        command("restorecon", "-RF", "/run", check=True)
        for name, kind in (("null", "null"), ("zero", "zero"), ("random", "random"), ("urandom", "urandom")):
            command("chcon", "-t", kind + "_device_t", "/dev/" + name, check=True)
        become(SERVICE)
        cls.addClassCleanup(enforce, "0")
        if not applier.LAUNCH:
            # By the service, as it would be: maps and programs have the domain of who made them.
            applier.unload().check_returncode()
            applier.load().check_returncode()
        applier.start()
        enforce("1")

    def domain(self, context, *options):
        """The domain of a container and what its target prints, by an engine that is started from `context`; or
        why there is none."""
        bundle = Bundle(tempfile.mkdtemp(prefix="rootfs-", dir="/var/lib/containers"))
        self.addCleanup(shutil.rmtree, bundle.directory, ignore_errors=True)
        command("chcon", "-R", FILES, bundle.rootfs, check=True)
        enforce("0")
        result = subprocess.run(
            ["podman", "--cgroup-manager=cgroupfs", "run", "--rm", "--network=none", "--security-opt=label=level:s0:c1,c2",
             *options, "--rootfs", bundle.rootfs, "/bin/sh", "-c",
             "cat /proc/self/attr/current >/tmp/domain; exec /bin/target read /etc/secret >/tmp/out 2>&1"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
            preexec_fn=lambda: (become(context), enforce("1")))
        enforce("1")
        if result.returncode:
            with open(SAID, encoding="utf-8") as file:
                return result.stderr + file.read() + denied()
        said = []
        for name in ("domain", "out"):
            with open(bundle.path("tmp", name), encoding="utf-8") as file:
                said.append(file.read().rstrip("\n\0"))
        return said

    def test_engines(self):
        """One that is not confined needs nothing of ours. One that is, as a service is, starts no container with a profile,
        and the hook says why, until our module is loaded by the document. doctor says that there is something to know."""
        # The confined one is first: what the other makes for all engines to come, it would not get at.
        self.assertEqual(self.domain(SERVICE), [CONTAINER, FREE])
        refusal = self.domain(SERVICE, *ASKS)
        self.assertIn("error executing hook `/usr/bin/oci-landlock`", refusal)
        self.assertRegex(refusal, REFUSED)
        self.assertEqual(self.domain(UNCONFINED), [CONTAINER, FREE])
        self.assertEqual(self.domain(UNCONFINED, *ASKS), [CONTAINER, RESTRICTED])
        self.assertEqual(doctor()[1]["kernel.selinux"]["severity"], "note")

        with open(os.path.join(SOURCE, "docs", "install.md"), encoding="utf-8") as file:
            steps, = re.findall(r"^## SELinux$.*?^```sh\n(.*?)^```$", file.read(), re.M | re.S)
        self.assertIn(MODULE, steps)
        enforce("0")
        os.makedirs(os.path.dirname(MODULE), exist_ok=True)
        shutil.copy(os.path.join(SOURCE, "packaging", "selinux", os.path.basename(MODULE)), MODULE)
        done = command("sh", "-euc", steps, timeout=600)
        enforce("1")
        self.assertEqual(done.returncode, 0, done.stderr)
        for context in (SERVICE, UNCONFINED):
            self.assertEqual(self.domain(context), [CONTAINER, FREE])
            said = self.domain(context, *ASKS)
            self.assertEqual(said, [CONTAINER, RESTRICTED], said)
