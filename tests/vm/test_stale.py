# SPDX-License-Identifier: Apache-2.0
"""No state of one container is ever used for another, and state that does not fit denies."""

import os
import struct
import unittest

import applier
from cases import wait_for
from containers import command, entry, oci_landlock, policy, profile, program, rulesets_held, status
from direct import (CGROUPS, CONTAINER_SIZE, KERNEL, PROGRAM_SIZE, SLOTS, SLOT_SIZE, STRAYS_SIZE, DirectTestCase,
                    fake_init, gate, hook, next_slot, pinned)

DENIED = "read /etc/secret: Permission denied\n"
ALLOWED = "read /etc/secret: allowed\n"
READ_SECRET = ("/bin/target", "read", "/etc/secret")
FOREVER = ("/bin/sleep", "600")
LOOP = "while ! [ -e /go ]; do sleep 0.05; done; /bin/target read /etc/secret; echo $?; sleep 600"


class Reuse(DirectTestCase):
    def test_same_place_other_policy(self):
        """The same name, cgroup path, mount namespace number and slot again: each container gets its own policy, and
        the one that asks for none gets none."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.config["linux"]["cgroupsPath"] = "/same"
            wide = policy(read=["/bin", "/etc"])
            seen = []
            for wanted, expected in ((profile(program("/bin/target")), DENIED), (None, ALLOWED),
                                     (profile(program("/bin/target", rules=wide)), ALLOWED),
                                     (profile(program("/bin/target")), DENIED)):
                bundle.config["annotations"] = {}
                if wanted:
                    bundle.annotate(wanted)
                self.assertEqual(oci_landlock("load").returncode, 0)
                if not applier.INJECT:
                    next_slot(0)
                with bundle.running(runtime, "/bin/sh", "-c", " ".join(READ_SECRET) + "; sleep 600") as container:
                    container.wait_for("\n")
                    self.assertEqual(container.output(), expected)
                    place = (os.readlink(f"/proc/{container.pid()}/ns/mnt"), self.in_place() if wanted else None)
                    seen.append(place)
                self.assertMapsEmpty()
            # Otherwise this shows nothing.
            self.assertEqual({used for _, used in seen} - {None}, {True})
            self.assertLess(len({namespace for namespace, _ in seen}), len(seen))

    @staticmethod
    def in_place():
        """kfunc: in the first slot."""
        if applier.INJECT:
            return True
        with pinned("slots", SLOT_SIZE) as slots:
            return struct.unpack("QQQ16x", slots.lookup(bytes(4)))[0] != 0

    def test_pid(self):
        """A container whose init has the process id of a dead container's, which was never cleared away, is not taken
        for it."""
        first = self.bundle()
        first.hooks("createRuntime")
        first.annotate(profile(program("/bin/target")))
        second = self.bundle()
        second.annotate(profile(program("/bin/probe")))
        with first.running("crun", *FOREVER) as dead:
            pid = dead.pid()
            command("crun", "kill", first.id, "KILL")
            wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the first init is dead")
            wait_for(lambda: rulesets_held() == applier.HELD_FOR_THE_DEAD, "the dead container's ruleset")
            for before in range(1, 12):
                with open("/proc/sys/kernel/ns_last_pid", "w", encoding="utf-8") as file:
                    file.write(str(pid - before))
                with second.running("crun", *FOREVER) as container:
                    if container.pid() != pid:
                        continue
                    result = container.exec("/bin/sh", "-c", "/bin/target read /etc/secret; /bin/probe read /etc/secret")
                    # A session is restricted by its own entry, at once.
                    self.assertEqual(result.stdout, DENIED + DENIED)
                    second.write("go", "")
                    found = {item["id"]: item["applied"] for item in status()["containers"]}
                    self.assertEqual(found, {first.id: 0, second.id: 1})
                    break
            else:
                self.fail(f"no container got pid {pid} again")
        self.assertMapsEmpty()


class Shared(DirectTestCase):
    """A cgroup is one container's."""

    def pair(self, path, other_path):
        pair = self.bundle(), self.bundle()
        for bundle, cgroup in zip(pair, (path, other_path)):
            bundle.config["linux"]["cgroupsPath"] = cgroup
            bundle.annotate(profile(program("/bin/target")))
        return pair

    def test_with_a_restricted_container(self):
        """The second container in a cgroup is refused; the first goes on, restricted."""
        for runtime in self.each_runtime():
            first, second = self.pair("/shared", "/shared")
            with first.running(runtime, "/bin/sh", "-c", LOOP) as container:
                result = second.run(runtime, *READ_SECRET)
                self.assertNotEqual(result.returncode, 0)
                self.assertEqual(result.stdout, "")
                self.assertSaid(runtime, result.stderr,
                                f"oci-landlock: container {second.id}: cgroup /shared is shared with container "
                                f"{first.id}; give each container a cgroup of its own")
                command(runtime, "delete", "--force", second.id)
                # Clearing the second away, a runtime may kill the whole cgroup.
                if container.state()["status"] == "running":
                    self.assertEqual(rulesets_held(), 1)
                    first.write("go", "")
                    container.wait_for(DENIED)
            self.assertMapsEmpty()

    def test_with_an_unrestricted_container(self):
        """A container that asked for nothing is not restricted by another one that joins its cgroup."""
        for runtime in self.each_runtime():
            first, second = self.pair("/shared", "/shared")
            first.config["annotations"] = {}
            with first.running(runtime, *FOREVER) as container:
                with second.running(runtime, *FOREVER) as refused:
                    self.assertNotEqual(refused.code, 0)
                    self.assertSaid(runtime, refused.output(), "is shared with processes that are not the container's")
                    if container.state()["status"] == "running":
                        self.assertEqual(container.exec(*READ_SECRET).stdout, ALLOWED)
            self.assertMapsEmpty()

    def test_around_an_unrestricted_process(self):
        """Nor is whoever lives in a cgroup beneath the container's."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        with gate(bundle) as held:
            with open(f"/proc/{held.oci_state['pid']}/cgroup", encoding="utf-8") as file:
                path = file.read().strip().removeprefix("0::/")
            with fake_init(os.path.join(path, "beneath")):
                self.assertRefused(held.hook(), "cgroup", "is shared with processes that are not the container's",
                                   "give each container a cgroup of its own")
            os.mkdir(f"{CGROUPS}/{path}/empty")
            self.assertEqual(held.hook().returncode, 0)
            os.rmdir(f"{CGROUPS}/{path}/empty")
        self.assertMapsEmpty()


class Forced(DirectTestCase):
    """Root breaks the state of a container that runs: its target does not run, and status says why."""

    def breaking(self, change):
        """A container whose target starts after `change`; yields what status says of it then."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        with bundle.running("crun", "/bin/sh", "-c", LOOP) as container:
            self.assertEqual(container.code, 0, container.output())
            change(container)
            # Another container's poststop clears away what is dead, and nothing else.
            other = {"ociVersion": "1.0.2", "id": "another", "bundle": "/", "status": "stopped"}
            self.assertEqual(hook(other, "poststop").returncode, 0)
            bundle.write("go", "")
            container.wait_for("126\n")
            self.assertNotIn("read", container.output())
            self.assertIn("Operation not permitted", container.output())
            found = [item for item in status()["containers"] if item["id"] == bundle.id]
            self.assertEqual(len(found), 1)
            text = oci_landlock("status").stdout
        self.assertMapsEmpty()
        return found[0], text

    @staticmethod
    def used_slot():
        with pinned("slots", SLOT_SIZE) as slots:
            for index, value in enumerate(slots.all(SLOTS)):
                generation, cgroup, _ = struct.unpack("QQQ16x", value)
                if generation:
                    return index, generation, cgroup
        raise AssertionError("no slot is in use")

    def write_slot(self, change_generation):
        index, generation, cgroup = self.used_slot()
        with pinned("slots", SLOT_SIZE) as slots:
            # A write from user space empties the ruleset's place as well.
            slots.update(struct.pack("I", index), struct.pack("QQQ16x", generation + change_generation, cgroup, 0))

    @applier.kfunc_only("rulesets are in slots")
    @unittest.skipIf(KERNEL >= (7, 3), "from Linux 7.3 on a write from user space leaves the ruleset in its slot")
    def test_slot_emptied(self):
        """A slot without its ruleset."""
        found, text = self.breaking(lambda _: self.write_slot(0))
        self.assertGreaterEqual(found["denied"], 1)
        self.assertEqual(found["lastDenial"]["reason"], "the ruleset is not in its slot any more")
        self.assertIn("denied sh", text)
        self.assertEqual(found["applied"], 0)

    @applier.kfunc_only("rulesets are in slots")
    def test_slot_of_another(self):
        """A slot that holds another container's ruleset, with its generation."""
        taken = self.bundle()
        taken.annotate(profile(entry(rules=policy(read=["/"]))))

        def change(_):
            index, generation, _ = self.used_slot()
            with pinned("slots", SLOT_SIZE) as slots:
                slots.update(struct.pack("I", index), struct.pack("QQQ16x", 0, 0, 0))
            next_slot(index)
            container = self.enterContext(taken.running("crun", *FOREVER))
            self.assertEqual(container.code, 0, container.output())
            self.assertEqual(self.used_slot()[0], index)
            self.assertNotEqual(self.used_slot()[1], generation)

        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        with bundle.running("crun", "/bin/sh", "-c", LOOP) as container:
            change(container)
            bundle.write("go", "")
            container.wait_for("126\n")
            self.assertNotIn("read", container.output())
            found = [item for item in status()["containers"] if item["id"] == bundle.id]
            self.assertEqual(found[0]["lastDenial"]["errno"], 116)  # ESTALE

    @staticmethod
    def cgroup_of(container):
        """The id of its cgroup."""
        with open(f"/proc/{container.pid()}/cgroup", encoding="utf-8") as file:
            return os.stat(CGROUPS + file.read().strip()[3:]).st_ino

    @staticmethod
    def strays():
        """Execs that were denied where there is no entry to count them in, and why the last one was."""
        with pinned("strays", STRAYS_SIZE) as strays:
            value = strays.lookup(bytes(4))
        return struct.unpack_from("Q", value)[0], struct.unpack_from("I", value, 8 + 12)[0]

    def test_entry_gone(self):
        """A container's entry is gone, but not its processes: neither they nor sessions execute anything."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        with bundle.running("crun", "/bin/sh", "-c", LOOP.replace("sleep 600", "echo over; read forever < /tmp/fifo")) as \
                container:
            os.mkfifo(bundle.path("tmp/fifo"))
            self.assertEqual(container.exec(*READ_SECRET).stdout, DENIED)
            before, _ = self.strays()
            with pinned("containers", CONTAINER_SIZE) as containers:
                containers.delete(struct.pack("Q", self.cgroup_of(container)))
            result = container.exec(*READ_SECRET)
            self.assertNotEqual(result.returncode, 0)
            self.assertEqual(result.stdout, "")
            bundle.write("go", "")
            container.wait_for("over")
            self.assertNotIn("read", container.output())
            after, reason = self.strays()
            self.assertGreaterEqual(after - before, 2)
            self.assertEqual(reason, 7)  # OLL_REASON_GONE
            self.assertRegex(oci_landlock("status").stdout, rf"\ngone {{8}}{after} execs denied .*; the last: denied ")
        self.assertMapsEmpty()

    def test_program_gone(self):
        """A program that the container lists is missing from the map: no exec passes that could have been its."""
        def change(_):
            with pinned("programs", PROGRAM_SIZE) as programs:
                while not programs.empty():
                    programs.delete(programs.first(16))

        found, text = self.breaking(change)
        self.assertFalse(found["intact"])
        self.assertIn("broken", text)
        self.assertEqual(found["lastDenial"]["reason"], "a program that the profile lists is missing on the node")

    def test_selector_gone(self):
        """A selector whose pin was removed: the next container does not start."""
        self.assertEqual(oci_landlock("load").returncode, 0)
        os.unlink("/sys/fs/bpf/oci-landlock/link_select_exec")
        self.addCleanup(applier.unload, "--force")
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        result = bundle.run("runc", *READ_SECRET)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        self.assertIn("link_select_exec is missing, so that nothing would be restricted", result.stderr)
        for command_name in ("load", "status", "unload"):
            self.assertRefused(oci_landlock(command_name), "is missing", "unload --force")
        self.assertEqual(applier.unload("--force").returncode, 0)
        applier.start()
        self.assertEqual(bundle.run("crun", *READ_SECRET).stdout, DENIED)
        self.assertMapsEmpty()
