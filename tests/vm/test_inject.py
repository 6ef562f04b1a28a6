# SPDX-License-Identifier: Apache-2.0
"""The inject applier with targets of every kind, and in every kind of container that could be in its way."""

import contextlib
import json
import os
import re
import shutil
import signal
import threading
import time
import unittest

import applier
from cases import FREE, RESTRICTED, SECRET, Cases, Tally, kill, lines, wait_for
from containers import PROBE, TestCase, command, entry, policy, profile, program
from direct import KERNEL
from test_escape import privilege

DIRECTORY = os.path.dirname(PROBE)
PROFILES = "/etc/oci-landlock/profiles"
CHECK = f"exec /bin/target {SECRET}"
X86 = os.uname().machine == "x86_64"
# The processor's names among engines and in filters.
GO, SECCOMP = ("amd64", "SCMP_ARCH_X86_64") if X86 else ("arm64", "SCMP_ARCH_AARCH64")
KINDS = ("small-static", "small-static-pie", "small-dynamic", "small-dynamic-pie",
         *(("entry64", "entry32") if X86 else ()))
# What the smallest of containers needs for a dynamic program.
LIBRARIES = (("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6") if X86 else
             ("/lib/ld-linux-aarch64.so.1", "/lib/aarch64-linux-gnu/libc.so.6"))


def give(bundle, name, path=None):
    """A program of this build in the container."""
    path = path or "bin/" + name
    shutil.copy(os.path.join(DIRECTORY, name), bundle.path(path))
    return "/" + path


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def give_libraries(bundle):
    for path in LIBRARIES:
        os.makedirs(os.path.dirname(bundle.path(path[1:])), exist_ok=True)
        shutil.copy(os.path.realpath(path), bundle.path(path[1:]))


def rules_for_libraries():
    return policy(read=["/bin", "/allowed", *sorted({"/" + path.split("/")[1] for path in LIBRARIES})], write=["/dev"])


def rules_for_status():
    return policy(read=["/bin", "/allowed", "/proc"], write=["/dev"])


