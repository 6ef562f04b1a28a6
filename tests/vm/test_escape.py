# SPDX-License-Identifier: Apache-2.0
"""Nobody slips past: a process in a container that tries to reach the target without its sandbox."""

import contextlib
import errno
import os
import shutil
import signal

from applier import both, left
from cases import FREE, RESTRICTED, SECRET, Cases, kill, lines, wait_for
from containers import PROBE, TestCase, command, entry, oci_landlock, policy, profile, program, status

WAIT = "while [ ! -e /tmp/go ]; do sleep 0.05; done"
CHECK = f"exec /bin/target {SECRET}"


def privilege(bundle, *names):
    """Gives the container's processes more capabilities."""
    for kind in bundle.config["process"]["capabilities"].values():
        kind.extend(names)


def share(bundle, kind, path=None):
    """The host's namespace of this kind, or the one at the path, instead of an own one."""
    namespaces = [item for item in bundle.config["linux"]["namespaces"] if item["type"] != kind]
    bundle.config["linux"]["namespaces"] = namespaces + ([{"type": kind, "path": path}] if path else [])


def hook(bundle, stage, *args):
    bundle.config["hooks"].setdefault(stage, []).append({"path": args[0], "args": list(args)})


class Namespaces(TestCase):
    def test_unshare(self):
        """A process that leaves the container's mount, pid, user or cgroup namespace stays in scope, and a target
        there is restricted; other programs are not."""
        bundle = self.bundle()
        privilege(bundle, "CAP_SYS_ADMIN")
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        for kinds in ("mount", "user", "pid", "cgroup", "user mount", "mount pid user cgroup"):
            cases.restricted(kinds, f"/bin/probe unshare {kinds} + fork + {CHECK}")
        cases.restricted("twice", f"/bin/probe unshare user mount + fork + unshare mount pid + fork + {CHECK}")
        cases.free("another program", f"/bin/probe unshare mount pid + fork + exec /bin/probe {SECRET}")
        cases.restricted("by the shell", f"unshare -m /bin/sh -c 'mount -t tmpfs none /tmp && /bin/target {SECRET}'")
        cases.run(self, bundle, "crun")

    def test_new_root(self):
        """In another root a target is known by its name there, by its name from the real root, and by its file."""
        bundle = self.bundle()
        privilege(bundle, "CAP_SYS_ADMIN")
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.setup("mkdir -p /jail/bin /jail/etc /jail/lib; cp /etc/secret /jail/etc/; "
                    "cp /bin/target /jail/bin/target; ln /bin/target /jail/bin/hard; cp /bin/probe /jail/bin/probe")
        cases.free("another program", f"/bin/probe chroot /jail + exec /bin/probe {SECRET}")
        cases.restricted("a hard link", f"/bin/probe chroot /jail + exec /bin/hard {SECRET}")
        cases.restricted("a copy that has its name", f"/bin/probe chroot /jail + {CHECK}")
        cases.prints("its directory as root", "/bin/probe chroot /bin + exec /target read /busybox ++ nnp",
                     "read /busybox: allowed", "no_new_privs: 1")
        cases.setup("mkdir -p /view; mount --bind / /view")
        cases.restricted("the same tree elsewhere", f"/bin/probe chroot /view + {CHECK}")
        cases.restricted("the same tree elsewhere, from outside", f"/view/bin/target {SECRET}")
        cases.run(self, bundle, "crun")

    def test_pid_namespaces_that_are_shared(self):
        """Pids mean nothing: with the host's pid namespace, or that of another container, only the own init counts."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            share(bundle, "pid")
            first = entry({"entrypoint": True}, name="first", rules={"abi": 6, "ruleset": [{"scoped": ["signal"]}]})
            bundle.annotate(profile(program("/bin/target"), first))
            cases = Cases()
            cases.free("another program", f"/bin/probe {SECRET}")
            cases.restricted("the target", f"/bin/target {SECRET}")
            cases.prints("entrypoint", "/bin/probe stack 17", "stacked 15: Argument list too long")
            cases.run(self, bundle, runtime)

    def test_pod(self):
        """Two containers in one pid namespace, each with its own target; exec sessions of both."""
        for runtime in self.each_runtime():
            first, second = self.bundle(), self.bundle()
            first.annotate(profile(program("/bin/target")))
            second.annotate(profile(program("/bin/probe", sessions=False)))
            with first.running(runtime, "/bin/sleep", "1000") as pod:
                share(second, "pid", f"/proc/{pod.pid()}/ns/pid")
                second.script("run.sh", f"/bin/target {SECRET}; /bin/probe {SECRET}; echo done; sleep 1000")
                with second.running(runtime, "/run.sh") as container:
                    container.wait_for("done")
                    self.assertEqual(container.output().splitlines(), [FREE, RESTRICTED, "done"])
                    self.assertEqual(lines(container.exec("/bin/probe", "read", "/etc/secret")), [FREE])
                    self.assertEqual(lines(pod.exec("/bin/probe", "read", "/etc/secret")), [RESTRICTED])
            self.assertNothingLeft()

    def test_joining_the_host(self):
        """A process of the container that joins the host's mount namespace is none of the runtime's: it stays in
        scope."""
        bundle = self.bundle()
        share(bundle, "pid")
        privilege(bundle, "CAP_SYS_ADMIN", "CAP_SYS_PTRACE")
        bundle.annotate(profile(program("/bin/target")))
        with open("/etc/secret", "w", encoding="utf-8") as file:
            file.write("host\n")
        self.addCleanup(os.unlink, "/etc/secret")
        cases = Cases()
        cases.free("another program", f"/bin/probe hold /bin/probe + setns /proc/1/ns/mnt + exec-held {SECRET}")
        cases.restricted("the target", f"/bin/probe hold /bin/target + setns /proc/1/ns/mnt + exec-held {SECRET}")
        cases.restricted("later", f"/bin/probe setns /proc/1/ns/mnt + exec {bundle.path('bin/target')} {SECRET}")
        cases.run(self, bundle, "crun")

    @staticmethod
    def own_user_namespace(bundle):
        """Whose root may register interpreters for file types."""
        privilege(bundle, "CAP_SYS_ADMIN")
        bundle.config["linux"]["namespaces"].append({"type": "user"})
        for ids in ("uidMappings", "gidMappings"):
            bundle.config["linux"][ids] = [{"containerID": 0, "hostID": 0, "size": 65536}]
        os.mkdir(bundle.path("types"))
        for kind in ("bound", "free"):
            shutil.copy(PROBE, bundle.path(f"bin/x.{kind}"))

    REGISTER = ("mount -t binfmt_misc none /types; echo ':bound:E::bound::/bin/target:' > /types/register; "
                "echo ':free:E::free::/bin/probe:' > /types/register")

    def add_file_types(self, cases):
        for kind, verdict in (("bound", RESTRICTED), ("free", FREE)):
            cases.prints(f"a file type: {kind}", f"/bin/x.{kind} + {SECRET}",
                         f"probe: unknown command /bin/x.{kind}", verdict)

    def test_user_namespace(self):
        """In a container with a user namespace of its own."""
        bundle = self.bundle()
        self.own_user_namespace(bundle)
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.restricted("the target", f"/bin/target {SECRET}")
        cases.free("another program", f"/bin/probe {SECRET}")
        cases.restricted("unshare", f"/bin/probe unshare user mount + {CHECK}")
        cases.setup(self.REGISTER)
        self.add_file_types(cases)
        cases.run(self, bundle, "crun")

    def test_file_types_and_except(self):
        """A program that is excepted, and for which an interpreter is registered later, runs unrestricted only on one
        that is excepted, too."""
        bundle = self.bundle()
        self.own_user_namespace(bundle)
        bundle.annotate(profile(entry({"except": ["/run.sh", "/bin/busybox", "/bin/probe", "/bin/x.bound",
                                                  "/bin/x.free"]})))
        cases = Cases()
        cases.free("as it is", f"/bin/x.bound {SECRET}")
        cases.setup(self.REGISTER)
        self.add_file_types(cases)
        cases.run(self, bundle, "crun")


class Cgroups(TestCase):
    def test_deep_below(self):
        """A process that moves 30 cgroups down, behind a cgroup namespace, is still in scope."""
        bundle = self.bundle()
        privilege(bundle, "CAP_SYS_ADMIN")
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.setup("mkdir /cg; mount -t cgroup2 none /cg; cd /cg; "
                    "for i in $(seq 30); do mkdir deeper; cd deeper; done")
        cases.setup("sh -c 'echo $$ > cgroup.procs && grep -q deeper/deeper/deeper /proc/self/cgroup'")
        inside = "sh -c 'echo $$ > cgroup.procs; exec \"$@\"' sh"
        cases.restricted("the target", f"{inside} /bin/target {SECRET}")
        cases.restricted("in a new cgroup namespace", f"{inside} /bin/probe unshare cgroup mount + {CHECK}")
        cases.free("another program", f"{inside} /bin/probe {SECRET}")
        cases.run(self, bundle, "crun")

    def test_leaving_the_cgroup(self):
        """With the host's cgroups at hand a process can leave the container's: it stays that container's."""
        bundle = self.bundle()
        privilege(bundle, "CAP_SYS_ADMIN")
        bundle.config["linux"]["namespaces"].remove({"type": "cgroup"})
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.setup("mkdir /cg; mount -t cgroup2 none /cg")
        outside = bundle.script("bin/outside", 'echo $$ > /cg/cgroup.procs\n'
                                'grep -qx 0::/ /proc/self/cgroup && exec "$@"\n')
        cases.restricted("the target", f"{outside} /bin/target {SECRET}")
        cases.restricted("a child of it", f"{outside} /bin/env /bin/target {SECRET}")
        cases.free("another program", f"{outside} /bin/probe {SECRET}")
        cases.run(self, bundle, "crun")

    def test_target_by_its_descent(self):
        """What was restricted above is not restricted again below."""
        bundle = self.bundle()
        privilege(bundle, "CAP_SYS_ADMIN")
        bundle.annotate(profile(program("/bin/target", "/bin/probe")))
        cases = Cases()
        cases.setup("mkdir /cg; mount -t cgroup2 none /cg; mkdir /cg/below")
        cases.prints("once", "sh -c 'echo $$ > /cg/below/cgroup.procs; exec /bin/target exec /bin/probe stack 17'",
                     "stacked 15: Argument list too long")
        cases.run(self, bundle, "crun")


