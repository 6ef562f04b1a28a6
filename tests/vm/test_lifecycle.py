# SPDX-License-Identifier: Apache-2.0
"""What belongs to a container comes with it and goes with it, whatever dies in between."""

import concurrent.futures
import json
import os
import re
import signal
import struct
import tempfile

import applier
from cases import wait_for
from containers import (BUILD, OCI_LANDLOCK, PINS, command, entry, oci_landlock, policy, profile, program, rulesets_held,
                        status)
from direct import CGROUPS, CONTAINER_SIZE, FULL, PROGRAM_SIZE, DirectTestCase, fake_init, gate, hook, pinned

WAIT_FOR_GO = "while ! [ -e /go ]; do sleep 0.05; done\n"
TARGET_DENIED = "read /etc/secret: Permission denied\n"


def settled(path, key):
    """A number of /proc/meminfo or cgroup.stat."""
    with open(path, encoding="utf-8") as file:
        return int(re.search(rf"^{key}:?\s+(\d+)", file.read(), re.M).group(1))


def kernel_memory():
    """KiB of slab that cannot be reclaimed, and cgroups that are gone but not freed."""
    with open("/proc/sys/vm/drop_caches", "w", encoding="utf-8") as file:
        file.write("3")
    return settled("/proc/meminfo", "SUnreclaim"), settled(f"{CGROUPS}/cgroup.stat", "nr_dying_descendants")