@applier.inject_only("how targets are made to restrict themselves")
class Kinds(TestCase):
    def test_binaries(self):
        """Static and dynamic, position independent or not, without a library, of 32 bits; as the container's first
        program and as a child of a shell."""
        for runtime in self.each_runtime():
            for kind in KINDS:
                if not os.path.exists(os.path.join(DIRECTORY, kind)):
                    self.assertEqual(kind, "entry32", "was not built")
                    continue
                with self.subTest(kind=kind):
                    bundle = self.bundle()
                    give_libraries(bundle)
                    path = give(bundle, kind)
                    self.assertEqual(lines(bundle.run(runtime, path)), [FREE])
                    bundle.annotate(profile(program(path, rules=rules_for_libraries())))
                    self.assertEqual(lines(bundle.run(runtime, path)), [RESTRICTED])
                    self.assertEqual(lines(bundle.shell(runtime, f"{path}; /bin/probe {SECRET}; {path}")),
                                     [RESTRICTED, FREE, RESTRICTED])
        self.assertNothingLeft()

    @unittest.skipUnless(os.path.exists(os.path.join(DIRECTORY, "entry32")), "the compiler makes no 32-bit programs")
    def test_32_bits(self):
        """A 32-bit target from a 64-bit program and the other way round, by script and by thread."""
        bundle = self.bundle()
        small = give(bundle, "entry32")
        bundle.annotate(profile(program(small)))
        bundle.write("bin/script", f"#!{small}\n", 0o755)
        cases = Cases()
        cases.restricted("exec", f"/bin/probe exec {small}")
        cases.restricted("vfork", f"/bin/probe vfork-exec {small}")
        cases.restricted("spawn", f"/bin/probe spawn {small}")
        cases.restricted("thread", f"/bin/probe thread-exec {small}")
        cases.restricted("race", f"/bin/probe race-exec 8 {small}")
        cases.restricted("script", "/bin/script")
        cases.free("another", f"/bin/probe {SECRET}")
        cases.run(self, bundle, "crun")

    def test_ways(self):
        """By every way to execute: also by threads that are not the leader, many of them at once, by children that
        share the memory of a parent that waits."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            cases = Cases()
            for way in ("exec", "exec-fd", "exec-proc", "vfork-exec", "spawn", "thread-exec", "race-exec 16"):
                cases.restricted(way, f"/bin/probe {way} /bin/target {SECRET}")
                cases.free(way + " of another", f"/bin/probe {way} /bin/probe {SECRET}")
            cases.restricted("a thread of the target",
                             f"/bin/target thread-exec /bin/target thread-exec /bin/probe {SECRET}")
            cases.run(self, bundle, runtime)

    def test_memory(self):
        """What runs from memory, with `except`, which is where it counts."""
        bundle = self.bundle()
        bundle.annotate(profile(entry({"except": ["/run.sh", "/bin/busybox", "/bin/probe"]})))
        cases = Cases()
        cases.restricted("a program in memory", f"/bin/probe exec-memory /bin/probe {SECRET}")
        cases.restricted("by a thread", f"/bin/probe thread-exec /bin/probe exec-memory /bin/probe {SECRET}")
        cases.restricted("a script in memory", f"/bin/probe script-memory /bin/probe ++ {SECRET}")
        cases.free("a file", f"/bin/probe exec /bin/probe {SECRET}")
        cases.run(self, bundle, "crun")

    def test_interpreters(self):
        """Chains of interpreters, with the target at each place of them."""
        for number, at in enumerate(("/bin/first", "/bin/second", "/bin/third", "/bin/target")):
            with self.subTest(at=at):
                bundle = self.bundle()
                bundle.annotate(profile(program(at)))
                for name, interpreter in (("first", "second"), ("second", "third"), ("third", "target")):
                    bundle.write(f"bin/{name}", f"#!/bin/{interpreter} skip\n", 0o755)
                bundle.write("bin/other", "#!/bin/probe skip\n", 0o755)
                cases = Cases()
                for i, name in enumerate(("first", "second", "third")):
                    # What is named beneath the place is not on the way.
                    (cases.restricted if i <= number else cases.free)(name, f"/bin/{name} + {SECRET}")
                cases.free("another", f"/bin/other + {SECRET}")
                cases.run(self, bundle, "crun")

    def test_pid_1(self):
        """A shell that is pid 1 and becomes the target, and the same with its children about."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target", rules=rules_for_status())))
            result = bundle.shell(runtime, f"""
                sleep 1000 & sleep 1000 &
                /bin/probe {SECRET}
                exec /bin/target {SECRET} + status Pid + exec /bin/probe {SECRET}
            """)
            self.assertEqual(lines(result), [FREE, RESTRICTED, "Pid:\t1", RESTRICTED])


