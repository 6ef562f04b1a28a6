# SPDX-License-Identifier: Apache-2.0
"""Rootless podman with the launch applier: an ordinary user, hooks and profiles of his own, crun and runc."""

import json
import os
import shutil
import unittest

import applier
from cases import wait_for
from containers import TestCase, annotated, entry, node_log, policy, profile
from rootless import FIRST_SUBORDINATE, USER, User
from test_launch import tracers

READS = ("/bin/probe", "read", "/etc/secret")
RESTRICTED = "read /etc/secret: Permission denied"
FREE = "read /etc/secret: allowed"


def inline(document):
    """The argument of --annotation for a whole profile."""
    return annotated("io.landlock.profile=" + json.dumps(document))


# What every kernel with Landlock has.
SMALL = {"abi": 1, "ruleset": [{"handledAccessFs": ["read_file"]}],
         "pathBeneath": [{"allowedAccess": ["read_file"], "parent": ["/bin"]}]}
NAMED = ("--annotation", "io.landlock.profile=own")


@unittest.skipIf(not applier.LAUNCH, "launch only")
@unittest.skipUnless(shutil.which("podman"), "podman is not installed")
class Rootless(TestCase):
    def setUp(self):
        super().setUp()
        bundle = self.bundle()
        home = os.path.join(bundle.directory, "home")
        os.mkdir(home)
        os.chmod(bundle.directory, 0o711)
        self.user = User(home)
        self.addCleanup(self.user.forgotten)
        able = self.user.run("podman", "unshare", "true")
        if able.returncode:
            self.skipTest("no rootless podman here: " + able.stderr.strip().replace("\n", "; "))
        shutil.move(bundle.rootfs, self.user.path("rootfs"))
        self.user.write_profile("own", profile(entry(sessions=False)))
        self.rootfs = ("--rootfs", self.user.path("rootfs"))

    def tearDown(self):
        wait_for(lambda: not tracers(), "the tracers end")

    def podman(self, runtime, *words):
        result = self.user.podman(runtime, *words, timeout=120)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout.strip()

    def does(self, runtime, *options):
        return self.podman(runtime, "run", "--rm", "--network=none", *options, *self.rootfs, *READS)

    def test_run(self):
        """With a profile of the user's own by name, with a whole one, and without; whatever else the container has."""
        for runtime in self.each_runtime():
            self.assertEqual(self.does(runtime), FREE)
            self.assertEqual(self.does(runtime, *NAMED), RESTRICTED)
            self.assertEqual(self.does(runtime, "--annotation", inline(profile(entry(sessions=False)))), RESTRICTED)
            for options in (("--userns=keep-id",), ("--read-only",), ("--user=1000:1000",),
                            ("--security-opt=no-new-privileges",), ("--cap-drop=all",)):
                with self.subTest(options=options):
                    self.assertEqual(self.does(runtime, *options), FREE)
                    self.assertEqual(self.does(runtime, *options, *NAMED), RESTRICTED)

    @unittest.skipUnless(os.path.exists("/usr/libexec/podman/catatonit"), "catatonit is not installed")
    def test_init(self):
        """The engine's own init is the entrypoint then, and what comes of it has its domain."""
        rules = policy(read=["/bin", "/allowed", "/run/podman-init"], write=["/dev"])
        self.user.write_profile("init", profile(entry(sessions=False, rules=rules)))
        for runtime in self.each_runtime():
            self.assertEqual(self.does(runtime, "--init"), FREE)
            self.assertEqual(self.does(runtime, "--init", "--annotation", "io.landlock.profile=init"), RESTRICTED)

    def test_create_start_restart(self):
        """Each start is restricted anew; an exec session is not covered. Nothing is left at the end."""
        run = os.path.join(self.user.state, "oci-landlock")
        script = "/bin/probe read /etc/secret; exec /bin/sleep 1000"
        for runtime in self.each_runtime():
            name = f"again-{runtime}"
            self.podman(runtime, "create", "--name", name, "--network=none", *NAMED, *self.rootfs, "/bin/sh", "-c",
                        script)
            for times, verb in enumerate(("start", "restart"), 1):
                self.podman(runtime, verb, "--time=0", name) if verb == "restart" else self.podman(runtime, verb, name)
                wait_for(lambda: self.podman(runtime, "logs", name).splitlines() == times * [RESTRICTED],
                         f"the entrypoint has run {times} times")
                self.assertEqual(self.podman(runtime, "exec", name, *READS), FREE)
                found = json.loads(self.user.run(self.user.program, "status", "--json").stdout)
                self.assertEqual([item["applied"] for item in found["containers"]], [True])
                self.assertEqual(found["containers"][0]["profile"], os.path.join(self.user.profiles, "own.json"))
            self.podman(runtime, "rm", "--force", "--time=0", name)
            wait_for(lambda: os.listdir(os.path.join(run, "launch")) == [], "its record is gone")
            self.assertEqual(os.stat(run).st_uid, USER)
            self.assertEqual(os.stat(run).st_mode & 0o077, 0)

    def test_refused(self):
        """What cannot be had exactly does not run. runc shows what the hook says, crun its exit status alone."""
        cases = (("missing", None, "no profile"),
                 ("program", profile(entry({"program": ["/bin/probe"]})), "entrypoint"),
                 ("path", profile(entry(sessions=False, rules=policy(read=["/nowhere"]))), "/nowhere: does not exist"),
                 ("sessions", profile(entry(compat="require", rules=SMALL)), "requires that exec sessions"))
        for runtime in self.each_runtime():
            for name, document, reason in cases:
                with self.subTest(name=name):
                    if document:
                        self.user.write_profile(name, document)
                    result = self.user.podman(runtime, "run", "--rm", "--network=none", "--annotation",
                                              "io.landlock.profile=" + name, *self.rootfs, *READS, timeout=120)
                    self.assertNotEqual(result.returncode, 0)
                    self.assertEqual(result.stdout, "")
                    self.assertIn(reason if runtime == "runc" else "hook", result.stderr)

    def test_a_filter_that_lies(self):
        """Filters cannot be suspended by an ordinary user, and what one says for the kernel is not believed."""
        path = self.user.path("filter.json")
        for condition in ({}, {"args": [{"index": 0, "value": 2, "op": "SCMP_CMP_GT"}]}):
            with open(path, "w", encoding="utf-8") as file:
                json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                    {"names": ["landlock_restrict_self"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0, **condition}]},
                    file)
            self.user.owns()
            for runtime in self.each_runtime():
                with self.subTest(condition=condition):
                    result = self.user.podman(runtime, "run", "--rm", "--network=none", *NAMED, "--security-opt",
                                              "seccomp=" + path, *self.rootfs, *READS, timeout=120)
                    self.assertNotEqual(result.returncode, 0)
                    self.assertEqual(result.stdout, "")

    def test_settings_behind_a_link(self):
        """An engine may have an /etc of its own, with links to what the node has: they count, and lead somewhere."""
        directory = self.user.path("settings")
        os.mkdir(directory)
        with open(os.path.join(directory, "config.json"), "w", encoding="utf-8") as file:
            file.write('{"baselin": "own"}')
        self.user.owns()
        for link, said in ((directory, "/etc/oci-landlock/config.json: /baselin: unknown"),
                           (directory + ".gone", "/etc/oci-landlock: not a directory, or a symbolic link")):
            result = self.user.run("unshare", "--map-root-user", "--mount", "sh", "-ec", f"""
                mount -t tmpfs tmpfs /etc
                ln -s {link} /etc/oci-landlock
                {self.user.program} status""")
            self.assertEqual(result.returncode, 1)
            self.assertIn(said, result.stderr)

    def test_a_runtime_without_an_engine(self):
        """It makes the user namespace itself, for the container alone, and its hooks may not look into that."""
        bundle = self.bundle()
        for kind in ("uid", "gid"):
            bundle.config["linux"][kind + "Mappings"] = [{"containerID": 0, "hostID": USER, "size": 1}]
        bundle.config["linux"]["namespaces"].append({"type": "user"})
        for mount in bundle.config["mounts"]:
            mount["options"] = [option for option in mount.get("options", []) if not option.startswith("gid=")]
        bundle.annotate(profile(entry(sessions=False)))
        bundle.config["process"]["args"] = list(READS)
        for hooks in bundle.config["hooks"].values():
            hooks[0]["path"] = self.user.program
        bundle.save()
        os.chown(bundle.directory, USER, USER)
        before = len(node_log())
        result = self.user.run("crun", "--cgroup-manager=disabled", "run", "--bundle", bundle.directory, bundle.id)
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        self.assertIn("a runtime without root has to be called in the user namespace of its engine", node_log()[before:])

    def test_of_a_container(self):
        """A profile that a container of the user's could have written, or anybody, is none of his."""
        path = os.path.join(self.user.profiles, "own.json")

        def refused(runtime):
            result = self.user.podman(runtime, "run", "--rm", "--network=none", *NAMED, *self.rootfs, *READS,
                                      timeout=120)
            self.assertNotEqual(result.returncode, 0)
            self.assertNotIn("secret", result.stdout)

        for runtime in self.each_runtime():
            os.chown(path, FIRST_SUBORDINATE + 5, FIRST_SUBORDINATE + 5)
            refused(runtime)
            os.chown(path, USER, USER)
            os.chmod(path, 0o666)
            refused(runtime)
            os.chmod(path, 0o644)
            self.assertEqual(self.does(runtime, *NAMED), RESTRICTED)