EVERYTHING = ("CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_NET_ADMIN", "CAP_SYS_RESOURCE",
              "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_NET_RAW")


class Memberships(TestCase):
    """A task belongs to each container that it has entered."""

    def privileged(self, *entries):
        """A container with little of its own, from which the host can be reached."""
        bundle = self.bundle()
        privilege(bundle, *EVERYTHING)
        for kind in ("pid", "cgroup", "network", "ipc"):
            share(bundle, kind)
        bundle.annotate(profile(*entries))
        return bundle

    def assertLeft(self, found, expected):
        self.assertTrue(left(found, expected, "operation not permitted"), found)

    def test_session_from_another_container(self):
        """A session that descends from another container is judged by both: by its own from its first exec on, and by
        the other one as before."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/none")))
            # What it allows are files of its own, so that in the other container it leaves nothing.
            other = self.privileged(program("/bin/target"))
            with bundle.running(runtime, "/bin/sleep", "1000"):
                result = other.run(
                    runtime, "/bin/probe", "setns", "/proc/1/ns/mnt", "+", "exec", shutil.which(runtime), "exec",
                    bundle.id, "/bin/probe", "read", "/etc/secret", "++", "read", "/allowed/file", "++",
                    "exec", "/bin/target", "read", "/allowed/file")
                self.assertEqual(lines(result), [RESTRICTED, "read /allowed/file: allowed",
                                                 "read /allowed/file: Permission denied"])
                result = other.run(runtime, "/bin/probe", "setns", "/proc/1/ns/mnt", "+", "exec", shutil.which(runtime),
                                   "exec", bundle.id, "/bin/target", "read", "/allowed/file")
                self.assertIn(both("read /allowed/file: Permission denied"), "\n".join(lines(result)))
                self.assertEqual(lines(other.run(runtime, "/bin/probe", "read", "/etc/secret")), [FREE])

    def test_container_from_another_container(self):
        """The same for a whole container that a process of another one starts."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/probe")))
        bundle.config["process"]["args"] = ["/bin/busybox", "sh", "-c", f"read secret < /etc/secret && echo $secret; "
                                            f"/bin/probe {SECRET} + exec /bin/target read /allowed/file"]
        bundle.save()
        other = self.privileged(program("/bin/target"))
        result = other.run("crun", "/bin/probe", "setns", "/proc/1/ns/mnt", "+", "exec", shutil.which("crun"), "run",
                           "--bundle", bundle.directory, bundle.id)
        self.assertEqual(lines(result), ["secret", RESTRICTED, "read /allowed/file: Permission denied"])

    def test_mount_namespace(self):
        """Whoever is in a container's mount namespace is in the container, whatever its cgroup."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        open_to_sessions = self.bundle()
        open_to_sessions.annotate(profile(program("/bin/target", sessions=False)))
        for container, verdict in ((bundle, RESTRICTED), (open_to_sessions, FREE)):
            with container.running("crun", "/bin/sleep", "1000") as running:
                result = command(PROBE, "setns", f"/proc/{running.pid()}/ns/mnt", "+", "exec", "/bin/probe", "read",
                                 "/etc/secret")
                self.assertEqual(lines(result), [verdict])
        self.assertNothingLeft()

    def test_too_many(self):
        """Four containers, one inside the other; a fifth is denied."""
        with contextlib.ExitStack() as stack:
            pids = []
            for _ in range(5):
                bundle = self.bundle()
                share(bundle, "pid")
                bundle.annotate(profile(program("/bin/target", sessions=False)))
                pids.append(stack.enter_context(bundle.running("crun", "/bin/sleep", "1000")).pid())
            words = ["read", "/etc/secret"]
            for depth, pid in reversed(list(enumerate(pids))):
                words = ["setns", f"/proc/{pid}/ns/mnt", "+" * (depth + 1), "read", "/etc/secret", "+" * (depth + 1),
                         "exec", "/bin/probe", *words]
            result = command(PROBE, *words)
            self.assertEqual(lines(result), [FREE] * 5 + ["exec /bin/probe: Operation not permitted"])
            # That is for no entry's sake, and so it is told.
            fifth, = [item for item in status()["containers"] if item["denied"]]
            self.assertEqual((fifth["denied"], fifth["lastDenial"]["errno"]), (1, errno.EUSERS))
            self.assertNotIn("entry", fifth["lastDenial"])
            self.assertRegex(oci_landlock("inspect", fifth["id"]).stdout,
                             r"(?m)^last +denied probe .*one inside the other \(Too many users\)$")

    def test_init_moved_before_its_start(self):
        """An init that somebody moves to another cgroup before its start is still its container's."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            elsewhere = f"/sys/fs/cgroup/elsewhere-{runtime}"
            os.mkdir(elsewhere)
            self.addCleanup(os.rmdir, elsewhere)
            with bundle.created(runtime, "/bin/target", "read", "/etc/secret") as container:
                with open(f"{elsewhere}/cgroup.procs", "w", encoding="utf-8") as file:
                    file.write(str(container.pid()))
                container.start()
                wait_for(container.output, "what the target says")
                self.assertLeft(container.output().splitlines(), [RESTRICTED])

    def test_sessions_that_follow_the_init(self):
        """With the host's cgroups at hand an init leaves its own and makes it refuse others, so that the runtime puts
        sessions where the init is now; or it removes it. They are this container's all the same."""
        for leave in ("mkdir $own/below; echo +pids > $own/cgroup.subtree_control", "rmdir $own"):
            for runtime in self.each_runtime():
                bundle = self.bundle()
                bundle.config["linux"]["namespaces"].remove({"type": "cgroup"})
                bundle.config["linux"]["resources"] = {"pids": {"limit": 100}}
                bundle.config["mounts"].append({"destination": "/cg", "type": "bind", "source": "/sys/fs/cgroup",
                                                "options": ["rbind", "rw"]})
                os.mkdir(bundle.path("cg"))
                bundle.annotate(profile(program("/bin/target")))
                elsewhere = f"elsewhere-{bundle.id}"
                script = bundle.script("run.sh", f"""
                    read line < /proc/self/cgroup; own=/cg${{line#0::}}
                    mkdir /cg/{elsewhere}; echo 0 > /cg/{elsewhere}/cgroup.procs; {leave} && echo away
                    {WAIT}
                    /bin/target {SECRET}
                    exec sleep 1000
                """)
                with bundle.running(runtime, script) as container:
                    container.wait_for("away")
                    pid = container.pid()
                    session = lines(container.exec("/bin/probe", "read", "/etc/secret"))
                    if runtime == "runc" and "below" in leave:
                        self.assertLeft(session, [RESTRICTED])
                    self.assertNotIn(FREE, session)
                    by_hand = command(PROBE, "setns", f"/proc/{pid}/ns/mnt", "+", "exec", "/bin/probe", "read",
                                      "/etc/secret")
                    self.assertLeft(lines(by_hand), [RESTRICTED])
                    # Nor does clean-up take it for dead.
                    self.assertEqual([item["id"] for item in status()["containers"]], [bundle.id])
                    bundle.write("tmp/go", "")
                    wait_for(lambda: container.output().count("\n") > 1, "what the target says")
                    self.assertLeft(container.output().splitlines(), ["away", RESTRICTED])
                for path, _, _ in os.walk(f"/sys/fs/cgroup/{elsewhere}", topdown=False):
                    wait_for(lambda: removed(path), f"{path} is removed")

    def test_init_whose_first_thread_has_ended(self):
        """It lives, and so does the entry of its container, although it has left the container's cgroup and removed it."""
        bundle = self.bundle()
        bundle.config["linux"]["namespaces"].remove({"type": "cgroup"})
        bundle.config["mounts"].append({"destination": "/cg", "type": "bind", "source": "/sys/fs/cgroup",
                                        "options": ["rbind", "rw"]})
        os.mkdir(bundle.path("cg"))
        bundle.annotate(profile(program("/bin/target")))
        elsewhere = f"elsewhere-{bundle.id}"
        script = bundle.script("run.sh", f"""
            read line < /proc/self/cgroup; own=/cg${{line#0::}}
            mkdir /cg/{elsewhere}; echo 0 > /cg/{elsewhere}/cgroup.procs; rmdir $own && echo away
            {WAIT}
            exec /bin/probe outlive
        """)
        with bundle.running("crun", script) as container:
            container.wait_for("away")
            pid = container.pid()
            bundle.write("tmp/go", "")
            wait_for(lambda: first_has_ended(pid), "its first thread has ended")
            thread, = set(os.listdir(f"/proc/{pid}/task")) - {str(pid)}
            self.assertEqual([item["id"] for item in status()["containers"]], [bundle.id])
            session = command(PROBE, "setns", f"/proc/{pid}/task/{thread}/ns/mnt", "+", "exec", "/bin/probe", "read",
                              "/etc/secret")
            self.assertLeft(lines(session), [RESTRICTED])
            kill(pid, signal.SIGKILL)
        wait_for(lambda: removed(f"/sys/fs/cgroup/{elsewhere}"), "its cgroup is removed")
        self.assertNothingLeft()


