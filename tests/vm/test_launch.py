# SPDX-License-Identifier: Apache-2.0
"""The launch applier: the entrypoint, and that nothing but a restricted entrypoint ever runs. Needs no BPF and no VM:
tests/native runs this on the machine itself."""

import collections
import contextlib
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import unittest

import applier
from applier import OCI_LANDLOCK_DYNAMIC
from cases import PATIENCE, kill, wait_for
from containers import BUILD, OCI_LANDLOCK, TestCase, command, entry, node_log, oci_landlock, policy, profile, status

FULL = os.environ.get("FULL") == "1"
NATIVE = os.environ.get("OCI_LANDLOCK_NATIVE") == "1"
RECORDS = "/run/oci-landlock/launch"
RESTRICTED = "read /etc/secret: Permission denied"
READS = ("/bin/probe", "read", "/etc/secret")

# Attaches to all threads of the init that it is told of, and stays until they have ended: a machine may be slow.
OTHER_TRACER = """
import ctypes, json, os, sys, time
pid = json.load(sys.stdin)["pid"]
ready, told = os.pipe()
if os.fork():
    os.close(told)
    os.read(ready, 1)
    sys.exit()
os.setsid()
for thread in os.listdir(f"/proc/{pid}/task"):
    ctypes.CDLL(None).ptrace(0x4206, int(thread), None, None)
null = os.open("/dev/null", os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(null, fd)
os.write(told, b"1")
os.close(told)
end = time.monotonic() + 60
try:
    while time.monotonic() < end:
        who, how = os.waitpid(-1, os.WNOHANG | 0x40000000)
        if who and os.WIFSTOPPED(how):
            break
        time.sleep(0.05)
except ChildProcessError:
    pass
"""