@applier.inject_only("how targets are made to restrict themselves")
class Circumstances(TestCase):
    def node_profile(self, *entries):
        """A profile file of the node; returns its name."""
        os.makedirs(PROFILES, exist_ok=True)
        path = os.path.join(PROFILES, "inject.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(profile(*entries), file)
        self.addCleanup(shutil.rmtree, PROFILES, ignore_errors=True)
        return "inject"

    def test_privileges(self):
        """Set-user-ID and file capabilities take effect in the target, with `noNewPrivileges` and without; what it
        executes later gains them only without."""
        for no_new_privs in (True, False):
            with self.subTest(noNewPrivileges=no_new_privs):
                bundle = self.bundle()
                privilege(bundle, "CAP_SYS_ADMIN")
                for kind in ("inheritable", "ambient"):
                    bundle.config["process"]["capabilities"][kind] = ["CAP_SYS_ADMIN"]
                for kind in ("effective", "permitted"):
                    bundle.config["process"]["capabilities"][kind] = ["CAP_SYS_ADMIN"]
                bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
                for name in ("setuid", "capable"):
                    for what in ("target", "probe"):
                        shutil.copy(PROBE, bundle.path(f"bin/{name}-{what}"))
                for what in ("target", "probe"):
                    os.chmod(bundle.path(f"bin/setuid-{what}"), 0o4755)
                    command("setcap", "cap_net_bind_service,cap_sys_admin=ep", bundle.path(f"bin/capable-{what}"),
                            check=True)
                # What becomes of the rest when a program restricts itself, under no_new_privs or not.
                later = lines(bundle.shell("crun", f"/bin/setuid-probe {'stack 1 + ' if no_new_privs else ''}"
                                           "vfork-exec /bin/setuid-probe ids"))[-1]
                bundle.annotate(self.node_profile(
                    program("/bin/setuid-target", "/bin/capable-target", rules=rules_for_status(),
                            noNewPrivileges=no_new_privs)))
                nnp = f"no_new_privs: {int(no_new_privs)}"
                # Bit 10: CAP_NET_BIND_SERVICE; bit 21: CAP_SYS_ADMIN.
                # A program with capabilities of its own loses the ambient ones.
                more, less = "CapEff:\t0000000000200400", "CapEff:\t0000000000000000"
                cases = Cases()
                cases.prints("another, set-user-ID", f"/bin/setuid-probe ids + {SECRET}", "uid 1000 euid 0 secure 1",
                             FREE)
                cases.prints("another, with capabilities", "/bin/capable-probe status CapEff + nnp", more,
                             "no_new_privs: 0")
                cases.prints("set-user-ID",
                             f"/bin/setuid-target ids + {SECRET} + nnp + vfork-exec /bin/setuid-probe ids",
                             "uid 1000 euid 0 secure 1", RESTRICTED, nnp, later)
                cases.prints("with capabilities", f"/bin/capable-target status CapEff + {SECRET} + nnp", more,
                             RESTRICTED, nnp)
                cases.prints("later", "/bin/capable-target vfork-exec /bin/probe status CapEff ++ vfork-exec "
                             "/bin/capable-probe status CapEff", less, less if no_new_privs else more)
                cases.run(self, bundle, "crun")

    def test_unprivileged(self):
        """A user without capabilities, with no_new_privs set by the runtime or not; a program that this user may
        execute and not read."""
        for runtime in self.each_runtime():
            for no_new_privs in (False, True):
                bundle = self.bundle()
                bundle.config["process"].update(user={"uid": 1000, "gid": 1000}, noNewPrivileges=no_new_privs)
                bundle.config["process"]["capabilities"] = {}
                os.chmod(bundle.path("bin/target"), 0o111)
                bundle.annotate(profile(program("/bin/target", rules=rules_for_status())))
                cases = Cases()
                cases.prints("target", f"/bin/target {SECRET} + nnp + ids + status CapEff", RESTRICTED,
                             "no_new_privs: 1", "uid 1000 euid 1000 secure 0", "CapEff:\t0000000000000000")
                cases.restricted("thread", f"/bin/probe thread-exec {CHECK[5:]}")
                cases.prints("another", f"/bin/probe {SECRET} + nnp", FREE, f"no_new_privs: {int(no_new_privs)}")
                cases.run(self, bundle, runtime)

    def test_user_namespace(self):
        """A container whose root is a user of the host's that is nobody else."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            os.chmod(bundle.directory, 0o755)
            bundle.config["linux"]["namespaces"].append({"type": "user"})
            for ids in ("uidMappings", "gidMappings"):
                bundle.config["linux"][ids] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
            privilege(bundle, "CAP_SYS_ADMIN")
            for user in (0, 1000):
                bundle.config["process"]["user"] = {"uid": user, "gid": user}
                bundle.annotate(profile(program("/bin/target")))
                cases = Cases()
                cases.prints("target", f"/bin/target {SECRET} + ids", RESTRICTED, f"uid {user} euid {user} secure 0")
                cases.restricted("one more", f"/bin/probe unshare user mount + fork + {CHECK}")
                cases.free("another", f"/bin/probe {SECRET}")
                cases.run(self, bundle, runtime)

    def test_undumpable(self):
        """A task that nobody may trace but root."""
        bundle = self.bundle()
        bundle.config["process"]["user"] = {"uid": 1000, "gid": 1000}
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.restricted("exec", f"/bin/probe undumpable + {CHECK}")
        cases.restricted("child", f"/bin/probe undumpable + fork + {CHECK}")
        cases.restricted("thread", f"/bin/probe undumpable + thread-{CHECK}")
        cases.free("another", f"/bin/probe undumpable + exec /bin/probe {SECRET}")
        cases.run(self, bundle, "crun")

    def test_limits(self):
        """Stacks of 8 MiB and of 64 KiB; no more than one descriptor to spare, or none; little memory."""
        bundle = self.bundle()
        small = give(bundle, "entry64" if X86 else "small-static")
        bundle.annotate(profile(program("/bin/target", small)))
        cases = Cases()
        for limit in ("stack 8388608", "stack 65536", "nofile 4", "nofile 5", "as 16777216"):
            cases.restricted(limit, f"/bin/probe limit {limit} + {CHECK}")
            cases.free(limit + ", another", f"/bin/probe limit {limit} + exec /bin/probe {SECRET}")
            kind, value = limit.split()
            option, unit = {"stack": ("s", 1024), "nofile": ("n", 1), "as": ("v", 1024)}[kind]
            cases.prints(limit + ", afterwards", f"/bin/probe limit {limit} + exec /bin/target exec /bin/sh -c "
                         f"'ulimit -{option}'", str(int(value) // unit))
        cases.restricted("the least of programs", f"/bin/probe limit stack 65536 + limit nofile 4 + exec {small}")
        cases.run(self, bundle, "crun")

    def test_signals(self):
        """Signals that were pending before the exec are so afterwards, and the same ones are blocked; and a signal that
        is not blocked kills the target no later than it would have."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target", rules=rules_for_status())))
        see = "status SigPnd ShdPnd SigBlk SigIgn SigCgt"
        for name in ("probe", "target"):
            bundle.script(f"{name}.sh", f"/bin/probe pend 1 2 10 15 34 64 + exec /bin/{name} {SECRET} ++ {see}\n"
                          f"trap '' 12; /bin/probe exec /bin/{name} {see}\n")
        expected = lines(bundle.run("crun", "/probe.sh"))
        self.assertEqual(expected[0], FREE)
        self.assertIn("SigPnd:\t8000000200004203", expected)
        found = lines(bundle.run("crun", "/target.sh"))
        self.assertEqual(found[0], RESTRICTED)
        self.assertEqual(found[1:], expected[1:])

    def test_parents(self):
        """A parent sees of its target what it sees of any child: one exit status, and no stop."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        for way in ("vfork-exec", "spawn"):
            cases.prints(way, f"/bin/probe {way} /bin/target exec /bin/sh -c 'exit 7'; echo $?", "7")
            cases.prints(way + ", killed", f"/bin/probe {way} /bin/target exec /bin/sh -c 'kill -15 $$'; echo $?",
                         "killed by signal 15", "143")
        cases.prints("many", "/bin/probe swarm 40 8 /bin/target verdict",
                     "swarm: 40 restricted, 0 unrestricted, 0 denied, 0 unsure, 0 killed, 0 other")
        cases.prints("many of another", "/bin/probe swarm 40 8 /bin/probe verdict",
                     "swarm: 0 restricted, 40 unrestricted, 0 denied, 0 unsure, 0 killed, 0 other")
        cases.run(self, bundle, "crun")

    def test_failed_exec_lets_go(self):
        """A target whose exec fails is not traced for long, so that somebody else can."""
        bundle = self.bundle()
        bundle.write("bin/garbage", "neither this nor that\n", 0o755)
        bundle.annotate(profile(program("/bin/garbage", "/bin/target")))
        words = ("exec", "/bin/sleep", "1000")
        with bundle.running("crun", "/bin/probe", "exec", "/bin/garbage", "+", *words) as container:
            container.wait_for("Exec format error")
            pid = container.pid()

            def tracer():
                with open(f"/proc/{pid}/status", encoding="ascii") as file:
                    return int(re.search(r"TracerPid:\s*(\d+)", file.read()).group(1))
            wait_for(lambda: tracer() == 0, "nobody traces the task")
        with bundle.running("crun", "/bin/target", "read", "/etc/secret", "+", *words) as container:
            container.wait_for(RESTRICTED)
            pid = container.pid()
            wait_for(lambda: tracer() == 0, "nobody traces the target")

    def test_storm(self):
        """SIGSTOP and SIGCONT from outside, all the time: every target that runs is restricted, and all get there."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        stop = threading.Event()
        sent = [0]

        def storm(cgroup):
            while not stop.is_set():
                try:
                    with open(f"{cgroup}/cgroup.procs", encoding="ascii") as file:
                        # A zero is one that was reaped just now; to kill(2) it means our own group.
                        pids = [int(word) for word in file.read().split() if word != "0"]
                except OSError:
                    return
                for number in (signal.SIGSTOP, signal.SIGCONT):
                    for pid in pids:
                        try:
                            kill(pid, number)
                            sent[0] += 1
                        except ProcessLookupError:
                            pass

        with bundle.created("crun", "/bin/probe", "swarm", "60", "4", "/bin/target", "verdict") as container:
            self.assertEqual(container.code, 0, container.output())
            with open(f"/proc/{container.pid()}/cgroup", encoding="ascii") as file:
                cgroup = "/sys/fs/cgroup" + file.read().strip()[3:]
            container.start()
            thread = threading.Thread(target=storm, args=[cgroup])
            thread.start()
            try:
                container.wait_for("swarm:", 240)
            finally:
                stop.set()
                thread.join()
            self.assertIn("60 restricted, 0 unrestricted, 0 denied, 0 unsure, 0 killed, 0 other", container.output())
        self.assertGreater(sent[0], 100)
        self.assertNothingLeft()

    def test_killed_targets(self):
        """Targets that are killed at any moment by somebody else: whatever runs is restricted, nothing hangs, nothing
        is left."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        script = bundle.script("run.sh", "/bin/probe swarm 0 6 /bin/target verdict; echo over")
        with bundle.running("crun", script) as container:
            self.assertEqual(container.code, 0, container.output())
            wait_for(lambda: children(container.pid()), "the swarm is there")
            swarm, = children(container.pid())
            end = time.monotonic() + 20
            while time.monotonic() < end:
                for pid in children(swarm):
                    with contextlib.suppress(ProcessLookupError):
                        kill(pid, signal.SIGKILL)
            bundle.write("tmp/stop", "")
            container.wait_for("over", 120)
            tally = Tally(container.output())
            self.assertEqual((tally.unrestricted, tally.denied, tally.unsure, tally.other), (0, 0, 0, 0), tally.text)
            self.assertGreater(tally.killed, 0, tally.text)
        self.assertNothingLeft()


class Seccomp:
    """Profiles of the engines, as their runtime gets them."""

    FILES = {"podman": "/usr/share/containers/seccomp.json",
             "docker": "/usr/share/gocode/src/github.com/docker/docker/profiles/seccomp/default.json"}

    @classmethod
    def of(cls, engine, capabilities):
        """What the engine makes of its default profile on this processor, for a container with these capabilities."""
        with open(cls.FILES[engine], encoding="utf-8") as file:
            asked = json.load(file)
        architecture, = (item for item in asked["archMap"] if item["architecture"] == SECCOMP)
        rules = []
        for rule in asked["syscalls"]:
            wanted, barred = rule.get("includes") or {}, rule.get("excludes") or {}
            if (not set(wanted.get("caps") or []) <= set(capabilities)
                    or GO not in (wanted.get("arches") or [GO])
                    or tuple(int(n) for n in wanted.get("minKernel", "0.0").split(".")) > KERNEL
                    or set(barred.get("caps") or []) & set(capabilities)
                    or GO in (barred.get("arches") or [])):
                continue
            rules.append({key: rule[key] for key in ("names", "action", "errnoRet", "args") if rule.get(key)})
        made = {"defaultAction": asked["defaultAction"],
                "architectures": [architecture["architecture"], *architecture["subArchitectures"]], "syscalls": rules}
        if "defaultErrnoRet" in asked:
            made["defaultErrnoRet"] = asked["defaultErrnoRet"]
        return made


@applier.inject_only("how targets are made to restrict themselves")
class Filters(TestCase):
    def check(self, bundle, runtime, no_new_privs):
        bundle.config["process"]["noNewPrivileges"] = no_new_privs
        bundle.annotate(profile(program("/bin/target", rules=rules_for_status())))
        cases = Cases()
        cases.prints("target", f"/bin/target {SECRET} + status Seccomp Seccomp_filters", RESTRICTED, "Seccomp:\t2",
                     "Seccomp_filters:\t1")
        cases.restricted("thread", f"/bin/probe thread-exec {CHECK[5:]}")
        cases.prints("another", f"/bin/probe {SECRET} + status Seccomp", FREE, "Seccomp:\t2")
        cases.run(self, bundle, runtime)

    def test_engines(self):
        """The default seccomp profiles of Docker and podman."""
        for runtime in self.each_runtime():
            for engine in Seccomp.FILES:
                for no_new_privs in (True, False):
                    with self.subTest(engine=engine, no_new_privs=no_new_privs):
                        bundle = self.bundle()
                        bundle.config["linux"]["seccomp"] = Seccomp.of(
                            engine, bundle.config["process"]["capabilities"]["bounding"])
                        self.check(bundle, runtime, no_new_privs)

    def test_hostile(self):
        """A filter that refuses, kills at, or lies about all that the applier makes a target do is no obstacle: the
        target did not ask for it. It is in force before and after."""
        calls = ["socketpair", "recvmsg", "sendmsg", "landlock_restrict_self", "landlock_create_ruleset",
                 "landlock_add_rule", "pidfd_getfd", "kcmp", "close_range"]
        actions = [{"action": "SCMP_ACT_ERRNO", "errnoRet": 1}, {"action": "SCMP_ACT_KILL_PROCESS"},
                   {"action": "SCMP_ACT_ERRNO", "errnoRet": 0}]
        for action in actions:
            with self.subTest(action=action):
                bundle = self.bundle()
                bundle.config["linux"]["seccomp"] = {
                    "defaultAction": "SCMP_ACT_ALLOW", "architectures": [SECCOMP],
                    "syscalls": [{"names": calls, **action}]}
                self.check(bundle, "crun", False)
                bundle.annotate(profile(program("/bin/target")))
                text = "stacked 17: ok" if action.get("errnoRet") == 0 else "stacked 0: Operation not permitted"
                # The probe uses these calls itself: they are refused as before.
                result = lines(bundle.shell("crun", "/bin/target stack 17"))
                self.assertEqual(result[-1:], ["Bad system call" if "KILL" in action["action"] else text])


@applier.inject_only("rulesets that a target has for a moment")
class Thieves(TestCase):
    def test_rulesets_cannot_be_taken(self):
        """Another process of the same user, and one with all capabilities in a user namespace that it made, get at a
        target's descriptors only when no ruleset is among them: later targets are as restricted as ever."""
        for user in (1000, 0):
            for prefix in ("", "unshare user + "):
                with self.subTest(user=user, prefix=prefix):
                    bundle = self.bundle()
                    bundle.config["process"]["user"] = {"uid": user, "gid": user}
                    if user:
                        bundle.config["process"]["capabilities"] = {}
                    bundle.annotate(profile(program("/bin/target")))
                    result = bundle.shell("crun", f"""
                        /bin/probe {prefix}steal 40 /bin/target skip
                        /bin/target {SECRET}
                    """)
                    # It has tried in earnest: before and after the injection the target is like any other.
                    self.assertEqual(lines(result), ["stolen 0, sockets 0, reached something", RESTRICTED], result.stderr)