def first_has_ended(pid):
    with open(f"/proc/{pid}/task/{pid}/stat", encoding="utf-8") as file:
        return file.read().rsplit(") ", 1)[1].startswith("Z")


def removed(cgroup):
    try:
        os.rmdir(cgroup)
    except OSError:
        return False
    return True


def goes_on_uncached(container):
    """From where it is ready and WAITs to where it is over, with nothing of its files cached."""
    container.wait_for("ready")
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("3\n")
    container.bundle.write("tmp/go", "")
    container.wait_for("over")


class Names(TestCase):
    def test_other_names(self):
        """The target's file is the target under every name, and what has its name is, too."""
        bundle = self.bundle()
        privilege(bundle, "CAP_SYS_ADMIN")
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.setup("ln /bin/target /bin/hard; ln -s /bin/target /tmp/soft; ln -s /bin /tmp/dir; touch /tmp/bound; "
                    "mount --bind /bin/target /tmp/bound; mkdir /tmp/bin; mount --bind /bin /tmp/bin")
        for name in ("/bin/hard", "/tmp/soft", "/tmp/dir/target", "/tmp/bound", "/tmp/bin/target", "/tmp/bin/hard",
                     "/proc/1/root/bin/target", "/proc/self/cwd/bin/target", "//bin///target"):
            cases.restricted(name, f"{name} {SECRET}")
            cases.restricted(name + " by descriptor", f"/bin/probe exec-fd {name} {SECRET}")
        cases.restricted("proc", f"/bin/probe exec-proc /bin/hard {SECRET}")
        for path in ("/bin/target", "/bin/hard"):
            cases.prints(f"in memory, with {path} as interpreter", f"/bin/probe script-memory {path} ++ {SECRET}", RESTRICTED)
        cases.setup("ln /bin/target /bin/away; printf '#!/bin/away skip\\n' > /bin/script; chmod 755 /bin/script")
        cases.restricted("script on a link", f"/bin/script + {SECRET}")
        cases.setup("mv /bin/away /tmp/away")
        cases.restricted("renamed", f"/tmp/away {SECRET}")
        cases.setup("touch /bin/other; mount --bind /bin/probe /bin/target")
        cases.prints("another program mounted on its name", f"/bin/probe exec /bin/target {SECRET}", RESTRICTED)
        cases.restricted("what is beneath, by a link", f"/bin/hard {SECRET}")
        cases.setup("umount /bin/target")
        cases.restricted("detached mount", "unshare -m sh -c 'cd /tmp/bin && umount -l /tmp/bin && exec ./target "
                         f"{SECRET}'")
        cases.run(self, bundle, "crun")

    def test_removed_program(self):
        """A target that has no name any more is still the target."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.restricted("the only name removed",
                         f"/bin/probe hold /bin/target + vfork-exec /bin/rm /bin/target + exec-held {SECRET}")
        cases.setup("cp /bin/probe /bin/fresh")
        cases.free("another program",
                   f"/bin/probe hold /bin/fresh + vfork-exec /bin/rm /bin/fresh + exec-held {SECRET}")
        cases.run(self, bundle, "crun")

    def test_long_names(self):
        """Names that are too long or too deep for us to read do not hide the target."""
        bundle = self.bundle()
        deep = "/".join(["d" * 200] * 12)
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.setup(f"mkdir -p /tmp/{deep}; ln /bin/target /tmp/{deep}/x; cp /bin/probe /tmp/{deep}/free; "
                    "mkdir -p /tmp/many/" + "d/" * 150 + "; ln /bin/target /tmp/many/" + "d/" * 150 + "x")
        cases.restricted("long", f"/tmp/{deep}/x {SECRET}")
        cases.restricted("deep", f"/tmp/many/{'d/' * 150}x {SECRET}")
        cases.free("another program", f"/tmp/{deep}/free {SECRET}")
        cases.run(self, bundle, "crun")

    def test_overlay(self):
        """On an overlay, as images are, before and after the target was copied up, and with nothing cached."""
        if not os.path.isdir("/images/base"):
            self.skipTest("this machine has no image to put an overlay on")
        bundle = self.bundle(base="/images/base")
        bundle.annotate(profile(program("/bin/cat", rules=policy(read=["/usr"], write=["/dev"]))))
        denied = "Permission denied"
        script = bundle.script("run.sh", f"""
            /bin/cat /etc/secret; /usr/bin/cat /etc/secret; /bin/head /etc/secret
            ln /usr/bin/cat /usr/bin/hard
            touch /usr/bin/cat
            /bin/cat /etc/secret; /usr/bin/hard /etc/secret
            echo ready
            {WAIT}
            /bin/cat /etc/secret; /usr/bin/hard /etc/secret; /bin/head /etc/secret
            echo over
        """)
        with bundle.running("crun", script) as container:
            goes_on_uncached(container)
            self.assertEqual(container.output().splitlines(), [
                f"/bin/cat: /etc/secret: {denied}", f"/usr/bin/cat: /etc/secret: {denied}", "secret",
                f"/bin/cat: /etc/secret: {denied}", f"/usr/bin/hard: /etc/secret: {denied}", "ready",
                f"/bin/cat: /etc/secret: {denied}", f"/usr/bin/hard: /etc/secret: {denied}", "secret", "over"])

    def test_overlays_of_its_own(self):
        """What the documents say is not matched: the target through an overlay that somebody mounts; and, where it has
        several names in the image, the names that it gets once it was copied up, as soon as nothing is cached."""
        base = self.bundle(place="/var/tmp")
        os.link(base.path("bin/target"), base.path("bin/second"))
        bundle = self.bundle(place="/var/tmp", base=base.rootfs)
        privilege(bundle, "CAP_SYS_ADMIN")
        bundle.annotate(profile(program("/bin/target")))
        script = bundle.script("run.sh", f"""
            mkdir /view && mount -t overlay none -o lowerdir=/bin:/allowed /view && /view/target {SECRET}
            /bin/second {SECRET}
            chmod 711 /bin/target && ln /bin/target /bin/third
            echo ready
            {WAIT}
            for name in target second third; do /bin/$name {SECRET}; done
            echo over
        """)
        with bundle.running("crun", script) as container:
            goes_on_uncached(container)
            self.assertEqual(container.output().splitlines(),
                             [FREE, RESTRICTED, "ready", RESTRICTED, RESTRICTED, FREE, "over"])


class Hooks(TestCase):
    def test_hooks_of_the_bundle(self):
        """createContainer and startContainer hooks run in the container and are free, even on the target's path and
        on all that `except` and sessions catch. The init is none the less a target."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            for entries in ([program("/bin/target")], [entry({"except": ["/bin/absent"]})],
                            [entry({"entrypoint": True})]):
                bundle.annotate(profile(*entries))
                bundle.hooks("createRuntime", "poststop")
                # createContainer hooks are found from outside, startContainer hooks inside.
                inside = bundle.script(
                    "hook.sh", f"cat > /dev/null; exec >> /tmp/hooks; /bin/target {SECRET} + nnp; /bin/probe {SECRET}")
                hook(bundle, "startContainer", inside)
                hook(bundle, "startContainer", "/bin/target", "exec", inside)
                target = bundle.path("bin/target")
                hook(bundle, "createContainer", target, "exec", "/bin/sh", "-c",
                     "cat > /dev/null; "
                     f"{target} read {bundle.path('etc/secret')} + nnp > {bundle.path('tmp/created')}")
                result = bundle.run(runtime, "/bin/target", "read", "/etc/secret")
                self.assertEqual(lines(result), [RESTRICTED])
                with open(bundle.path("tmp/hooks"), encoding="utf-8") as file:
                    self.assertEqual(file.read().splitlines(), [FREE, "no_new_privs: 0", FREE] * 2)
                with open(bundle.path("tmp/created"), encoding="utf-8") as file:
                    self.assertEqual(file.read().splitlines(),
                                     [f"read {bundle.path('etc/secret')}: allowed", "no_new_privs: 0"])
                os.unlink(bundle.path("tmp/hooks"))
                os.unlink(bundle.path("tmp/created"))

    def test_what_a_hook_leaves_behind(self):
        """A process that a hook left running is free until the container has started; what it executes after that
        counts as an exec session."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        inside = bundle.script("hook.sh", f"""
            cat > /dev/null
            exec < /dev/null > /tmp/left 2>&1
            /bin/target {SECRET}
            ( {WAIT}; exec /bin/target {SECRET} ) &
        """)
        hook(bundle, "startContainer", inside)
        with bundle.running("crun", "/bin/probe", "read", "/etc/secret", "+", "exec", "/bin/sleep",
                            "1000") as container:
            container.wait_for("secret")
            self.assertEqual(container.output().splitlines(), [FREE])
            bundle.write("tmp/go", "")

            def left():
                with open(bundle.path("tmp/left"), encoding="utf-8") as file:
                    return file.read().splitlines()

            wait_for(lambda: len(left()) > 1, "second line of the hook")
            self.assertEqual(left(), [FREE, RESTRICTED])