def tracers():
    """Pids, without those that wait for whoever has inherited them."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
                if " (landlock-launch) " in (stat := file.read()) and " (landlock-launch) Z" not in stat:
                    found.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def tracer_of(container):
    """Its pid. Those of others, and of a container before that has not ended yet, are called alike."""
    with open(f"/proc/{container.pid()}/status", encoding="ascii") as file:
        pid = int(re.search(r"^TracerPid:\s*(\d+)$", file.read(), re.M)[1])
    assert pid in tracers(), pid
    return pid


def entrypoint(**more):
    return profile(entry(sessions=False, **more))


@unittest.skipIf(not applier.LAUNCH, "launch only")
class Launch(TestCase):
    def tearDown(self):
        wait_for(lambda: not tracers(), "the tracers end")
        self.assertEqual([item["id"] for item in status()["containers"]], [])

    def annotated(self, wanted=None):
        bundle = self.bundle()
        bundle.annotate(wanted or entrypoint())
        return bundle

    def refused(self, bundle, runtime, *texts):
        """It does not run, and says why."""
        before = len(node_log())
        result = bundle.run(runtime, *READS)
        self.assertNotEqual(result.returncode, 0)
        self.assertNotIn("secret", result.stdout)
        said = node_log()[before:] + result.stderr
        for text in texts:
            self.assertIn(text, said)

    def test_the_entrypoint_is_restricted(self):
        for runtime in self.each_runtime():
            bundle = self.annotated()
            result = bundle.run(runtime, *READS, "+", "read", "/allowed/file", "+", "nnp")
            self.assertEqual(result.stdout.splitlines(),
                             [RESTRICTED, "read /allowed/file: allowed", "no_new_privs: 1"], result.stderr)
            free = self.bundle().run(runtime, *READS)
            self.assertEqual(free.stdout, "read /etc/secret: allowed\n")

    def test_all_its_entries_and_both_stages(self):
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.hooks("prestart", "createRuntime", "poststart", "poststop")
            bundle.annotate(profile(*[entry(sessions=False, name=f"number-{i}") for i in range(3)]))
            with bundle.created(runtime, *READS) as container:
                self.assertEqual(container.code, 0, container.output())
                wait_for(lambda: tracers() == [tracer_of(container)], "it has one tracer")
                found = status()
                self.assertEqual(found["applier"], "launch")
                self.assertEqual([(item["id"], item["applied"], len(item["entries"])) for item in found["containers"]],
                                 [(bundle.id, False, 3)])
                container.start()
                container.wait_for(RESTRICTED)

    def test_status_knows_the_living(self):
        for runtime in self.each_runtime():
            bundle = self.annotated()
            with bundle.running(runtime, "/bin/sleep", "100"):
                wait_for(lambda: status()["containers"][0]["applied"], "it is restricted")
                text = oci_landlock("status")
                self.assertEqual(text.returncode, 0)
                self.assertIn("applier     launch", text.stdout)
                self.assertIn(bundle.id, text.stdout)
                self.assertIn("state    restricted", text.stdout)

    def test_status_says_what_it_could_not_look_at(self):
        """A /run that nothing can be made in has no containers; one of which nobody can tell is not said to have none."""
        read_only = command("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o ro none /run && exec "$@"', "sh",
                            OCI_LANDLOCK, "status")
        self.assertEqual((read_only.returncode, read_only.stderr), (0, ""))
        self.assertRegex(read_only.stdout, r"(?m)^applier     launch\b(.|\n)*^containers  0$")
        bundle = self.annotated()
        self.assertEqual(bundle.run("crun", *READS).stdout, RESTRICTED + "\n")
        os.chmod(RECORDS, 0o777)
        try:
            shown, found, measured = oci_landlock("status"), oci_landlock("status", "--json"), oci_landlock("metrics")
            checked = oci_landlock("doctor")
        finally:
            os.chmod(RECORDS, 0o700)
        why = f"{RECORDS}: others may write to it"
        self.assertEqual(shown.returncode, 1)
        self.assertRegex(shown.stdout, r"(?m)^kernel      .*\n(.|\n)*^containers  not known$")
        self.assertRegex(shown.stderr, rf"\Aoci-landlock: cannot look at containers: {why}[^\n]*\n\Z")
        self.assertEqual(found.returncode, 1)
        answer = json.loads(found.stdout)
        self.assertNotIn("containers", answer)
        self.assertTrue(answer["obstacle"].startswith(why), answer)
        self.assertEqual((measured.returncode, measured.stdout), (1, ""))
        for told in (measured.stderr, checked.stdout):
            self.assertIn(why, told)

    def test_sessions_are_not_covered_and_that_is_said(self):
        for runtime in self.each_runtime():
            bundle = self.annotated(profile(entry(name="web")))
            before = len(node_log())
            result = bundle.run(runtime, *READS)
            self.assertEqual(result.stdout, RESTRICTED + "\n", result.stderr)
            # An older kernel leaves out more.
            self.assertRegex(node_log()[before:],
                             r"entry web is enforced partially, without (.*, )?sessions \(not with launch\)\n")
            rules = {"abi": 1, "ruleset": [{"handledAccessFs": ["read_file"]}],
                     "pathBeneath": [{"allowedAccess": ["read_file"], "parent": ["/bin"]}]}
            self.refused(self.annotated(profile(entry(name="web", rules=rules, compat="require"))), runtime,
                         "entry web: requires that exec sessions are restricted")

    def test_programs_are_refused(self):
        text = json.dumps(profile(entry({"program": ["/bin/target"]}, name="web")))
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.config["annotations"] = {"io.landlock.profile": text}
            self.refused(bundle, runtime, "entry web: selects programs, and the launch applier covers the entrypoint only (")
            bundle.config["annotations"] = {"io.landlock.profile": text.replace("program", "except")}
            self.refused(bundle, runtime, "entry web: selects all programs but some")

    def test_who_asks_to_be_recorded_is_refused(self):
        for runtime in self.each_runtime():
            bundle = self.annotated()
            bundle.config["annotations"]["io.landlock.learn"] = "web"
            self.refused(bundle, runtime,
                         "annotation io.landlock.learn: with the launch applier nothing can be recorded; ")

    def test_check_says_the_same(self):
        directory = self.bundle().directory
        for name, wanted, valid in (("sessions", entry(), True), ("require", entry(compat="require"), False),
                                    ("program", entry({"program": ["/bin/x"]}), False),
                                    ("full", entry(sessions=False), True)):
            path = os.path.join(directory, name + ".json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(profile(wanted), file)
            result = oci_landlock("check", "--json", "--applier", "launch", path)
            found = json.loads(result.stdout)[0]
            self.assertEqual((found["valid"], result.returncode), (valid, 0 if valid else 1), name)
            if valid:
                self.assertEqual(found["entries"][0]["enforcement"], "full" if name == "full" else "partial")

    def test_no_tracer_no_entrypoint(self):
        for runtime in self.each_runtime():
            bundle = self.annotated()
            with bundle.created(runtime, *READS) as container:
                tracer = tracer_of(container)
                kill(tracer, signal.SIGKILL)
                wait_for(lambda: tracer not in tracers(), "the tracer is gone")
                container.start()
                wait_for(lambda: container.state()["status"] == "stopped", "the container has ended")
                self.assertNotIn("secret", container.output())

    # A signal that arrives before the exec stops the init, too: Go's runtime sends itself some, and then `runc start`
    # waits with its init.
    def test_a_stopped_tracer_ends_the_container(self):
        for runtime in self.each_runtime():
            bundle = self.annotated()
            with bundle.created(runtime, *READS) as container:
                tracer = tracer_of(container)
                kill(tracer, signal.SIGSTOP)
                kill(container.pid(), signal.SIGURG)
                with subprocess.Popen([runtime, "start", bundle.id], stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL) as start:
                    try:
                        if runtime == "crun":
                            wait_for(lambda: container.state()["status"] == "stopped", "the container is ended")
                        else:
                            time.sleep(1)  # runc 1.1 has called the hook already, and the program waits for ever
                            self.assertNotEqual(container.state()["status"], "stopped")
                    finally:
                        kill(tracer, signal.SIGKILL)
                    wait_for(lambda: container.state()["status"] == "stopped", "it ends with its tracer")
                    start.wait(timeout=30 * PATIENCE)
                self.assertNotIn("secret", container.output())

    def at_any_time(self, harm):
        """How often the program has not run, and how often it ran restricted, where its tracer is harmed."""
        outcomes = collections.Counter()
        for runtime in self.each_runtime():
            # In emulation each takes seconds, and the machine itself does them all.
            for step in range(40) if FULL or NATIVE else range(0, 40, 5):
                bundle = self.annotated()
                for hook in bundle.config["hooks"]["createRuntime"]:
                    hook["path"] = OCI_LANDLOCK_DYNAMIC
                    hook["env"] = [f"LD_PRELOAD={os.path.join(BUILD, 'tests', 'vm', 'libno-memory.so')}"]
                with bundle.created(runtime, *READS) as container:
                    self.assertEqual(container.code, 0, container.output())
                    tracer = tracer_of(container)
                    start = subprocess.Popen([runtime, "start", bundle.id], stdout=subprocess.DEVNULL,
                                             stderr=subprocess.DEVNULL)
                    time.sleep(step * 0.001)
                    harm(tracer)
                    wait_for(lambda: container.state()["status"] == "stopped", "it ends")
                    try:
                        start.wait(timeout=1)
                    except subprocess.TimeoutExpired:
                        start.kill()  # crun waits for an init that has died since it looked
                        start.wait()
                    output = [line for line in container.output().splitlines() if line.startswith("read ")]
                    self.assertIn(output, ([], [RESTRICTED]))
                    outcomes[len(output)] += 1
        return outcomes

    # Wherever the tracer is killed, the program has not run, or it runs restricted.
    def test_the_tracer_is_killed_at_any_time(self):
        def harm(tracer):
            with contextlib.suppress(ProcessLookupError):
                kill(tracer, signal.SIGKILL)
        self.assertGreater(self.at_any_time(harm)[0], 0)

    def test_the_tracer_has_no_memory_at_any_time(self):
        """Not a byte is to be had from then on."""
        with open("/run/no-memory", "wb") as file:
            file.write(struct.pack("i", 0))
        self.addCleanup(os.unlink, file.name)

        def starve(tracer):
            with open(file.name, "r+b") as written:
                written.write(struct.pack("i", tracer))
        self.assertGreater(self.at_any_time(starve)[0], 0)

    def test_signals_before_and_after(self):
        for runtime in self.each_runtime():
            bundle = self.annotated()
            with bundle.created(runtime, *READS) as container:
                command(runtime, "kill", bundle.id, "STOP")
                command(runtime, "kill", bundle.id, "CONT")
                container.start()
                container.wait_for(RESTRICTED)
            bundle = self.annotated()
            with bundle.created(runtime, *READS) as container:
                command(runtime, "kill", bundle.id, "KILL")
                wait_for(lambda: not tracers(), "the tracer ends with the container")
            bundle = self.annotated()
            with bundle.running(runtime, "/bin/sh", "-c", "trap 'echo terminated; exit' TERM; echo ready; while :; do "
                                                          "sleep 0.1; done") as container:
                container.wait_for("ready")
                command(runtime, "kill", bundle.id, "TERM")
                container.wait_for("terminated")

    def test_the_program_is_as_without(self):
        """Descriptors, limits, signals, ids and capabilities; it is not traced, and no_new_privs is what the profile
        says."""
        script = """
            grep -E '^(Umask|State|TracerPid|Uid|Gid|Groups|Threads|Sig[BIC]|Shd|Cap|NoNew|Seccomp)' /proc/self/status
            cat /proc/self/limits /proc/1/cmdline
            for fd in /proc/1/fd/*; do echo ${fd##*/}; done
        """
        rules = policy(read=["/bin", "/allowed", "/proc", "/run.sh"], write=["/dev"])
        for runtime in self.each_runtime():
            said = []
            for restricted in (False, True):
                bundle = self.bundle()
                bundle.config["process"]["noNewPrivileges"] = True
                bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 20, "hard": 64}]
                if restricted:
                    bundle.annotate(entrypoint(rules=rules))
                result = bundle.shell(runtime, script)
                self.assertEqual(result.returncode, 0, result.stderr)
                said.append(result.stdout)
            self.assertIn("NoNewPrivs:\t1", said[0])
            self.assertEqual(said[1], said[0])

    def test_somebody_else_traces_it(self):
        for runtime in self.each_runtime():
            bundle = self.annotated()
            bundle.config["hooks"]["createRuntime"].insert(
                0, {"path": sys.executable, "args": ["python3", "-c", OTHER_TRACER]})
            self.refused(bundle, runtime, "traces the container's init already")

    def test_filters_that_deny_the_calls(self):
        for runtime in self.each_runtime():
            bundle = self.annotated()
            bundle.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["landlock_restrict_self", "socketpair", "recvmsg"], "action": "SCMP_ACT_ERRNO"}]}
            self.assertEqual(bundle.run(runtime, *READS).stdout, RESTRICTED + "\n")

    @unittest.skipUnless(os.path.exists("/sys/kernel/security/apparmor"), "AppArmor is off in this kernel")
    def test_apparmor(self):
        """A profile that denies what the handing over needs: the entrypoint does not run, and the log says why; one
        that allows it, as the engines' do, is none in the way."""
        for name, allowed in self.apparmor_profiles():
            for runtime in self.each_runtime():
                bundle = self.annotated()
                bundle.config["process"]["apparmorProfile"] = name
                result = bundle.run(runtime, *READS)
                if allowed:
                    self.assertEqual(result.stdout, RESTRICTED + "\n", result)
                else:
                    self.assertEqual(result.stdout, "", result)
                    self.assertNotEqual(result.returncode, 0)

    def test_hooks_of_the_bundle_are_free(self):
        for runtime in self.each_runtime():
            bundle = self.annotated()
            # A hook that ends before crun has told it the state is one that has failed.
            bundle.config["hooks"]["startContainer"] = [
                {"path": "/bin/sh", "args": ["sh", "-c", "cat > /dev/null; cat /etc/secret > /tmp/seen"]}]
            result = bundle.run(runtime, *READS)
            self.assertEqual(result.stdout, RESTRICTED + "\n", result.stderr)
            with open(bundle.path("tmp/seen"), encoding="utf-8") as file:
                self.assertEqual(file.read(), "secret\n")

    # As a runtime that runs the container in its own process.
    def test_a_runtime_that_executes_nothing(self):
        bundle = self.annotated()
        bundle.save()
        with subprocess.Popen(["unshare", "--mount", "sleep", "100"]) as init:
            wait_for(lambda: os.readlink(f"/proc/{init.pid}/exe").endswith("sleep"), "sleep runs")
            state = json.dumps({"ociVersion": "1.0.2", "id": bundle.id, "pid": init.pid, "bundle": bundle.directory,
                                "status": "running"})
            hook = [OCI_LANDLOCK, "hook"]
            made = command(*hook, "createRuntime", input=state)
            self.assertEqual(made.returncode, 0, made.stderr)
            begin = time.monotonic()
            ended = command(*hook, "poststart", input=state)
            self.assertEqual(ended.returncode, 1)
            self.assertIn("has not been restricted within 10 s", ended.stderr)
            self.assertLess(time.monotonic() - begin, 60)
            self.assertEqual(init.wait(timeout=30 * PATIENCE), -signal.SIGKILL)

    # Nobody has attached: the first stage is not configured.
    def test_the_last_stage_alone_ends_the_container(self):
        bundle = self.annotated()
        bundle.hooks("poststart")
        bundle.run("crun", "/bin/sleep", "100", timeout=60)
        self.assertNotIn(bundle.id, command("crun", "list").stdout)

    def test_missing_paths_and_required_rights(self):
        for runtime in self.each_runtime():
            bundle = self.annotated(entrypoint(rules=policy(read=["/missing"])))
            self.refused(bundle, runtime, "/missing: does not exist inside the container")
