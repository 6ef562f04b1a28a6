# SPDX-License-Identifier: Apache-2.0
"""A path in a profile means what the container's processes see, whatever the image makes of it."""

import ctypes
import os
import re
import shutil
import socket
import stat
import tempfile
import threading

from containers import PROBE, policy, profile, program, status
from direct import FULL, DirectTestCase, gate

RENAME_EXCHANGE = 2
AT_FDCWD = -100


class Hostile(DirectTestCase):
    def image(self, **options):
        """A bundle in which `self.canary` exists, as on the host; the host's is mounted at /hostview as well: were a
        path to lead out of the container, its rule would show there."""
        self.canary = tempfile.mkdtemp(prefix="canary-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.canary)
        os.chmod(self.canary, 0o755)
        with open(f"{self.canary}/file", "w", encoding="utf-8") as file:
            file.write("host\n")
        shutil.copy(PROBE, f"{self.canary}/target")
        with open(f"{self.canary}/host-only", "w", encoding="utf-8") as file:
            file.write("host\n")
        bundle = self.bundle(**options)
        os.makedirs(bundle.path(self.canary[1:]))
        bundle.write(f"{self.canary[1:]}/file", "container\n")
        shutil.copy(PROBE, bundle.path(self.canary[1:], "target"))
        os.mkdir(bundle.path("l"))
        os.mkdir(bundle.path("hostview"))
        bundle.config["mounts"].append({"destination": "/hostview", "type": "bind", "source": self.canary,
                                        "options": ["bind", "ro"]})
        return bundle

    def links(self, bundle):
        """Names that lead to the canary, by what they are."""
        up = "../" * 40
        made = {"absolute": self.canary, "relative": ".." + self.canary, "beyond": up[:-1] + self.canary,
                "through": "/l/absolute/../" + os.path.basename(self.canary), "last": self.canary}
        for name, target in made.items():
            os.symlink(target, bundle.path("l", name))
        os.symlink("/", bundle.path("l/root"))
        os.symlink("../l/chain1", bundle.path("l/chain0"))
        for number in range(1, 38):
            os.symlink(f"chain{number + 1}", bundle.path("l", f"chain{number}"))
        os.symlink("last", bundle.path("l/chain38"))
        return [f"/l/{name}" for name in made] + [
            "/l/chain0", "/l/root" + self.canary, "/l/root/l/root/" + up + self.canary[1:], "/" + up + self.canary[1:],
            "/etc/.." + self.canary, "/." + self.canary.replace("/", "//") + "/./."]

    def test_leads_to_the_container(self):
        """Symbolic links of all kinds and `..` stay within the container's root; so do mounts of its config."""
        for runtime in self.each_runtime():
            bundle = self.image()
            paths = self.links(bundle)
            os.mkdir(bundle.path("mounted"))
            os.symlink("/mounted/deep/..", bundle.path("l/mounted"))
            os.makedirs(f"{self.canary}/mount/deep")
            bundle.config["mounts"].append({"destination": "/mounted", "type": "bind", "source": f"{self.canary}/mount",
                                            "options": ["bind"]})
            for name in ("mounted/file", "mounted/deep/file"):
                with open(os.path.join(self.canary, name.replace("mounted", "mount")), "w", encoding="utf-8") as file:
                    file.write("x")
            entries = []
            script = ""
            for number, path in enumerate(paths):
                os.symlink("probe", bundle.path("bin", f"p{number}"))
                shutil.copy(PROBE, bundle.path("bin", f"q{number}"))
                entries.append(program(f"/bin/q{number}", rules=policy(read=["/bin", path])))
                script += f"/bin/q{number} read {self.canary}/file + read /hostview/file + read /etc/secret\n"
            entries.append(program("/bin/target", rules=policy(read=["/bin", "/l/mounted"])))
            script += f"/bin/target read /mounted/file + read /mounted/deep/file + read {self.canary}/file\n"
            bundle.annotate(profile(*entries))
            result = bundle.shell(runtime, script)
            self.assertEqual(result.returncode, 0, result.stderr)
            expected = [f"read {self.canary}/file: allowed", "read /hostview/file: Permission denied",
                        "read /etc/secret: Permission denied"] * len(paths)
            expected += ["read /mounted/file: allowed", "read /mounted/deep/file: allowed",
                         f"read {self.canary}/file: Permission denied"]
            self.assertEqual(result.stdout.splitlines(), expected)
        self.assertMapsEmpty()

    def test_programs(self):
        """The same for programs: the container's file is a target, by whatever name; the host's file is not."""
        for path in ("/l/absolute/target", "/l/chain0/target", "/l/root/l/beyond/target"):
            bundle = self.image()
            self.links(bundle)
            bundle.annotate(profile(program(path)))
            result = bundle.shell("crun", f"{self.canary}/target read /etc/secret; /hostview/target read /etc/secret")
            self.assertEqual(result.stdout, "read /etc/secret: Permission denied\nread /etc/secret: allowed\n",
                             (path, result.stderr))
        self.assertMapsEmpty()

    def test_leads_nowhere(self):
        """What does not exist in the container, does not end, or is one of the kernel's magic links, is refused: also
        when the host has such a file."""
        bundle = self.image()
        self.links(bundle)
        os.symlink(f"{self.canary}/host-only", bundle.path("l/dangling"))
        os.symlink("loop", bundle.path("l/loop"))
        os.symlink("/proc/self/root", bundle.path("l/magic"))
        for number in range(50):
            os.symlink(f"deep{number + 1}", bundle.path("l", f"deep{number}"))
        os.symlink("last", bundle.path("l/deep50"))
        absent, magic = "does not exist inside the container", "too many symbolic links, or a magic link"
        for path, words in ((f"{self.canary}/host-only", absent), ("/l/dangling", absent), ("/l/loop", magic),
                            ("/l/deep0", magic), ("/etc/secret/x", absent), ("/proc/1/root", magic),
                            ("/proc/1/cwd/etc", magic), ("/proc/1/exe", magic), ("/proc/1/fd/0", magic),
                            ("/proc/1/ns/mnt", magic), ("/proc/self/root", absent), ("/proc/self/exe", absent),
                            ("/proc/self/fd/0", absent), ("/l/magic", absent), ("/proc/PID/root", absent),
                            ("/dev/fd/0", absent), ("/l/absolute/" + "x" * 256, "File name too long")):
            with self.subTest(path=path[:40]), gate(bundle) as held:
                path = path.replace("PID", str(held.oci_state["pid"]))
                bundle.annotate(profile(program("/bin/target", rules=policy(read=["/bin", path]))))
                self.assertRefused(held.hook(timeout=20), words, path[:40])
                bundle.annotate(profile(program(path)))
                result = held.hook(timeout=20)
                if words == absent:  # it may appear later
                    self.assertEqual(result.returncode, 0, result.stderr)
                    self.assertEqual(len(status()["containers"]), 1)
                else:
                    self.assertRefused(result, words, path[:40])
        self.assertMapsEmpty()

    def test_special_files(self):
        """A FIFO, a socket, a device: the hook does not open them, so that nothing can make it wait."""
        bundle = self.image()
        os.mkfifo(bundle.path("l/fifo"))
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(bundle.path("l/socket"))
        os.mknod(bundle.path("l/device"), 0o666 | stat.S_IFCHR, os.makedev(5, 1))
        rules = {"abi": 6, "ruleset": [{"handledAccessFs": ["abi.all"]}], "pathBeneath": [
            {"allowedAccess": ["read_file"], "parent": ["/l/fifo", "/l/socket", "/l/device", "/dev/null"]}]}
        bundle.annotate(profile(program("/bin/target", "/l/fifo", "/l/socket", "/l/device", rules=rules)))
        with gate(bundle) as held:
            result = held.hook(timeout=20)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertMapsEmpty()

    def test_nothing_outside_is_opened(self):
        """While a process of the host swaps a directory with a link that leads out, and moves the directory that `..`
        starts from out of the root and back, the hook opens nothing of the host by a path of the profile."""
        bundle = self.image()
        outside = tempfile.mkdtemp(prefix="outside-", dir="/tmp")
        self.addCleanup(shutil.rmtree, outside)
        os.makedirs(bundle.path("r/a/deep/deeper"))
        os.makedirs(bundle.path("r/swap"))
        os.symlink("../../../../../../.." + self.canary, bundle.path("r/link"))
        rules = policy(read=["/bin", "/r/swap", "/r/a/deep/deeper/../../../..", "/r/link",
                             "/r/a/deep/../../../../../.." + self.canary])
        bundle.annotate(profile(program("/bin/target", "/r/swap/target", rules={**rules}, missingPaths="skip")))
        libc = ctypes.CDLL(None, use_errno=True)
        stop = threading.Event()
        swapped = [0]

        def swap():
            inside, away = os.fsencode(bundle.path("r/a/deep")), os.fsencode(f"{outside}/deep")
            pair = os.fsencode(bundle.path("r/swap")), os.fsencode(bundle.path("r/link"))
            while not stop.is_set():
                os.rename(inside, away)
                os.rename(away, inside)
                libc.renameat2(AT_FDCWD, pair[0], AT_FDCWD, pair[1], RENAME_EXCHANGE)
                swapped[0] += 1

        # A file for each process, or one's lines would stand within another's.
        logs = os.path.join(bundle.directory, "trace")
        os.mkdir(logs)
        opened = 0
        racer = threading.Thread(target=swap)
        racer.start()
        try:
            for _ in range(200 if FULL else 10):
                with gate(bundle) as held:
                    result = held.hook(prefix=["strace", "-ff", "-y", "-o", os.path.join(logs, "of"),
                                               "-e", "trace=open,openat,openat2"])
                    self.assertIn(result.returncode, (0, 1))
                    for name in os.listdir(logs):
                        with open(os.path.join(logs, name), encoding="utf-8", errors="replace") as file:
                            opened += self.check_opened(bundle, file.read())
                        os.unlink(os.path.join(logs, name))
        finally:
            stop.set()
            racer.join()
        self.assertGreater(swapped[0], 100)
        self.assertGreater(opened, 30)
        self.assertMapsEmpty()

    def check_opened(self, bundle, log):
        """Each open of the hook is of the node's own files, or of something beneath the root. Returns how many of the
        latter there were."""
        within = 0
        for line in log.splitlines():
            found = re.search(r"open(at|at2)?\((?:[^,]*, )?\"([^\"]*)\".*\) = \d+<(.*)>$", line)
            if not found:
                # It failed, or whoever called it was killed in it.
                self.assertRegex(line, r" = -1 E|\+\+\+|---|= \?|<unfinished \.\.\.>$", line)
                continue
            path, result = found.group(2), found.group(3).replace(" (deleted)", "")
            if "RESOLVE_IN_ROOT" in line:
                self.assertTrue(result == "/" or result == bundle.rootfs or result.startswith(bundle.rootfs + "/"), line)
                within += 1
            else:
                self.assertRegex(path, rf"^(/etc/oci-landlock(/.*)?|/dev/null|config\.json|{re.escape(bundle.directory)}/config\.json"
                                       r"|/etc/ld\.so\.cache|(/usr)?/lib(64)?/.*"
                                       r"|/proc/(self|\d+)(/.*)?|/sys/.*|/run/oci-landlock/(lock|policies(/draft)?)"
                                       r"|/etc/localtime"
                                       r"|cgroup(\.\w+)?|root|ns/mnt|mountinfo|\.(/.*)?)$", line)
                self.assertFalse(result.startswith((self.canary, "/tmp/outside-")), line)
        return within

    def test_root_behind_links(self):
        """The bundle and its root file system may be named through symbolic links."""
        # runc refuses the first of them itself.
        for root in ("rootfs", "-alias/rootfs", "-alias/../{}-alias/rootfs/."):
            bundle = self.image()
            os.rename(bundle.rootfs, bundle.directory + "/real")
            os.symlink("real", bundle.directory + "/rootfs")
            alias = bundle.directory + "-alias"
            os.symlink(bundle.directory, alias)
            self.addCleanup(os.unlink, alias)
            name = root if root == "rootfs" else bundle.directory + root.format(os.path.basename(bundle.directory))
            bundle.config["root"]["path"] = name
            bundle.annotate(profile(program("/bin/target", rules=policy(read=["/bin", self.canary]))))
            result = bundle.run("crun", "/bin/target", "read", f"{self.canary}/file", "+", "read", "/hostview/file")
            self.assertEqual(result.stdout, f"read {self.canary}/file: allowed\n"
                                            "read /hostview/file: Permission denied\n", (name, result.stderr))
        self.assertMapsEmpty()