def ours_at_work():
    """Processes that run our program, or hold a ruleset or anything of BPF; but for the supervisor's."""
    found = []
    supervisors = {applier.supervisor.process.pid, *applier.supervisor.tracers()} if applier.INJECT else set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) in supervisors:
            continue
        try:
            links = [os.readlink(f"/proc/{pid}/exe")]
            links += [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        except OSError:
            continue
        found += [f"{pid}: {link}" for link in links
                  if link == OCI_LANDLOCK or re.match(r"anon_inode:(\[landlock|bpf)", link)]
    return found


def rulesets_in_memory():
    """What the kernel keeps in the slots, whatever they say; with inject it is in processes, which end."""
    if applier.APPLIER != "kfunc":
        return 0
    tests = os.path.join(BUILD, "tests", "vm")
    result = command(f"{tests}/bridge-tests", "held", f"{tests}/held.bpf.o", f"{PINS}/slots")
    return int(result.stdout)


class Life(DirectTestCase):
    def restricted(self, **options):
        made = self.bundle(**options)
        made.annotate(profile(program("/bin/target")))
        return made

    def test_outlives_the_hook(self):
        """When the hook has ended, no process but a supervisor holds anything of ours, and yet a target that starts
        much later is restricted."""
        for runtime in self.each_runtime():
            bundle = self.restricted()
            script = bundle.script("run.sh", WAIT_FOR_GO + "/bin/target read /etc/secret; echo done; sleep 600")
            with bundle.running(runtime, script) as container:
                self.assertEqual(container.code, 0, container.output())
                wait_for(lambda: ours_at_work() == [], "nothing of ours runs")
                bundle.write("go", "")
                container.wait_for("done")
                self.assertEqual(container.output(), TARGET_DENIED + "done\n")
            self.assertMapsEmpty()

    def test_goes_with_the_cgroup(self):
        """No poststop hook, its processes killed: when the cgroup is removed, entry, rulesets and programs are gone."""
        for runtime in self.each_runtime():
            bundle = self.restricted()
            bundle.hooks("createRuntime")
            with bundle.running(runtime, "/bin/sleep", "600") as container:
                self.assertEqual(container.code, 0, container.output())
                self.assertEqual(rulesets_held(), 1)
                with open(f"/proc/{container.pid()}/cgroup", encoding="utf-8") as file:
                    cgroup = CGROUPS + file.read().strip()[3:]
                with open(f"{cgroup}/cgroup.kill", "w", encoding="utf-8") as file:
                    file.write("1")

                def empty():
                    with open(f"{cgroup}/cgroup.events", encoding="utf-8") as events:
                        return "populated 0" in events.read()
                wait_for(empty, "the container is dead")
                wait_for(lambda: rulesets_held() == applier.HELD_FOR_THE_DEAD, "the dead container's ruleset")
                self.assertEqual(rulesets_in_memory(), applier.HELD_FOR_THE_DEAD)
                os.rmdir(cgroup)
                self.assertMapsEmpty()
                self.assertEqual(rulesets_in_memory(), 0)

    @applier.selector_only("nothing is kept by the id of a cgroup")
    def test_cgroups_of_another_hierarchy(self):
        """One of cgroup v1 with the id of a container's cgroup goes: nothing is taken away from that container, which
        is created and not started yet."""
        def id_of(directory):
            return os.stat(directory).st_ino

        other = tempfile.mkdtemp()
        command("mount", "-t", "cgroup", "-o", "none,name=another", "none", other, check=True)
        directory = f"{other}/one"
        try:
            # Each cgroup takes a few numbers, one for each of its files.
            os.mkdir(directory)
            begin = id_of(directory)
            os.rmdir(directory)
            os.mkdir(directory)
            step = id_of(directory) - begin
            os.rmdir(directory)
            for attempt in range(100):
                bundle = self.restricted()
                with bundle.created("crun", "/bin/target", "read", "/etc/secret") as container:
                    self.assertEqual(container.code, 0, container.output())
                    with open(f"/proc/{container.pid()}/cgroup", encoding="utf-8") as file:
                        wanted = id_of(CGROUPS + re.search("^0::(.*)$", file.read(), re.M)[1])
                    if (wanted - begin) % step:
                        continue
                    os.mkdir(directory)
                    while id_of(directory) < wanted:
                        os.rmdir(directory)
                        os.mkdir(directory)
                    self.assertEqual(id_of(directory), wanted)
                    os.rmdir(directory)
                    container.start()
                    container.wait_for(TARGET_DENIED)
                    break
                # Another number of files each time, for one inside has fewer.
                names = [f"{CGROUPS}/between" + "/inside" * depth for depth in range(1 + attempt % 7)]
                for name in names:
                    os.mkdir(name)
                for name in reversed(names):
                    os.rmdir(name)
            else:
                self.skipTest("no container got a cgroup that another hierarchy can have one like")
        finally:
            command("umount", other, check=True)
            os.rmdir(other)

    def test_one_after_another(self):
        """Containers in sequence, all with the same bundle and name, leak nothing."""
        bundle = self.restricted()
        self.assertEqual(bundle.run("crun", "/bin/target", "read", "/etc/secret").stdout, TARGET_DENIED)
        slab, dying = kernel_memory()
        count = 2000 if FULL else 20
        for _ in range(count):
            result = bundle.run("crun", "/bin/target", "read", "/etc/secret")
            self.assertEqual((result.returncode, result.stdout), (0, TARGET_DENIED), result.stderr)
        self.assertMapsEmpty()
        # Half a page for each would be a leak of one object for each; the rest is noise.
        wait_for(lambda: kernel_memory()[0] < slab + 4096 + 2 * count, f"slab is near {slab} KiB again")
        wait_for(lambda: kernel_memory()[1] <= dying + 2, "no dead cgroup is held")

    def test_many_at_once(self):
        """Containers that start at the same time on a node that is not loaded yet (with inject: has just been): it is
        loaded once, and each gets its own policy."""
        count = 200 if FULL else 10
        bundles = []
        for number in range(count):
            bundle = self.bundle()
            bundle.write(f"allowed/{number}", "")
            bundle.write(f"allowed/{number + 1}", "")
            bundle.annotate(profile(entry(rules=policy(read=["/bin", f"/allowed/{number}"]))))
            bundle.config["process"]["args"] = ["/bin/target", "read", f"/allowed/{number}", "+", "read",
                                                f"/allowed/{number + 1}"]
            bundles.append(bundle)
        self.assertEqual(applier.unload().returncode, 0)
        applier.start()
        with concurrent.futures.ThreadPoolExecutor(max_workers=min(count, 20)) as pool:
            results = list(pool.map(lambda bundle: bundle.run("crun", timeout=600), bundles))
        for number, result in enumerate(results):
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout, f"read /allowed/{number}: allowed\n"
                                            f"read /allowed/{number + 1}: Permission denied\n")
        self.assertMapsEmpty()
        maps = command("bpftool", "map", "list").stdout
        self.assertEqual(len(re.findall("name containers ", maps)), 1, maps)

    def test_both_stages(self):
        """prestart and createRuntime together restrict once; prestart alone is enough."""
        for runtime in self.each_runtime():
            for stages in (("prestart", "createRuntime"), ("prestart",)):
                bundle = self.restricted()
                bundle.hooks(*stages, "poststop")
                script = bundle.script("run.sh", "/bin/target read /etc/secret; echo done; sleep 600")
                with bundle.running(runtime, script) as container:
                    self.assertEqual(container.code, 0, container.output())
                    container.wait_for("done")
                    self.assertEqual(container.output(), TARGET_DENIED + "done\n")
                    self.assertEqual(rulesets_held(), 1)
                    self.assertEqual([item["applied"] for item in status()["containers"]], [1])
                self.assertMapsEmpty()


