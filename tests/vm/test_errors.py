# SPDX-License-Identifier: Apache-2.0
"""What is wrong is said in one line that names it; the container does not start, and nothing stays behind."""

import contextlib
import json
import os
import shutil
import struct
import subprocess

import applier
from containers import (OCI_LANDLOCK, command, entry, oci_landlock, policy, profile, program, rulesets_held,
                        status)
from direct import CGROUPS, SLOT_SIZE, SLOTS, DirectTestCase, fake_init, gate, hook, pinned

SETTINGS = "/etc/oci-landlock"
LOCK = "/run/oci-landlock"


@contextlib.contextmanager
def settings(text="{}", mode=0o644):
    """The node's settings; gone after the body, with all profiles."""
    os.makedirs(f"{SETTINGS}/profiles", exist_ok=True)
    path = f"{SETTINGS}/config.json"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, mode)
    try:
        yield path
    finally:
        shutil.rmtree(SETTINGS)


class Errors(DirectTestCase):
    def restricted(self, wanted=None, **more):
        bundle = self.bundle()
        bundle.annotate(wanted or profile(program("/bin/target")), **more)
        return bundle

    def test_the_container_does_not_start(self):
        """A hook that refuses keeps the runtime from starting the container, and leaves nothing."""
        for runtime in self.each_runtime():
            bundle = self.restricted("no-such-profile")
            result = bundle.run(runtime, "/bin/touch", "/started")
            self.assertNotEqual(result.returncode, 0)
            self.assertFalse(os.path.exists(bundle.path("started")))
            self.assertSaid(runtime, result.stderr, f"oci-landlock: container {bundle.id}: no profile ")
            self.assertEqual(command(runtime, "list", "-q").stdout, "")
        oci_landlock("load")
        self.assertMapsEmpty()

    def test_nothing_asked(self):
        """Without annotation: exit 0, nothing is loaded, not even the lock is made, and the node needs nothing."""
        applier.unload("--force")
        shutil.rmtree(LOCK, ignore_errors=True)
        bundle = self.bundle()
        bundle.config["annotations"] = {"com.example": "x", "io.landlockish.profile": "y"}
        for runtime in self.each_runtime():
            result = bundle.run(runtime, "/bin/target", "read", "/etc/secret")
            self.assertEqual((result.returncode, result.stdout), (0, "read /etc/secret: allowed\n"), result.stderr)
        with fake_init() as pid:
            for stage in ("createRuntime", "prestart", "poststop"):
                result = hook(self.state_of(bundle, pid), stage)
                self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))
        self.assertFalse(os.path.exists(LOCK))
        self.assertFalse(status()["loaded"])

    def test_state(self):
        """The state on standard input is not what a runtime sends."""
        bundle = self.restricted()
        good = self.state_of(bundle, 2)
        deep = '{"annotations":' + '{"a":' * 200 + "1" + "}" * 201
        for text, words in (
                ("", ["container state on stdin", "not valid JSON"]),
                ("{", ["not valid JSON at byte"]),
                ("[]", ["not a JSON object"]),
                ("\xff\xfe", ["not valid JSON"]),
                (json.dumps({**good, "annotations": {"x": "y" * (2 << 20)}}), ["larger than 1048576 bytes"]),
                (deep, ["nested deeper than 64 levels"]),
                (json.dumps(good)[:-1] + ', "id": "x"}', ["\"id\" appears twice"]),
                (json.dumps({**good, "id": ""}), ["/id", "missing"]),
                (json.dumps({**good, "id": "x" * 300}), ["/id", "255 bytes"]),
                (json.dumps({**good, "id": 7}), ["/id", "must be string"]),
                (json.dumps({**good, "pid": -1}), ["/pid"]),
                (json.dumps({**good, "pid": 1 << 40}), ["/pid"]),
                (json.dumps({**good, "pid": 0}), ["no process of the container"]),
                (json.dumps({**good, "pid": 1}), ["no process of the container"]),
                (json.dumps({**good, "pid": 4194303}), ["pid 4194303"]),
                (json.dumps({**good, "bundle": "relative"}), ["/bundle", "absolute"]),
                (json.dumps({**good, "bundle": "/absent"}), ["/absent/config.json", "No such file"]),
                (json.dumps({**good, "bundle": "/x\ny"}), ["/x\\x0ay/config.json"])):
            with self.subTest(words=words):
                self.assertRefused(hook(text), *words)
        closed = subprocess.run(["sh", "-c", f"{OCI_LANDLOCK} hook createRuntime <&-"], capture_output=True, text=True,
                                check=False)
        self.assertRefused(closed, "container state on stdin", "Bad file descriptor")

    def test_bundle(self):
        """config.json is not what it should be."""
        bundle = self.restricted()
        state = self.state_of(bundle, os.getpid())
        path = os.path.join(bundle.directory, "config.json")
        config = bundle.config
        annotated = dict(config["annotations"])
        for text, words in (
                ("{", ["config.json", "not valid JSON"]),
                (json.dumps({**config, "root": {}}), ["config.json", "/root/path"]),
                (json.dumps({**config, "root": {"path": 1}}), ["/root/path", "must be string"]),
                (json.dumps({**config, "annotations": ["io.landlock.profile"]}), ["/annotations", "must be object"]),
                (json.dumps({**config, "annotations": {"io.landlock.profile": 1}}), ["io.landlock.profile", "string"]),
                (json.dumps({**config, "annotations": {**annotated, "io.landlock.profil": "x"}}),
                 ["annotation io.landlock.profil: unknown", "io.landlock.profile"]),
                (json.dumps({**config, "annotations": {"io.landlock.program": "/bin/target"}}),
                 ["io.landlock.program", "needs io.landlock.profile"]),
                (json.dumps({**config, "annotations": {**annotated, "run.oci.handler": "wasm"}}),
                 ["annotation run.oci.handler: crun runs such a container inside itself"]),
                (json.dumps({**config, "annotations": {"io.landlock.profile/app": "x"}}),
                 ["io.landlock.profile/<container>", "does not say which container"]),
                (json.dumps({**config, "annotations": {"io.landlock.profile": "{" + " " * (300 << 10) + "}"}}),
                 ["annotation io.landlock.profile", "262144"]),
                (" " * (5 << 20), ["config.json", "larger than"])):
            with self.subTest(words=words):
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
                self.assertRefused(hook(state), *words)
        os.unlink(path)
        os.mkfifo(path)
        self.assertRefused(hook(state, timeout=20), "config.json", "not a regular file")

    def test_profile(self):
        """The profile says something that cannot be done."""
        allowed = policy(read=["/bin"])
        bundle = self.bundle()
        unknown = {**allowed, "abi": 99, "ruleset": [{"handledAccessFs": ["abi.all", 1 << 40]}]}
        with gate(bundle) as held:
            for wanted, words in (
                    ("{", ["annotation io.landlock.profile, line 1: no valid JSON"]),
                    (profile(), ["annotation io.landlock.profile", "/entries"]),
                    (profile(entry(polcy={})), ["/entries/0", "polcy", "policy"]),
                    (profile(entry(rules={**allowed, "abi": 0})), ["/entries/0/policy/abi"]),
                    (profile(entry(rules=unknown, compat="require")), ["/entries/0", "is not in Landlock ABI"]),
                    (profile(entry({"program": ["relative"]})), ["/entries/0/select/program/0", "absolute"]),
                    (profile(program("/allowed/../bin/target")), ["/entries/0/select/program/0", "contains \"..\""]),
                    (profile(entry(noNewPrivileges=False)), ["noNewPrivileges"]),
                    (profile(entry(rules=policy(read=["/bin", "/absent"]))),
                     ["annotation io.landlock.profile: /entries/0/policy/pathBeneath/0/parent/1: /absent: does not exist "
                      "inside the container",
                      "\"missingPaths\": \"skip\""]),
                    (profile(*[entry() for _ in range(17)]), ["16"]),
                    ("no-such-profile", ["no profile \"no-such-profile\"", "/etc/oci-landlock/profiles/no-such-profile.json"]),
                    ("../escape", ["profile name \"../escape\""]),
                    ("", ["profile name \"\""])):
                with self.subTest(words=words):
                    bundle.annotate(wanted)
                    self.assertRefused(held.hook(), bundle.id, *words)
        oci_landlock("load")
        self.assertMapsEmpty()

    def test_files_of_the_node(self):
        """Settings and profiles of the node count only when root alone can have written them."""
        bundle = self.restricted("trusted")
        path = f"{SETTINGS}/profiles/trusted.json"

        def write():
            with open(path, "w", encoding="utf-8") as file:
                json.dump(profile(program("/bin/target")), file)
            os.chmod(path, 0o644)

        with gate(bundle) as held, settings() as config:
            write()
            os.chmod(path, 0o666)
            self.assertRefused(held.hook(), path, "writable by root alone", "chmod")
            os.chmod(path, 0o644)
            os.chown(path, 1000, 0)
            self.assertRefused(held.hook(), path, "must belong to root", "chown")
            shutil.move(path, "/tmp/trusted.json")
            os.chown("/tmp/trusted.json", 0, 0)
            os.symlink("/tmp/trusted.json", path)
            self.assertRefused(held.hook(), path, "symbolic link")
            os.unlink(path)
            os.mkfifo(path)
            self.assertRefused(held.hook(timeout=20), path, "not a regular file")
            os.unlink(path)
            write()
            os.chmod(config, 0o666)
            self.assertRefused(held.hook(), config, "writable by root alone")
            os.chmod(config, 0o644)
            for text, words in (("{", ["not valid JSON"]), ('{"allowInlin": true}', ["/allowInlin", "allowInline"]),
                                ('{"baseline": "absent"}', ["the baseline of this node (", "no profile \"absent\""]),
                                ('{"profileDirectories": ["x"]}', ["/profileDirectories", "absolute"])):
                with open(config, "w", encoding="utf-8") as file:
                    file.write(text)
                self.assertRefused(held.hook(), *words)
            with open(config, "w", encoding="utf-8") as file:
                file.write('{"allowInline": false}')
            bundle.annotate(profile(program("/bin/target")))
            self.assertRefused(held.hook(), "inline profiles are switched off", "name a profile")
            bundle.annotate("trusted")
            self.assertEqual(held.hook().returncode, 0)
            self.assertEqual(status()["containers"][0]["profile"], path)
        self.assertMapsEmpty()

    def test_namespaces(self):
        """A container that cannot be told apart from its host."""
        bundle = self.restricted()
        with fake_init("own", unshare=()) as pid:
            self.assertRefused(hook(self.state_of(bundle, pid)), "shares the mount namespace", "give it a mount namespace")
        with fake_init() as pid:
            self.assertRefused(hook(self.state_of(bundle, pid)), "no cgroup of its own", "/host", "cgroups enabled")
        with fake_init(*["d"] * 24) as pid:
            result = hook(self.state_of(bundle, pid))
            self.assertEqual(result.returncode, 0, result.stderr)
        with fake_init(*["d"] * 25) as pid:
            self.assertRefused(hook(self.state_of(bundle, pid)), "cgroup is nested 25 levels deep", "of 24 that are looked at")
        with fake_init("own") as pid:
            state = self.state_of(bundle, pid)
        self.assertRefused(hook(state), f"pid {pid}")
        self.assertMapsEmpty()

    def test_seen_from_a_cgroup_namespace(self):
        """A hook in a cgroup namespace of its own sees part of the levels; the kernel knows them all."""
        bundle = self.restricted()
        for above, beneath, refused in ((14, 10, False), (14, 12, True)):
            with fake_init(*["d"] * (above + beneath)) as pid:
                prefix = ["sh", "-c", f"echo $$ > {CGROUPS}{'/d' * above}/cgroup.procs; exec unshare --cgroup --mount sh -c "
                          f"'umount -l {CGROUPS}; mount -t cgroup2 none {CGROUPS}; exec \"$@\"' sh \"$@\"", "sh"]
                result = hook(self.state_of(bundle, pid), prefix=prefix)
                if refused:
                    self.assertRefused(result, f"cgroup is nested {above + beneath} levels deep")
                else:
                    self.assertEqual(result.returncode, 0, result.stderr)
        self.assertMapsEmpty()

    def test_seen_from_a_pid_namespace(self):
        """A hook in pid and mount namespaces of its own takes the host's mount namespace for what it is."""
        bundle = self.restricted()
        state = json.dumps(self.state_of(bundle, 4711))
        os.mkdir(f"{CGROUPS}/own")
        self.addCleanup(os.rmdir, f"{CGROUPS}/own")
        result = command("sh", "-c", f"""exec 9< /proc/1/ns/mnt
            exec unshare --pid --fork --mount --mount-proc sh -c '
                nsenter --mount=/proc/self/fd/9 sleep 600 & pid=$!
                echo $pid > {CGROUPS}/own/cgroup.procs
                sed "s/4711/$pid/" | {OCI_LANDLOCK} hook createRuntime
                code=$?; {{ kill $pid; wait $pid; }} 2>/dev/null; exit $code'""", input=state)
        self.assertRefused(result, "shares the mount namespace", "give it a mount namespace")
        self.assertMapsEmpty()

    def test_another_hook(self):
        """A second hook for the same init is the other stage of the same container, with the same profile, or an
        error."""
        bundle = self.restricted()
        with fake_init("own") as pid:
            state = self.state_of(bundle, pid)
            self.assertEqual(hook(state).returncode, 0)
            self.assertEqual(hook(state, "prestart").returncode, 0)
            self.assertRefused(hook({**state, "id": "another"}), f"is the init of container {bundle.id} already")
            bundle.annotate(profile(program("/bin/probe")))
            bundle.save()
            self.assertRefused(hook(state), "already, with another profile")
            self.assertEqual([item["id"] for item in status()["containers"]], [bundle.id])
        self.assertMapsEmpty()

    def test_limits(self):
        """What is too much for a container is named, with how much it can have."""
        bundle = self.restricted()
        links = [f"/bin/link{i}" for i in range(64)]
        for i, link in enumerate(links):
            shutil.copy(bundle.path("bin/probe"), bundle.path(f"bin/to{i}"))
            os.symlink(f"to{i}", bundle.path(link[1:]))
        deep = "bin/" + "/".join(["d" * 200] * 3)
        os.makedirs(bundle.path(deep))
        shutil.copy(bundle.path("bin/probe"), bundle.path(deep, "p"))
        os.symlink(f"/{deep}/p", bundle.path("bin/deep"))
        with fake_init("own") as pid, settings() as config:
            with open(f"{SETTINGS}/profiles/base.json", "w", encoding="utf-8") as file:
                json.dump(profile(program("/bin/busybox")), file)
            state = self.state_of(bundle, pid)
            bundle.annotate(profile(program("/bin/deep")))
            bundle.save()
            self.assertRefused(hook(state), "bytes of the path of program", f"{len(deep) + 3}, and a container can have 511")
            bundle.annotate(profile(program(*links)))
            with open(config, "w", encoding="utf-8") as file:
                file.write('{"baseline": "base"}')
            bundle.save()
            self.assertRefused(hook(state), "programs of the profile and the node's baseline",
                               "129, and a container can have 128")
            bundle.annotate(profile(*[entry() for _ in range(16)]))
            bundle.save()
            self.assertRefused(hook(state), "entries of the profile and the node's baseline",
                               "17, and a container can have 16")
            bundle.annotate(profile(program("/bin/target", rules=[policy(read=["/"])] * 16)))
            bundle.save()
            self.assertRefused(hook(state), "policies of the profile and the node's baseline",
                               "17, and a container can have 16")
            self.assertRefused(hook({**state, "id": "i" * 256}), "/id", "longer than 255 bytes")
        self.assertMapsEmpty()
        with fake_init("own") as pid:
            bundle.annotate(profile(program(*links)))
            result = hook(self.state_of(bundle, pid))
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertTrue(status()["containers"][0]["intact"])
        self.assertMapsEmpty()

    def test_rootless(self):
        """In a user namespace the hook refuses what takes the selector."""
        bundle = self.restricted()
        with fake_init("own") as pid:
            state = self.state_of(bundle, pid)
            self.assertRefused(hook(state, prefix=["unshare", "--user", "--map-root-user"]),
                               "the launch applier covers the entrypoint only", "rootless containers")

    def test_missing_file_systems(self):
        """No bpffs, no cgroup v2: named, with what to do."""
        bundle = self.restricted()
        applier.unload("--force")
        for hide, words in (("umount -l /sys/fs/bpf", ["no bpffs at /sys/fs/bpf", "mount -t bpf"]),
                            ("mount -t tmpfs none /sys/fs/cgroup", ["no cgroup v2", "/sys/fs/cgroup"])):
            with self.subTest(hide=hide), fake_init("own") as pid:
                prefix = ["unshare", "--mount", "sh", "-c", hide + '; exec "$@"', "sh"]
                self.assertRefused(hook(self.state_of(bundle, pid), prefix=prefix), *words)
        self.assertFalse(status()["loaded"])

    @applier.kfunc_only("rulesets are in slots")
    def test_slots_full(self):
        """The last slot is used, the next container is refused, and what it had taken before is given back: making
        room must not take the first layer's slot for the second."""
        bundle = self.restricted()
        two = self.restricted(profile(program("/bin/target"), program("/bin/probe")))
        with bundle.running("crun", "/bin/sleep", "600") as container, pinned("slots", SLOT_SIZE) as slots:
            self.assertEqual(container.code, 0, container.output())
            values = [struct.unpack("QQQ16x", value) for value in slots.all(SLOTS)]
            used = [index for index, value in enumerate(values) if value[0]]
            self.assertEqual(len(used), 1)
            generation, cgroup, _ = values[used[0]]
            free = (used[0] + 5) % SLOTS
            others = [index for index in range(SLOTS) if index not in (used[0], free)]
            slots.update_all(others, struct.pack("QQQ16x", generation, cgroup, 0))
            self.assertEqual(rulesets_held(), SLOTS - 1)
            with gate(two) as held:
                two.annotate(profile(program("/bin/target"), program("/bin/probe")))
                self.assertRefused(held.hook(), "all 65536 slots for rulesets are in use", "oci-landlock status")
                self.assertEqual(rulesets_held(), SLOTS - 1)
                two.annotate(profile(program("/bin/target")))
                self.assertEqual(held.hook().returncode, 0)
                self.assertEqual(rulesets_held(), SLOTS)
            # All but some: to collect them all would take a minute under emulation.
            slots.update_all(others[100:], bytes(SLOT_SIZE))
        result = hook({"ociVersion": "1.0.2", "id": "another", "bundle": "/", "status": "stopped"}, "poststop")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertMapsEmpty()