@applier.inject_only("wherever the target lies")
class Places(TestCase):
    def test_appears_later(self):
        """A program that appears after the start, in the image, in a volume, on a tmpfs."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            volume = os.path.join(bundle.directory, "volume")
            os.mkdir(volume)
            bundle.config["mounts"] += [
                {"destination": "/volume", "type": "bind", "source": volume, "options": ["bind"]},
                {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]}]
            places = ("/opt/later", "/volume", "/scratch", "/dev", "/tmp")
            bundle.annotate(profile(program(*(place + "/program" for place in places))))
            cases = Cases()
            cases.setup("mkdir -p /opt/later")
            for place in places:
                cases.setup(f"cp /bin/probe {place}/program; cp /bin/probe {place}/other")
                cases.restricted(place, f"{place}/program {SECRET}")
                cases.free(place + ", another", f"{place}/other {SECRET}")
                cases.setup(f"mv {place}/program {place}/old; cp /bin/probe {place}/program")
                cases.restricted(place + ", replaced", f"{place}/program {SECRET}")
            cases.run(self, bundle, runtime)

    def test_volumes(self):
        """A target in a volume, of which the host and another container use the files as well: only this container's
        processes are restricted."""
        bundle, other = self.bundle(), self.bundle()
        volume = os.path.join(bundle.directory, "volume")
        os.mkdir(volume)
        shutil.copy(PROBE, volume)
        for made in (bundle, other):
            made.config["mounts"].append({"destination": "/volume", "type": "bind", "source": volume,
                                          "options": ["bind"]})
        single = os.path.join(bundle.directory, "single")
        shutil.copy(PROBE, single)
        bundle.write("bin/single", "", 0o755)
        bundle.config["mounts"].append({"destination": "/bin/single", "type": "bind", "source": single,
                                        "options": ["bind"]})
        bundle.annotate(profile(program("/volume/probe", "/bin/single")))
        with bundle.running("crun", "/bin/sleep", "1000"), other.running("crun", "/bin/sleep", "1000") as free:
            self.assertEqual(lines(free.exec("/volume/probe", "read", "/etc/secret")), [FREE])
            self.assertEqual(lines(command(f"{volume}/probe", "read", bundle.path("etc/secret"))),
                             [f"read {bundle.path('etc/secret')}: allowed"])
            self.assertEqual(lines(command(single, "read", bundle.path("etc/secret"))),
                             [f"read {bundle.path('etc/secret')}: allowed"])
        cases = Cases()
        cases.restricted("volume", f"/volume/probe {SECRET}")
        cases.restricted("file", f"/bin/single {SECRET}")
        cases.setup("cp /volume/probe /volume/other; ln /volume/probe /volume/hard")
        cases.free("another", f"/volume/other {SECRET}")
        cases.restricted("link", f"/volume/hard {SECRET}")
        cases.run(self, bundle, "crun")

    def test_new_mounts(self):
        """Mounts that a container makes after its start, in a mount namespace of its own: a target there is restricted,
        and what is no target runs."""
        bundle = self.bundle()
        privilege(bundle, "CAP_SYS_ADMIN")
        for name in ("new", "elsewhere"):
            os.mkdir(bundle.path(name))
        for select, what in (({"program": ["/bin/target", "/new/program"]}, "program"),
                             ({"except": ["/run.sh", "/bin/busybox", "/bin/probe", "/in.sh"]}, "except")):
            with self.subTest(select=what):
                bundle.annotate(profile(entry(select)))
                # Each line: what it is, then what came of it.
                bundle.script("in.sh", """
                    mount -t tmpfs none /new
                    cp /bin/probe /new/program
                    echo 'tmpfs'; /bin/probe exec /new/program read /etc/secret
                    mount --bind /bin /elsewhere
                    echo 'bind'; /bin/probe exec /elsewhere/target read /etc/secret
                    cd /elsewhere; umount -l /elsewhere
                    echo 'detached'; /bin/probe exec ./target read /etc/secret
                """)
                for prefix in ("unshare -m", "unshare -r -m", ""):
                    result = bundle.shell("crun", f"{prefix} /bin/sh /in.sh")
                    found = lines(result)
                    self.assertEqual(found[::2][:3], ["tmpfs", "bind", "detached"], result)
                    self.assertEqual(found[1::2], [RESTRICTED] * 3, prefix)
                self.assertEqual(lines(bundle.shell("crun", "unshare -m /bin/probe read /etc/secret")), [FREE])

    def test_removed(self):
        """What is held goes with the container."""
        before = applier.supervisor.descriptors()
        for _ in range(3):
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            self.assertEqual(lines(bundle.run("crun", "/bin/target", "read", "/etc/secret")), [RESTRICTED])
            self.assertNothingLeft()
        wait_for(lambda: applier.supervisor.descriptors() == before, "the supervisor holds what it held before")


@applier.inject_only("what it must not leave behind")
class Restored(TestCase):
    """A target started with a profile and without: the same in every bit that it can see."""

    IGNORED = re.compile(r"^(Vm|Rss|SigQ|Hugetlb|voluntary|nonvoluntary|Cpus|Mems|State|untag|Speculation|x86_Thread)")

    def state_of(self, bundle, runtime, path, wrapper):
        result = bundle.run(runtime, "/bin/probe", *wrapper, "no-random", "+", "exec", path, "state")
        text = result.stdout + result.stderr
        self.assertIn("/proc/self/maps\n", text)
        kept = []
        section = ""
        for line in text.splitlines():
            if line.startswith("/proc/self/"):
                section = line
            if section == "/proc/self/stat" and line[0].isdigit():
                fields = line.split()
                # Code, data, stack and what is blocked, ignored and caught; the rest counts time and memory.
                line = " ".join(fields[0:9] + fields[25:34] + fields[44:51])
            line = re.sub(r"(pipe|socket):\[\d+\]", r"\1", line)
            if not (section == "/proc/self/status" and self.IGNORED.match(line)):
                kept.append(line)
        return kept

    @unittest.skipUnless(X86, "entry.cpp is for x86; a unit test of the injection compares the same on aarch64")
    def test_same_state(self):
        """Registers, flags, floating point state, stack, code, maps, descriptors, limits, signals, timers, ids."""
        everything = {"abi": 6, "ruleset": [{"handledAccessFs": ["abi.all"]}], "pathBeneath": [
            {"allowedAccess": ["abi.read_execute"], "parent": ["/bin", "/proc", "/allowed"]},
            {"allowedAccess": ["abi.read_write"], "parent": ["/dev"]}]}
        for runtime in self.each_runtime():
            for name in ("entry64", "entry32"):
                if not os.path.exists(os.path.join(DIRECTORY, name)):
                    continue
                for layers, wrapper in ((1, ()), (3, ("pend", "10", "12", "+")), (1, ("limit", "nofile", "4", "+"))):
                    with self.subTest(name=name, layers=layers, wrapper=wrapper):
                        bundle = self.bundle()
                        path = give(bundle, name)
                        bundle.config["process"]["noNewPrivileges"] = True
                        without = self.state_of(bundle, runtime, path, wrapper)
                        again = self.state_of(bundle, runtime, path, wrapper)
                        self.assertSame(without, again)
                        bundle.annotate(profile(program(path, rules=[everything] * layers)))
                        found = self.state_of(bundle, runtime, path, wrapper)
                        self.assertEqual(without[-1], FREE)
                        self.assertEqual(found[-1], RESTRICTED)
                        self.assertSame(found[:-1], without[:-1])

    def assertSame(self, found, expected):
        self.assertEqual([pair for pair in zip(found, expected) if pair[0] != pair[1]], [])
        self.assertEqual(len(found), len(expected))
