# SPDX-License-Identifier: Apache-2.0
"""load, unload, status, and how all commands answer."""

import contextlib
import os
import subprocess

import applier
from cases import wait_for
from containers import ANOTHER_LAYOUT, OCI_LANDLOCK, OLDER, PINS, command, oci_landlock, profile, program, status
from direct import CGROUPS, DirectTestCase, fake_init, gate, hook, patch_node

DENIED = "read /etc/secret: Permission denied\n"
LOOP = """
    for go in 1 2; do
        while ! [ -e /go$go ]; do sleep 0.05; done
        /bin/target read /etc/secret + write /go$go.done
    done
    sleep 600
"""


@contextlib.contextmanager
def no_room(directory):
    """Something full in the place of what is there."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k,mode=700", "tmpfs", directory], check=True)
    try:
        with open(f"{directory}/all", "wb") as file:
            file.write(bytes(4096))
        yield
    finally:
        subprocess.run(["umount", directory], check=True)


@contextlib.contextmanager
def tight_cgroup():
    """A cgroup whose memory can be limited."""
    with open(f"{CGROUPS}/cgroup.subtree_control", "w", encoding="ascii") as control:
        control.write("+memory")
    cgroup = f"{CGROUPS}/tight"
    os.mkdir(cgroup)
    try:
        yield cgroup
    finally:
        os.rmdir(cgroup)


class Loading(DirectTestCase):
    def restricted(self, *args):
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        if args:
            bundle.config["process"]["args"] = list(args)
        return bundle

    def assertQuiet(self, result):
        self.assertEqual((result.returncode, result.stdout, result.stderr), (0, "", ""))

    def test_load_and_unload(self):
        """Loading twice is as good as once; what is unloaded is loaded again by the next container, or by its
        supervisor."""
        applier.unload("--force")
        result = oci_landlock("status")
        self.assertEqual(result.returncode, 1)
        self.assertIn("loaded      no; run `oci-landlock load`", result.stdout)
        found = status()
        self.assertFalse(found["loaded"])
        self.assertEqual(found["kernel"]["bridge"], os.environ["VM_KERNEL"].startswith("bridge"))
        self.assertNotIn("containers", found)
        self.assertQuiet(applier.load())
        self.assertQuiet(applier.load())
        self.assertQuiet(oci_landlock("load"))
        self.assertEqual(oci_landlock("status").returncode, 0)
        self.assertQuiet(oci_landlock("unload"))
        self.assertFalse(os.path.exists(PINS))
        again = oci_landlock("unload")
        self.assertEqual((again.returncode, again.stderr), (0, "oci-landlock: nothing was loaded\n"))
        applier.start()
        self.assertEqual(self.restricted().run("crun", "/bin/target", "read", "/etc/secret").stdout, DENIED)
        self.assertTrue(status()["loaded"])

    def test_charged_to_nobody(self):
        """Whoever loads the selector in a cgroup whose memory is all taken does not keep others from executing."""
        with tight_cgroup() as cgroup:
            applier.unload("--force")
            self.assertQuiet(command("sh", "-c", f'echo $$ >{cgroup}/cgroup.procs; exec "$@"', "sh", OCI_LANDLOCK,
                                     "load", "--applier", applier.APPLIER))
            with open(f"{cgroup}/memory.max", "w", encoding="ascii") as limit:
                limit.write("0")
            applier.start()
            for _ in range(8):  # what the kernel has room for already
                bundle = self.restricted()
                self.assertEqual(bundle.run("crun", "/bin/target", "read", "/etc/secret").stdout, DENIED)
            applier.unload("--force")
        applier.start()

    def test_unload_without_bpffs(self):
        """Where no bpffs is mounted there is nothing to take away, unless the kernel has a selector all the same."""
        def hidden(*words):
            return command("unshare", "--mount", "sh", "-c", 'umount -l /sys/fs/bpf; exec "$@"', "sh", OCI_LANDLOCK, *words)

        applier.unload("--force")
        wait_for(lambda: hidden("unload").returncode == 0, "the programs are gone", 60)
        gone = hidden("unload")
        self.assertEqual((gone.returncode, gone.stdout, gone.stderr), (0, "", "oci-landlock: nothing was loaded\n"))
        applier.start()
        self.assertRefused(hidden("unload", "--force"), "no bpffs", "runs a program select_exec", "boot again")
        self.assertTrue(status()["loaded"])

    def test_unload_with_a_container(self):
        """While a container depends on it, `unload` refuses. Forced, what is restricted stays so."""
        bundle = self.restricted("/bin/target", "exec", "/bin/sh", "/run.sh")
        bundle.script("run.sh", "while ! [ -e /go ]; do sleep 0.05; done; cat /etc/secret || echo restricted; sleep 600")
        bundle.annotate({"entries": [{"policy": {
            "abi": 6, "ruleset": [{"handledAccessFs": ["abi.all"]}],
            "pathBeneath": [{"allowedAccess": ["abi.read_execute"], "parent": ["/bin", "/run.sh", "/allowed"]},
                            {"allowedAccess": ["abi.read_write"], "parent": ["/dev"]}]}}]})
        with bundle.running("crun") as container:
            self.assertRefused(oci_landlock("unload"), "depend on it", "--force", "status")
            self.assertEqual(len(status()["containers"]), 1)
            self.assertQuiet(applier.unload("--force"))
            self.assertFalse(status()["loaded"])
            bundle.write("go", "")
            container.wait_for("restricted")
            self.assertNotIn("secret\n", container.output().replace("/etc/secret", ""))
            applier.start()
            self.assertEqual(self.restricted().run("crun", "/bin/target", "read", "/etc/secret").stdout, DENIED)
        self.assertMapsEmpty()

    def test_no_room(self):
        """Where there is no room in /run nothing starts with a sandbox; who only looks, or takes away, needs none."""
        bundle = self.restricted("/bin/sh", "-c", "sleep 1000")
        with gate(bundle) as held:
            self.assertEqual(held.hook().returncode, 0)
            with no_room("/run/oci-landlock"):
                self.assertEqual([item["id"] for item in status()["containers"]], [bundle.id])
                self.assertRefused(oci_landlock("unload"), "1 containers depend on it")
                other = {"ociVersion": "1.0.2", "id": "other", "bundle": "/", "status": "stopped"}
                self.assertQuiet(hook(other, "poststop"))
                with gate(self.restricted()) as later:
                    self.assertEqual(later.hook().returncode, 1)
            self.assertEqual([item["id"] for item in status()["containers"]], [bundle.id])

    def test_status(self):
        """status names each container with its profile, its entries and what happened, in text and in JSON."""
        bundle = self.restricted("/bin/sh", "-c", LOOP)
        asked = profile(program("/bin/target", name="first", missingPaths="skip"))
        asked["entries"][0]["policy"]["pathBeneath"].append({"allowedAccess": ["abi.all"], "parent": ["/absent"]})
        bundle.annotate(asked)
        with bundle.running("crun") as container:
            self.assertEqual(container.code, 0, container.output())
            before = status()["containers"][0]
            self.assertEqual((before["applied"], before["denied"]), (0, 0))
            for number in (1, 2):
                bundle.write(f"go{number}", "")
                wait_for(lambda: container.output().count("read") == number, "the target has run")
            found = status()
            if applier.INJECT:
                self.assertEqual(found["supervisor"],
                                 {"running": True, "pid": applier.supervisor.process.pid, "containers": 1,
                                  "version": found["version"]})
                self.assertNotIn("slots", found)
            else:
                self.assertEqual(found["slots"], {"used": 1, "total": 65536})
                self.assertNotIn("supervisor", found)
            self.assertEqual(found["applier"], applier.APPLIER)
            self.assertEqual(found["version"], found["loadedVersion"])
            item = found["containers"][0]
            self.assertEqual(item["id"], bundle.id)
            self.assertEqual(item["profile"], "annotation io.landlock.profile")
            self.assertEqual(item["entries"], [{"name": "first", "layers": 1, "enforcement": "partial",
                                                "missingPaths": ["/absent"]}])
            self.assertEqual((item["started"], item["intact"], item["applied"], item["denied"]), (True, True, 2, 0))
            self.assertNotIn("lastDenial", item)
            text = oci_landlock("status").stdout
            kept = f"pid {applier.supervisor.process.pid}" if applier.INJECT else "slots       1 of 65536 in use"
            for line in (kept, "containers  1 of 16384", f"\n{bundle.id}\n",
                         "  entry    first: partial, without /absent", "  execs    2 restricted, 0 denied"):
                self.assertIn(line, text)

    def test_other_version(self):
        """A node that another version has loaded is refused by all that would use it, with advice; never mixed."""
        self.assertEqual(oci_landlock("load").returncode, 0)
        before = patch_node(0, 4711)
        self.addCleanup(applier.unload, "--force")
        for words in (["load"], ["status"], ["status", "--json"], ["unload"], ["ps"], ["events"],
                      ["learn", "record", "web", "--output", "/tmp/recording"]):
            self.assertRefused(oci_landlock(*words), "layout 4711", "unload --force")
        bundle = self.restricted()
        with fake_init("init") as pid:
            self.assertRefused(hook(self.state_of(bundle, pid)), "layout 4711", "unload --force", bundle.id)
        result = bundle.run("crun", "/bin/target", "read", "/etc/secret")
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        patch_node(0, before)
        self.assertMapsEmpty()
        patch_node(0, 4711)
        self.assertQuiet(applier.unload("--force"))
        applier.start()
        self.assertEqual(bundle.run("crun", "/bin/target", "read", "/etc/secret").stdout, DENIED)

    def test_larger_node(self):
        """What another version says of itself may be larger, too."""
        applier.unload("--force")
        os.mkdir(PINS)
        self.addCleanup(applier.start)
        self.addCleanup(applier.unload, "--force")
        command("bpftool", "map", "create", PINS + "/node", "type", "array", "key", "4", "value", "65536", "entries",
                "1", "name", "node", check=True)
        for words in (["load"], ["status"], ["unload"]):
            self.assertRefused(oci_landlock(*words), "layout 0", "unload --force")

    @applier.inject_only("with kfunc there is no supervisor")
    def test_supervisor_of_another_layout(self):
        """A node that another version has loaded under a supervisor is refused by that, with advice; it goes on once
        the node is its own again."""
        def load(program):
            for words in (("unload", "--force"), ("load", "--applier", "inject")):
                self.assertQuiet(command(program, *words))

        self.addCleanup(applier.start)
        self.addCleanup(applier.unload, "--force")
        bundle = self.restricted("/bin/target", "read", "/etc/secret")
        self.assertEqual(bundle.run("runc").stdout, DENIED)
        load(ANOTHER_LAYOUT)
        for hooks in bundle.config["hooks"].values():
            hooks[0]["path"] = ANOTHER_LAYOUT
        result = bundle.run("runc")
        self.assertNotEqual(result.returncode, 0)
        self.assertEqual(result.stdout, "")
        for text in ("the supervisor refused: this node was loaded by version",
                     OLDER + "; restart the supervisor with"):
            self.assertSaid("runc", result.stderr, text)
        load(OCI_LANDLOCK)
        bundle.hooks("createRuntime", "poststop")
        self.assertEqual(bundle.run("runc").stdout, DENIED)
        self.assertMapsEmpty()


class Words(DirectTestCase):
    COMMANDS = ("hook", "check", "run", "schema", "load", "unload", "status", "inspect", "ps", "doctor", "nri", "supervise")

    def test_help(self):
        """Each command explains itself on standard output."""
        for words in ([], *([command] for command in self.COMMANDS)):
            for option in ("--help", "-h"):
                result = oci_landlock(*words, option)
                self.assertEqual((result.returncode, result.stderr), (0, ""), words)
                self.assertTrue(result.stdout.startswith(" ".join(["Usage: oci-landlock", *words])), result.stdout)
        for name in self.COMMANDS:
            self.assertIn(f"  {name} ", oci_landlock("--help").stdout)
        self.assertRegex(oci_landlock("--version").stdout, r"^oci-landlock \d")

    def test_wrong_usage(self):
        """What is not understood is said in one line, exit status 2, and nothing is done."""
        for words in ([], ["frobnicate"], ["--frobnicate"], ["load", "--frobnicate"], ["load", "word"],
                      ["load", "--applier"], ["load", "--applier", "other"], ["supervise", "word"],
                      ["supervise", "--frobnicate"], ["unload", "word"], ["status", "--jsn"], ["inspect"], ["inspect", "one", "two"],
                      ["inspect", "--jsn", "one"], ["ps", "word"], ["hook"],
                      ["hook", "startContainer"], ["hook", "createRuntime", "more"], ["check"]):
            result = oci_landlock(*words, stdin=subprocess.DEVNULL)
            self.assertEqual(result.returncode, 2, words)
            self.assertEqual(result.stdout, "")
            self.assertRegex(result.stderr, r"^oci-landlock: [^\n]+\n$")

    def test_not_root(self):
        """Without privileges nothing is changed, and the answer says what is needed."""
        environment = {name: value for name, value in os.environ.items() if name != "XDG_RUNTIME_DIR"}
        for words, needed in ((["load"], "needs root"), (["unload"], "needs root"), (["supervise"], "needs root"),
                              (["status"], "cannot look at containers: no directory for the state of this session"),
                              (["inspect", "web"], "XDG_RUNTIME_DIR"),
                              (["ps"], "XDG_RUNTIME_DIR"), (["events"], "needs root"),
                              (["learn", "record", "web", "--output", "/tmp/recording"], "needs root"),
                              (["learn", "start", "web", "--output", "/tmp/recording"], "needs root"),
                              (["learn", "stop", "web"], "needs root")):
            result = subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", OCI_LANDLOCK, *words],
                                    capture_output=True, text=True, check=False, env=environment)
            if words == ["status"]:
                self.assertRegex(result.stdout, r"(?m)^containers  not known$")
                result.stdout = ""
            self.assertRefused(result, needed)
