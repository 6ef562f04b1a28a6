# SPDX-License-Identifier: Apache-2.0
"""What becomes of an exec: failed ones, privileges, layers, and long lines of descent."""

import json
import os
import struct
import sys
import unittest

from applier import ASKED_BEFORE, REFUSED, refused, refused_name
from cases import FREE, RESTRICTED, SECRET, Cases, lines
from containers import TestCase, command, entry, oci_landlock, policy, profile, program, status

FULL = os.environ.get("FULL") == "1"
TOO_MANY = "Argument list too long"
PROFILES = "/etc/oci-landlock/profiles"


def dynamic_program(interpreter):
    """The least that the kernel takes for a program whose dynamic linker has this name."""
    name = interpreter.encode() + b"\0"
    with open(sys.executable, "rb") as file:
        machine, = struct.unpack_from("<H", file.read(20), 18)
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, machine, 1, 0x400000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 3, 4, 120, 0x400078, 0x400078, len(name), len(name), 1)
    return header + segment + name


class Failures(TestCase):
    def test_failed_exec_changes_nothing(self):
        """After an exec of the target that failed, the task has no domain and no no_new_privs, and when the target is
        then executed in earnest, it is restricted as ever, once."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target", "/bin/no-interpreter", "/bin/no-linker", "/bin/garbage",
                                        "/bin/not-executable", "/bin/absent", "/tmp")))
        bundle.write("bin/no-interpreter", "#!/bin/absent\n", 0o755)
        bundle.write("bin/garbage", "neither this nor that\n", 0o755)
        bundle.write("bin/not-executable", "#!/bin/sh\n", 0o644)
        with open(bundle.path("bin/no-linker"), "wb") as file:
            file.write(dynamic_program("/lib/absent.so"))
        os.chmod(bundle.path("bin/no-linker"), 0o755)
        cases = Cases()
        for name, error in (("/bin/no-interpreter", "No such file or directory"),
                            ("/bin/no-linker", "No such file or directory"), ("/bin/garbage", "Exec format error"),
                            ("/bin/not-executable", "Permission denied"), ("/bin/absent", "No such file or directory"),
                            ("/tmp", "Permission denied")):
            cases.prints(name, f"/bin/probe exec {name} + {SECRET} + nnp + stack 17",
                         f"exec {name}: {error}", FREE, "no_new_privs: 0", f"stacked 16: {TOO_MANY}")
            cases.prints(name + ", then the target",
                         f"/bin/probe exec {name} + exec {name} + exec /bin/target {SECRET} ++ nnp ++ stack 17",
                         f"exec {name}: {error}", f"exec {name}: {error}", RESTRICTED, "no_new_privs: 1",
                         f"stacked 15: {TOO_MANY}")
            cases.prints(name + ", then another", f"/bin/probe exec {name} + exec /bin/probe {SECRET} ++ nnp",
                         f"exec {name}: {error}", FREE, "no_new_privs: 0")
        cases.prints("a thread", f"/bin/probe thread-exec /bin/garbage + {SECRET} + exec /bin/target {SECRET}",
                     "thread-exec /bin/garbage: Exec format error", FREE, RESTRICTED)
        cases.run(self, bundle, "crun")

    def test_failed_exec_of_a_session(self):
        """A session's first exec is the first that succeeds."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        bundle.write("bin/garbage", "neither this nor that\n", 0o755)
        with bundle.running("crun", "/bin/sleep", "1000") as container:
            self.assertNotEqual(container.exec("/bin/garbage").returncode, 0)
            self.assertEqual(lines(container.exec("/bin/probe", "read", "/etc/secret", "+", "stack", "17")),
                             [RESTRICTED, f"stacked 15: {TOO_MANY}"])

    def test_failed_exec_of_the_init(self):
        """A container whose first program cannot be executed leaves nothing behind."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(entry({"entrypoint": True})))
            bundle.write("bin/garbage", "neither this nor that\n", 0o755)
            self.assertNotEqual(bundle.run(runtime, "/bin/garbage").returncode, 0)
            self.assertNothingLeft()


class Privileges(TestCase):
    def setUp(self):
        super().setUp()
        os.makedirs(PROFILES, exist_ok=True)

    def node_profile(self, *entries):
        """A profile file of the node; returns its name."""
        path = os.path.join(PROFILES, "test.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(profile(*entries), file)
        self.addCleanup(command, "rm", "-f", path)
        return "test"

    def user(self, bundle, *capabilities):
        """The container's process as user 1000, with set-user-ID programs at hand."""
        bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
        for kind in ("effective", "permitted", "inheritable", "ambient"):
            bundle.config["process"]["capabilities"][kind] = list(capabilities)
        for name in ("target", "probe"):
            with open(bundle.path("bin", name), "rb") as original:
                copy = bundle.path("bin", "setuid-" + name)
                with open(copy, "wb") as file:
                    file.write(original.read())
            os.chmod(copy, 0o4755)

    def test_set_user_id(self):
        """The exec of a set-user-ID target may still gain privileges. Later ones may not, because of no_new_privs: they
        lose what it gained or keep it (since Linux 6.16), as after a program has restricted itself."""
        bundle = self.bundle()
        self.user(bundle)
        child, descent = "vfork-exec /bin/setuid-probe ids", "exec /bin/probe ids ++ exec /bin/setuid-probe ids +++ nnp"
        itself = lines(bundle.shell(
            "crun", f"/bin/setuid-probe stack 1 + {child}; /bin/setuid-probe stack 1 + {descent}"))
        self.assertEqual((len(itself), itself[0], itself[-1]), (6, "stacked 1: ok", "no_new_privs: 1"))
        bundle.annotate(profile(program("/bin/setuid-target")))
        cases = Cases()
        cases.prints("not the target", "/bin/setuid-probe ids + nnp", "uid 1000 euid 0 secure 1", "no_new_privs: 0")
        cases.prints("the target", f"/bin/setuid-target ids + nnp + {SECRET} + {child}",
                     "uid 1000 euid 0 secure 1", "no_new_privs: 1", RESTRICTED, itself[1])
        cases.prints("from the target", f"/bin/setuid-target {descent}", *itself[3:])
        cases.run(self, bundle, "crun")

    def test_set_user_id_after_the_target(self):
        """A target that is not set-user-ID itself cannot gain privileges by one that is."""
        bundle = self.bundle()
        self.user(bundle)
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.prints("by the target", "/bin/target ids + vfork-exec /bin/setuid-probe ids",
                     "uid 1000 euid 1000 secure 0", "uid 1000 euid 1000 secure 0")
        cases.prints("by another", "/bin/probe ids + vfork-exec /bin/setuid-probe ids",
                     "uid 1000 euid 1000 secure 0", "uid 1000 euid 0 secure 1")
        cases.run(self, bundle, "crun")

    def test_without_no_new_privs(self):
        """`noNewPrivileges: false` needs what landlock_restrict_self(2) needs: CAP_SYS_ADMIN, or no_new_privs from
        elsewhere. Otherwise the target does not run and `status` says why; with it later execs can gain privileges."""
        name = self.node_profile(program("/bin/target", noNewPrivileges=False))
        see = f"/bin/target {SECRET} + nnp + vfork-exec /bin/setuid-probe ids"
        with self.subTest("with CAP_SYS_ADMIN"):
            bundle = self.bundle()
            for kind in ("bounding", "effective", "permitted", "inheritable", "ambient"):
                bundle.config["process"]["capabilities"].setdefault(kind, []).append("CAP_SYS_ADMIN")
            self.user(bundle, "CAP_SYS_ADMIN")
            bundle.annotate(name)
            cases = Cases()
            cases.prints("target", see, RESTRICTED, "no_new_privs: 0", "uid 1000 euid 0 secure 1")
            cases.run(self, bundle, "crun")
        with self.subTest("without"):
            bundle = self.bundle()
            self.user(bundle)
            bundle.annotate(name)
            script = bundle.script("run.sh", f"""
                {see}
                /bin/probe exec /bin/target {SECRET} + {SECRET} + nnp
                /bin/probe stack 1 + exec /bin/target {SECRET} ++ nnp
                echo ready; sleep 1000
            """)
            with bundle.running("crun", script) as container:
                container.wait_for("ready")
                output = container.output().splitlines()
                self.assertIn(REFUSED, output[0])
                self.assertEqual(output[1:], [*refused("/bin/target", FREE, "no_new_privs: 0"),
                                              "stacked 1: ok", RESTRICTED, "no_new_privs: 1", "ready"])
                found, = status()["containers"]
                self.assertEqual((found["applied"], found["denied"]), (1, 2))
                self.assertEqual({key: found["lastDenial"][key] for key in ("comm", "entry", "errno", "reason")},
                                 {"comm": refused_name("probe", "target"), "entry": 0, "errno": 1,
                                  "reason": "the kernel refused the domain"})
                self.assertIn("execs    1 restricted, 2 denied", oci_landlock("status").stdout)

    def test_whose_capability_counts(self):
        """`noNewPrivileges: false`: with kfunc the process has to have CAP_SYS_ADMIN before its exec, with the others the
        program that it has become."""
        name = self.node_profile(entry({"entrypoint": True}, noNewPrivileges=False))
        for gains in (False, True):
            with self.subTest(gains=gains):
                bundle = self.bundle()
                self.user(bundle)
                capabilities = bundle.config["process"]["capabilities"]
                for kind in ("bounding",) if gains else ("bounding", "effective", "permitted", "inheritable"):
                    capabilities.setdefault(kind, []).append("CAP_SYS_ADMIN")
                bundle.annotate(name)
                result = bundle.run("crun", "/bin/setuid-probe" if gains else "/bin/probe", "read", "/etc/secret", "+",
                                    "nnp")
                if gains == ASKED_BEFORE:
                    self.assertNotEqual(result.returncode, 0)
                    self.assertEqual(result.stdout, "")
                else:
                    self.assertEqual(lines(result), [RESTRICTED, "no_new_privs: 0"])

    def test_entries_that_disagree(self):
        """Of several entries that select one exec, one that sets no_new_privs sets it for all, whichever is first."""
        for order in ((False, True), (True, False)):
            with self.subTest(order=order):
                bundle = self.bundle()
                self.user(bundle)
                bundle.annotate(self.node_profile(
                    *(program("/bin/target", noNewPrivileges=value) for value in order)))
                result = bundle.run("crun", "/bin/target", "read", "/etc/secret", "+", "nnp", "+", "stack", "16")
                self.assertEqual(lines(result), [RESTRICTED, "no_new_privs: 1", f"stacked 14: {TOO_MANY}"])

    def test_not_from_an_annotation(self):
        """`noNewPrivileges: false` in an annotation does not start a container."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target", noNewPrivileges=False)))
            result = bundle.run(runtime, "/bin/probe", "read", "/etc/secret")
            self.assertNotEqual(result.returncode, 0)
            self.assertNotIn("allowed", result.stdout)
            self.assertNothingLeft()


class Layers(TestCase):
    def test_long_lines_of_descent(self):
        """A program that executes itself over and over, or nests its own children deep, is in one layer per policy
        afterwards: of the 16 that there are the rest can still be stacked."""
        times = 1000 if FULL else 200
        depth = 100 if FULL else 30
        bundle = self.bundle()
        rules = policy(read=["/bin"], write=["/dev"])
        bundle.annotate(profile(program("/bin/target", name="one"),
                                program("/bin/three", rules=[rules] * 3, name="three"),
                                entry({"except": ["/run.sh", "/bin/busybox", "/bin/probe"]}, name="rest")))
        cases = Cases()
        cases.setup("cp /bin/probe /bin/three")
        for name, layers in (("target", 2), ("three", 4)):
            cases.prints(f"{name} again", f"/bin/{name} again /bin/{name} {times} {SECRET} ++ stack 17",
                         RESTRICTED, f"stacked {16 - layers}: {TOO_MANY}")
            cases.prints(f"{name} nested", f"/bin/{name} nest /bin/{name} {depth} {SECRET} ++ stack 17",
                         RESTRICTED, f"stacked {16 - layers}: {TOO_MANY}")
        cases.prints("in turn", "/bin/target again /bin/three 10 exec /bin/target exec /bin/three stack 17",
                     f"stacked {16 - 5}: {TOO_MANY}")
        cases.run(self, bundle, "crun", timeout=600 if FULL else 60)

    def test_no_layer_left(self):
        """A task in 16 layers cannot become the target, and `status` says why. Other programs it can run."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            script = bundle.script("run.sh", f"""
                /bin/probe stack 16 + exec /bin/target {SECRET} + {SECRET}
                /bin/probe stack 16 + exec /bin/probe {SECRET}
                /bin/probe stack 15 + exec /bin/target {SECRET} ++ stack 1
                echo ready; sleep 1000
            """)
            with bundle.running(runtime, script) as container:
                container.wait_for("ready")
                self.assertEqual(container.output().splitlines(), [
                    "stacked 16: ok", *refused("/bin/target", FREE), "stacked 16: ok", FREE,
                    "stacked 15: ok", RESTRICTED, f"stacked 0: {TOO_MANY}", "ready"])
                found, = status()["containers"]
                self.assertEqual((found["applied"], found["denied"]), (1, 1))
                self.assertEqual({key: found["lastDenial"][key] for key in ("comm", "entry", "errno", "reason")},
                                 {"comm": refused_name("probe", "target"), "entry": 0, "errno": 7,
                                  "reason": "the task is in 16 Landlock layers already"})

    def test_part_of_the_layers(self):
        """When not all layers of an exec fit, it gets none of them."""
        bundle = self.bundle()
        rules = policy(read=["/bin"], write=["/dev"])
        bundle.annotate(profile(program("/bin/target", rules=[rules] * 3)))
        cases = Cases()
        # In a shell of its own, which says in the right order what becomes of it.
        cases.prints("two left",
                     f"(/bin/probe stack 14 + exec /bin/target {SECRET} + {SECRET} + stack 3; true) 2>&1",
                     "stacked 14: ok", *refused("/bin/target", FREE, f"stacked 2: {TOO_MANY}"))
        cases.prints("three left", f"/bin/probe stack 13 + exec /bin/target {SECRET} ++ stack 1",
                     "stacked 13: ok", RESTRICTED, f"stacked 0: {TOO_MANY}")
        cases.run(self, bundle, "crun")

    def test_restrictions_of_its_own(self):
        """What a target adds itself comes on top, and what a task had before stays."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        see = f"{SECRET} + read /allowed/file + read /bin/busybox"
        no = "Permission denied"
        cases = Cases()
        cases.prints("after", f"/bin/target {see} + only-read /allowed + {see}",
                     RESTRICTED, "read /allowed/file: allowed", "read /bin/busybox: allowed", "only-read /allowed: ok",
                     RESTRICTED, "read /allowed/file: allowed", f"read /bin/busybox: {no}")
        cases.prints("before", f"/bin/probe only-read /bin + {see} + exec /bin/target {see.replace('+', '++')}",
                     "only-read /bin: ok", RESTRICTED, f"read /allowed/file: {no}", "read /bin/busybox: allowed",
                     RESTRICTED, f"read /allowed/file: {no}", "read /bin/busybox: allowed")
        cases.run(self, bundle, "crun")


class CheckOnly(TestCase):
    def test_check_is_no_exec(self):
        """AT_EXECVE_CHECK restricts nobody and is not the first exec of anything."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        result = bundle.shell("crun", f"/bin/probe check /bin/target + {SECRET} + nnp + exec /bin/target stack 17")
        output = lines(result)
        rest = [FREE, "no_new_privs: 0", f"stacked 15: {TOO_MANY}"]
        if output == ["check /bin/target: Invalid argument", *rest]:
            raise unittest.SkipTest("this kernel has no AT_EXECVE_CHECK (Linux 6.14)")
        self.assertEqual(output, ["check /bin/target: allowed", *rest])