@applier.selector_only("nothing is pinned")
class Many(DirectTestCase):
    def test_poststop(self):
        """Clearing one container away takes hardly more calls with hundreds of others and all their programs present
        than with none: it reads what is about containers once, and of the rest only its own."""
        self.assertEqual(oci_landlock("load").returncode, 0)
        count, listed = 600, 2000
        ids = [struct.pack("Q", 1 << 62 | number) for number in range(count)]
        programs = [struct.pack("QQ", 1 << 62, number) for number in range(listed)]
        alone = self.poststop_calls()
        with pinned("containers", CONTAINER_SIZE) as entries, pinned("programs", PROGRAM_SIZE) as names:
            try:
                for key in ids:
                    entries.update(key, bytes(CONTAINER_SIZE))
                for key in programs:
                    names.update(key, bytes(PROGRAM_SIZE))
                among_others = self.poststop_calls()
            finally:
                for key in ids:
                    entries.delete(key)
                for key in programs:
                    names.delete(key)
        self.assertGreater(alone, 3)
        # 256 entries are read at a time.
        self.assertLessEqual(among_others - alone, count // 256 + 2)
        self.assertMapsEmpty()

    def poststop_calls(self):
        """How many calls of bpf(2) it takes to clear a container away, whose cgroup is still there."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        with fake_init("own") as pid:
            state = self.state_of(bundle, pid)
            result = hook(state)
            self.assertEqual(result.returncode, 0, result.stderr)
            with open(f"{CGROUPS}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(pid))
            log = os.path.join(bundle.directory, "trace")
            result = hook({**state, "status": "stopped"}, "poststop", prefix=["strace", "-o", log, "-e", "trace=bpf"])
            self.assertEqual(result.returncode, 0, result.stderr)
            with pinned("containers", CONTAINER_SIZE) as entries, self.assertRaises(FileNotFoundError):
                entries.lookup(struct.pack("Q", os.stat(f"{CGROUPS}/own").st_ino))
            with open(log, encoding="utf-8") as file:
                return len(re.findall(r"^bpf\(", file.read(), re.M))


class Killed(DirectTestCase):
    """kill -9 before a system call of ours, for many of them."""

    def steps(self, *words, **options):
        """The system calls of a command, in order: (name, how many of it there were so far)."""
        log = "/tmp/steps"
        result = command("strace", "-o", log, *words, **options)
        self.assertEqual(result.returncode, 0, result.stderr)
        return self.traced(log)

    @staticmethod
    def traced(log):
        seen = {}
        found = []
        with open(log, encoding="utf-8", errors="replace") as file:
            for name in re.findall(r"^(\w+)\(", file.read(), re.M):
                seen[name] = seen.get(name, 0) + 1
                found.append((name, seen[name]))
        return [step for step in found if step[0] not in ("execve", "exit_group")]

    @staticmethod
    def killer(step):
        name, number = step
        return ["strace", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={number}"]

    @staticmethod
    def some(steps, count):
        """Some evenly, or all where there are no more."""
        return [steps[i * len(steps) // count] for i in range(count)] if len(steps) > count else steps

    def most(self, steps):
        """Of loading, which has more steps than anybody can wait for: all that change names, most of those that tell
        the kernel something, and some of the others."""
        names = re.compile("link|mkdir|mkdirat|rename.*|rmdir|unlink.*")
        named = [step for step in steps if names.fullmatch(step[0])]
        told = [step for step in steps if step[0] == "bpf"]
        rest = [step for step in steps if step not in named and step not in told]
        chosen = {*named, *self.some(told, 60), *self.some(rest, 40)}
        return [step for step in steps if step in chosen]

    def refused_when_killed(self, bundle, step, runtime="crun"):
        words = [*self.killer(step), OCI_LANDLOCK, "hook", "createRuntime"]
        bundle.config["hooks"]["createRuntime"] = [
            {"path": command("which", "strace").stdout.strip(), "args": words, "env": ["PATH=" + os.environ["PATH"]]}]
        result = bundle.run(runtime, "/bin/echo", "started")
        self.assertNotEqual(result.returncode, 0, step)
        self.assertNotIn("started", result.stdout, step)
        command(runtime, "delete", "--force", bundle.id)

    def collect(self):
        """Another container's poststop."""
        result = hook({"ociVersion": "1.0.2", "id": "another", "bundle": "/", "status": "stopped"}, "poststop")
        self.assertEqual(result.returncode, 0, result.stderr)

    def works(self):
        applier.start()
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        result = bundle.run("crun", "/bin/target", "read", "/etc/secret")
        self.assertEqual(result.stdout, TARGET_DENIED, result.stderr)

    def hook_steps(self, bundle):
        log = os.path.join(bundle.directory, "trace")
        strace = command("which", "strace").stdout.strip()
        bundle.config["hooks"]["createRuntime"] = [
            {"path": strace, "args": ["strace", "-o", log, OCI_LANDLOCK, "hook", "createRuntime"]}]
        result = bundle.run("crun", "/bin/target", "read", "/etc/secret")
        self.assertEqual(result.stdout, TARGET_DENIED, result.stderr)
        return self.traced(log)

    def test_runtime_stops(self):
        """The hook is killed, early, and when all is written: the runtime does not start the container, and nothing
        of it is left."""
        self.assertEqual(oci_landlock("load").returncode, 0)
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            for step in (("read", 1), ("exit_group", 1)):
                self.refused_when_killed(bundle, step, runtime)
                self.assertMapsEmpty()
        self.works()

    def test_hook(self):
        """The hook is killed at any step: the next poststop clears what is left, and the hook works when it is called
        again. Once all is written, it stays, and the hook that is called again finds it."""
        self.assertEqual(oci_landlock("load").returncode, 0)
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target", "/bin/probe")))
        with gate(bundle) as held:
            bundle.save()
            steps = self.steps(OCI_LANDLOCK, "hook", "createRuntime", input=json.dumps(held.oci_state))
        bundle.config["process"]["args"] = ["/bin/target", "read", "/etc/secret"]
        # Most of it reads; the node changes with the last calls of bpf(2), and the very last one makes it whole.
        told = [step for step in steps if step[0] == "bpf"]
        before, after = steps[:steps.index(told[-1]) + 1], steps[steps.index(told[-1]) + 1:]
        chosen = before if FULL else self.some(before, 2) + told[-7:]
        self.assertMapsEmpty()
        with gate(bundle) as held:
            for step in chosen[:-1]:
                self.assertEqual(held.hook(prefix=self.killer(step)).returncode, -signal.SIGKILL, step)
                self.collect()
                self.assertMapsEmpty()
            self.assertEqual(held.hook(prefix=self.killer(chosen[-1])).returncode, -signal.SIGKILL)
            self.assertEqual(held.hook().returncode, 0)
            self.collect()
            self.assertEqual(rulesets_held(), 1)
            held.open()
            held.wait_for(TARGET_DENIED)
        for step in after if FULL else self.some(after, 2):
            with gate(bundle) as held:
                self.assertEqual(held.hook(prefix=self.killer(step)).returncode, -signal.SIGKILL, step)
                self.collect()
                self.assertEqual(held.hook().returncode, 0, step)
                self.assertEqual(rulesets_held(), 1, step)
                held.open()
                held.wait_for(TARGET_DENIED)
            self.assertMapsEmpty()

    @applier.kfunc_only("with inject the supervisor loads: test_load")
    def test_hook_that_loads(self):
        """The hook is killed while it loads the selector: the next one loads it."""
        self.assertEqual(oci_landlock("unload").returncode, 0)
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        steps = self.hook_steps(bundle)
        pins = [step for step in steps if step[0] == "bpf"]
        self.assertGreater(len(pins), 40)
        last = [step for step in steps if step[0].startswith("rename")]
        # What is pinned; and later the policy's record.
        self.assertEqual(len(last), 2)
        for step in self.most(steps) if FULL else [pins[len(pins) // 2], *last]:
            self.assertEqual(oci_landlock("unload").returncode, 0)
            self.refused_when_killed(bundle, step)
        self.works()
        self.assertMapsEmpty()

    def test_load(self):
        """`load` is killed: whoever comes next loads."""
        load = [OCI_LANDLOCK, "load", "--applier", applier.APPLIER]
        self.assertEqual(applier.unload().returncode, 0)
        steps = self.steps(*load)
        pins = [step for step in steps if step[0] == "bpf"]
        self.assertGreater(len(pins), 40)
        last = [step for step in steps if step[0].startswith("rename")]
        self.assertEqual(len(last), 1)
        for step in self.most(steps) if FULL else [pins[len(pins) // 2], *last]:
            self.assertEqual(applier.unload().returncode, 0)
            self.assertEqual(command(*self.killer(step), *load).returncode, -signal.SIGKILL, step)
        self.works()
        self.assertMapsEmpty()

    def test_unload(self):
        """`unload` is killed: what is left is a node that restricts, or one that is loaded anew; never one that looks
        loaded and restricts nobody."""
        self.assertEqual(oci_landlock("load").returncode, 0)
        applier.supervisor.stop()
        changes = [step for step in self.steps(OCI_LANDLOCK, "unload") if step[0] in ("unlink", "rename", "rmdir")]
        self.assertGreater(len(changes), 10)
        for step in changes if FULL else [changes[0], changes[4]]:
            applier.supervisor.stop()
            self.assertEqual(applier.load().returncode, 0)
            result = command(*self.killer(step), OCI_LANDLOCK, "unload")
            self.assertEqual(result.returncode, -signal.SIGKILL, result)
            self.works()
        self.assertMapsEmpty()
