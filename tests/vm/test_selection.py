# SPDX-License-Identifier: Apache-2.0
"""Which execs are targets, and that nothing else is restricted."""

import json
import os
import shutil

import applier
from cases import FREE, RESTRICTED, SECRET, Cases, lines
from containers import PROBE, TestCase, command, entry, policy, profile, program, status
from direct import ROOM_IN_USE, ROOM_SIZE, pinned

WAIT = "while [ ! -e /tmp/go ]; do sleep 0.05; done"
ID = object()  # in the place of the container's


def except_for(*paths, **more):
    return entry({"except": list(paths)}, **more)


def entrypoint(**more):
    return entry({"entrypoint": True}, **more)


def reading(*extra):
    """A policy under which /bin runs and these paths can be read."""
    return policy(read=["/bin", *extra], write=["/dev"])


class OnlyTheTarget(TestCase):
    def test_everything_around_the_target_stays_free(self):
        """The entrypoint script, its helpers before and after the target, another container, the runtime and the host
        stay unrestricted; the target, its children and exec sessions do not."""
        with open("/etc/secret", "w", encoding="utf-8") as file:
            file.write("host\n")
        self.addCleanup(os.unlink, "/etc/secret")
        for runtime in self.each_runtime():
            bundle, other = self.bundle(), self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            script = bundle.script("run.sh", f"""
                read line < /etc/secret && echo "script reads $line"
                /bin/probe {SECRET}
                /bin/target {SECRET} + read /allowed/file + nnp
                /bin/target fork + exec /bin/probe {SECRET} ++ nnp
                /bin/target vfork-exec /bin/cat /etc/secret
                /bin/target exec /bin/sh -c 'cat /etc/secret; cat /allowed/file'
                /bin/probe {SECRET} + nnp
                read line < /etc/secret && echo "script reads $line"
                echo ready
                {WAIT}
                /bin/target {SECRET}
                echo over
                sleep 1000
            """)
            with bundle.running(runtime, script) as container, other.running(runtime, "/bin/sleep", "1000") as unasked:
                container.wait_for("ready")
                denied = "cat: can't open '/etc/secret': Permission denied"
                self.assertEqual(container.output().splitlines(), [
                    "script reads secret", FREE,
                    RESTRICTED, "read /allowed/file: allowed", "no_new_privs: 1",
                    RESTRICTED, "no_new_privs: 1",
                    denied, denied, "allowed",
                    FREE, "no_new_privs: 0", "script reads secret", "ready"])
                # A target's name on the host, and its very file, mean nothing there.
                self.assertEqual(lines(command(bundle.path("bin/target"), "read", "/etc/secret")), [FREE])
                self.assertEqual(lines(command(PROBE, "read", bundle.path("etc/secret"), "+", "nnp")),
                                 [f"read {bundle.path('etc/secret')}: allowed", "no_new_privs: 0"])
                self.assertEqual(lines(unasked.exec("/bin/target", "read", "/etc/secret", "+", "nnp")),
                                 [FREE, "no_new_privs: 0"])
                self.assertEqual(lines(container.exec("/bin/target", "read", "/etc/secret", "+", "nnp")),
                                 [RESTRICTED, "no_new_privs: 1"])
                self.assertEqual([item["id"] for item in status()["containers"]], [bundle.id])
                bundle.write("tmp/go", "")
                container.wait_for("over")
                self.assertEqual(container.output().splitlines()[-2:], [RESTRICTED, "over"])
            self.assertNothingLeft()

    def test_target_as_pid_1(self):
        """An entrypoint script that becomes the target is free before and restricted after, and keeps its pid 1."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            result = bundle.shell(runtime, f"""
                /bin/probe {SECRET}
                exec /bin/target {SECRET} + exec /bin/sh -c 'echo pid $$; /bin/probe {SECRET}'
            """)
            self.assertEqual(lines(result), [FREE, RESTRICTED, "pid 1", RESTRICTED])

    def test_target_as_entrypoint(self):
        """The same when the target is the container's first program."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            result = bundle.run(runtime, "/bin/target", "read", "/etc/secret", "+", "read", "/allowed/file", "+", "nnp")
            self.assertEqual(lines(result), [RESTRICTED, "read /allowed/file: allowed", "no_new_privs: 1"])

    def test_ways_to_execute(self):
        """A target is one by whatever system call and from whatever thread it is executed."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.restricted("execveat of a descriptor", f"/bin/probe exec-fd /bin/target {SECRET}")
        cases.restricted("execveat of a name", f"/bin/probe exec-at /bin target {SECRET}")
        cases.restricted("descriptor in proc", f"/bin/probe exec-proc /bin/target {SECRET}")
        cases.restricted("vfork", f"/bin/probe vfork-exec /bin/target {SECRET}")
        cases.restricted("thread", f"/bin/probe thread-exec /bin/target {SECRET}")
        cases.restricted("relative", f"cd /bin; ./target {SECRET}; cd /")
        cases.restricted("detour", f"/bin/../proc/self/root//bin/./target {SECRET}")
        for way in ("exec", "exec-fd", "exec-proc", "vfork-exec", "thread-exec"):
            cases.free(way + " of another", f"/bin/probe {way} /bin/probe {SECRET}")
        cases.run(self, bundle, "crun")

    @applier.selector_only("it takes down no names")
    def test_processor_in_use(self):
        """An exec on a processor that another is interrupted on, with the names of a target taken down: it takes down
        its own elsewhere, and leaves those."""
        with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
            processors = int(file.read().strip().rpartition("-")[2]) + 1
        with pinned("rooms", ROOM_SIZE * processors) as rooms:
            before = rooms.lookup(bytes(4))
            in_use = bytearray(b"/bin/target".ljust(512, b"\0") * 3).ljust(ROOM_SIZE, b"\0")
            in_use[ROOM_IN_USE] = 1
            rooms.update(bytes(4), bytes(in_use) * processors)
            try:
                for selected in (program("/bin/target"), except_for("/run.sh", "/bin/sh", "/bin/probe")):
                    bundle = self.bundle()
                    bundle.annotate(profile(selected))
                    result = bundle.shell("crun", f"/bin/target {SECRET}; /bin/probe {SECRET}")
                    self.assertEqual(lines(result), [RESTRICTED, FREE])
                self.assertEqual(rooms.lookup(bytes(4)), bytes(in_use) * processors)
            finally:
                rooms.update(bytes(4), before)
            for i in range(processors):
                self.assertEqual(before[i * ROOM_SIZE + ROOM_IN_USE], 0, "somebody has left it in use")


class Scripts(TestCase):
    def test_named_script(self):
        """A program entry that names a script restricts the exec of that script only: not another one on the same
        interpreter, nor the interpreter, nor the interpreter that is given the script as an argument."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/named.sh")))
        for name in ("bin/named.sh", "bin/other.sh"):
            bundle.script(name, f"/bin/probe {SECRET}\n")
        cases = Cases()
        cases.restricted("the script", "/bin/named.sh")
        cases.free("another script", "/bin/other.sh")
        cases.free("the interpreter", f"/bin/sh -c '/bin/probe {SECRET}'")
        cases.free("argument of the interpreter", "/bin/sh /bin/named.sh")
        cases.restricted("by a descriptor", "/bin/probe exec-fd /bin/named.sh")
        cases.setup("ln -s /bin/named.sh /tmp/link; ln /bin/named.sh /bin/hard")
        cases.restricted("symbolic link", "/tmp/link")
        cases.restricted("hard link", "/bin/hard")
        cases.run(self, bundle, "crun")

    def test_named_interpreter(self):
        """A program entry that names an interpreter also catches the scripts that run on it, however deep."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target", "/bin/middle")))
        for name, interpreter in (("script", "/bin/target"), ("free", "/bin/probe"), ("middle", "/bin/probe")):
            bundle.write(f"bin/{name}", f"#!{interpreter} skip\n", 0o755)
        # The kernel follows interpreters that are scripts themselves.
        bundle.write("bin/outer", "#!/bin/script skip\n", 0o755)
        bundle.write("bin/around", "#!/bin/middle skip\n", 0o755)
        bundle.write("bin/free-outer", "#!/bin/free skip\n", 0o755)
        cases = Cases()
        cases.restricted("the interpreter", f"/bin/target {SECRET}")
        cases.restricted("a script on it", f"/bin/script + {SECRET}")
        cases.free("a script on another", f"/bin/free + {SECRET}")
        cases.restricted("a script on a script on it", f"/bin/outer + {SECRET}")
        cases.free("a script on a script on another", f"/bin/free-outer + {SECRET}")
        cases.restricted("a script that is named", f"/bin/middle + {SECRET}")
        cases.restricted("a script on a script that is named", f"/bin/around + {SECRET}")
        cases.prints("a script in memory", f"/bin/probe script-memory /bin/target ++ {SECRET}", RESTRICTED)
        cases.prints("a script in memory on a script that is named",
                     f"/bin/probe script-memory /bin/middle ++ {SECRET}", RESTRICTED)
        cases.free("a script in memory on another", f"/bin/probe script-memory /bin/probe ++ {SECRET}")
        cases.run(self, bundle, "crun")

    def test_interpreter_that_is_a_link(self):
        """A listed interpreter counts by the name that a script gives it, also when that is a link that was changed
        since, or that appeared later."""
        bundle = self.bundle()
        for name in ("one", "two", "three"):
            shutil.copy(PROBE, bundle.path("bin", name))
        os.symlink("one", bundle.path("bin/python"))
        bundle.annotate(profile(program("/bin/python", "/bin/later")))
        for name in ("python", "later", "three"):
            bundle.write(f"bin/on-{name}", f"#!/bin/{name} skip\n", 0o755)
        cases = Cases()
        cases.restricted("as it was", f"/bin/on-python + {SECRET}")
        cases.setup("ln -s two /bin/new; mv /bin/new /bin/python; ln -s three /bin/later")
        cases.restricted("changed", f"/bin/on-python + {SECRET}")
        cases.restricted("changed, by a script in memory", f"/bin/probe script-memory /bin/python ++ {SECRET}")
        cases.free("what it leads to now", f"/bin/two {SECRET}")
        cases.restricted("what it led to", f"/bin/one {SECRET}")
        cases.restricted("appeared later", f"/bin/on-later + {SECRET}")
        cases.free("what that leads to", f"/bin/on-three + {SECRET}")
        cases.run(self, bundle, "crun")


class Files(TestCase):
    def test_program_that_is_replaced(self):
        """A target is one by name after an upgrade put a new file there, and by file when it got another name."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.restricted("before", f"/bin/target {SECRET}")
        cases.setup("cp /bin/probe /bin/target.new; ln /bin/target /tmp/old; mv /bin/target.new /bin/target")
        cases.restricted("the new file", f"/bin/target {SECRET}")
        cases.restricted("the old file", f"/tmp/old {SECRET}")
        cases.free("what it was made from", f"/bin/probe {SECRET}")
        cases.setup("rm /bin/target")
        cases.setup("cp /bin/probe /bin/target")
        cases.restricted("removed and written anew", f"/bin/target {SECRET}")
        cases.run(self, bundle, "crun")

    def test_program_that_appears_later(self):
        """A program that does not exist when the container starts is a target once it is there."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/opt/later/program", "/opt/link/program")))
        cases = Cases()
        cases.setup("mkdir -p /opt/later /opt/real; cp /bin/probe /opt/later/program; cp /bin/probe /opt/real/program")
        cases.restricted("the program", f"/opt/later/program {SECRET}")
        cases.free("not named yet", f"/opt/real/program {SECRET}")
        cases.setup("ln -s real /opt/link")
        cases.restricted("a name that leads there", f"/opt/link/program {SECRET}")
        cases.free("a file nobody named", f"/opt/real/program {SECRET}")
        cases.run(self, bundle, "crun")

    def test_named_by_a_symbolic_link(self):
        """A name that leads elsewhere at start counts for the file that it leads to, under its own name too."""
        bundle = self.bundle()
        os.symlink("target", bundle.path("bin/alias"))
        bundle.annotate(profile(program("/bin/alias")))
        cases = Cases()
        cases.restricted("by the link", f"/bin/alias {SECRET}")
        cases.restricted("by its own name", f"/bin/target {SECRET}")
        cases.setup("cp /bin/probe /bin/new; mv /bin/new /bin/target")
        cases.restricted("replaced, by the link", f"/bin/alias {SECRET}")
        cases.restricted("replaced, by its own name", f"/bin/target {SECRET}")
        cases.free("another", f"/bin/probe {SECRET}")
        cases.run(self, bundle, "crun")

    def test_copy_is_another_program(self):
        """A copy under another name is not the target, as the guide says; `except` is the strict choice."""
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target")))
        cases = Cases()
        cases.setup("cp /bin/target /bin/copy")
        cases.free("a copy", f"/bin/copy {SECRET}")
        cases.free("a copy in memory", f"/bin/probe exec-memory /bin/target {SECRET}")
        cases.run(self, bundle, "crun")


class Entrypoint(TestCase):
    def test_program_as_entrypoint(self):
        """`entrypoint` restricts the container's first program and all that descends from it, once."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(entrypoint()))
            result = bundle.run(runtime, "/bin/probe", "read", "/etc/secret", "+", "vfork-exec", "/bin/probe", "read",
                                "/etc/secret", "++", "nnp", "++", "stack", "16")
            self.assertEqual(lines(result),
                             [RESTRICTED, RESTRICTED, "no_new_privs: 1", "stacked 15: Argument list too long"])

    def test_script_as_entrypoint(self):
        """`entrypoint` with a script: already the script is restricted. A policy file alone selects so, too."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(policy(read=["/bin", "/run.sh"], write=["/dev"]))
            result = bundle.shell(runtime, f"""
                read line < /etc/secret || echo cannot
                /bin/probe {SECRET} + nnp
            """)
            self.assertEqual(result.stdout.splitlines(), ["cannot", RESTRICTED, "no_new_privs: 1"], result.stderr)


class Except(TestCase):
    def test_strict(self):
        """`except` restricts every program but the listed ones, which need both their name and their file."""
        bundle = self.bundle()
        bundle.annotate(profile(except_for("/bin/busybox", "/run.sh", "/bin/probe", "/bin/later")))
        cases = Cases()
        cases.free("a listed program", f"/bin/probe {SECRET}")
        cases.free("its child", f"/bin/probe vfork-exec /bin/probe {SECRET}")
        cases.free("by a descriptor", f"/bin/probe exec-fd /bin/probe {SECRET}")
        cases.restricted("any other", f"/bin/target {SECRET}")
        cases.restricted("a listed program, run by another", f"/bin/target exec /bin/probe {SECRET}")
        cases.prints("in memory", f"/bin/probe exec-memory /bin/probe {SECRET}", RESTRICTED)
        cases.prints("a script in memory", f"/bin/probe script-memory /bin/probe ++ {SECRET}", RESTRICTED)
        cases.setup("cp /bin/probe /bin/copy; ln -s /bin/probe /bin/soft")
        cases.restricted("a copy", f"/bin/copy {SECRET}")
        cases.free("a symbolic link, which is but a way there", f"/bin/soft {SECRET}")
        cases.setup("cp /bin/probe /bin/later")
        cases.restricted("what was not there at start", f"/bin/later {SECRET}")
        cases.setup("mkdir -p /jail/bin; cp /bin/probe /jail/bin/probe; mkdir /jail/etc; cp /etc/secret /jail/etc/")
        cases.restricted("its name in another root", f"/bin/probe chroot /jail + exec /bin/probe {SECRET}")
        cases.setup("ln /bin/probe /bin/hard; ln /bin/probe /jail/probe")
        cases.restricted("a hard link", f"/bin/hard {SECRET}")
        cases.restricted("its file in another root", f"chroot /jail /probe {SECRET}")
        cases.run(self, bundle, "crun")

    def test_changed(self):
        """What anybody changes about a listed program ends its exception: another file in its place, its content, its
        mode, another name."""
        bundle = self.bundle()
        names = [f"/bin/{name}" for name in ("replaced", "moved", "written", "longer", "mode", "linked", "touched")]
        for name in names:
            shutil.copy(PROBE, bundle.path(name[1:]))
        bundle.annotate(profile(except_for("/bin/busybox", "/run.sh", "/bin/probe", *names)))
        cases = Cases()
        for name in names:
            cases.free(f"{name} as it was", f"{name} {SECRET}")
        cases.setup("cp /bin/probe /bin/new; mv /bin/new /bin/replaced")
        cases.setup("mv /bin/moved /bin/away; mv /bin/away /bin/moved")
        cases.setup("cat /bin/probe > /bin/written; cat /bin/probe >> /bin/longer")
        cases.setup("chmod 700 /bin/mode; ln /bin/linked /bin/link")
        cases.setup("touch -r /bin/touched /bin/probe.time; echo >> /bin/touched; touch -r /bin/probe.time /bin/touched")
        for name in names:
            cases.restricted(name, f"{name} {SECRET}")
        cases.free("another", f"/bin/probe {SECRET}")
        cases.run(self, bundle, "crun")

    def test_changed_on_overlay(self):
        """On an overlay, whose inodes have no generation, a later file with the inode number of a listed one is another
        one."""
        base = self.bundle(place="/var/tmp")
        bundle = self.bundle(place="/var/tmp", base=base.rootfs)
        shutil.copy(PROBE, bundle.path("bin/upper"))
        bundle.annotate(profile(except_for("/bin/busybox", "/run.sh", "/bin/probe", "/bin/upper", "/bin/written")))
        shutil.copy(PROBE, bundle.path("bin/written"))
        cases = Cases()
        cases.free("as it was", f"/bin/upper {SECRET}")
        cases.free("as it was, too", f"/bin/written {SECRET}")
        cases.setup("before=$(stat -c %i /bin/upper); rm /bin/upper; "
                    # Whatever else is free comes first, now and then.
                    "for i in $(seq 2000); do "
                    "> /bin/upper; [ $(stat -c %i /bin/upper) = $before ] && break; "
                    "[ $i = 2000 ] || mv /bin/upper /bin/other.$i; done; "
                    "cat /bin/probe > /bin/upper; chmod 755 /bin/upper; "
                    "[ $(stat -c %i /bin/upper) = $before ]")
        cases.restricted("the same number", f"/bin/upper {SECRET}")
        cases.setup("cat /bin/probe > /bin/written")
        cases.restricted("written in place", f"/bin/written {SECRET}")
        cases.run(self, bundle, "crun")

    def test_interpreter(self):
        """A listed script is excepted only if its interpreter is listed, too, and has stayed what it was; so is what
        another kind of file leads to."""
        bundle = self.bundle()
        for name in ("interpreter", "unlisted"):
            shutil.copy(PROBE, bundle.path("bin", name))
            bundle.write(f"bin/on-{name}", f"#!/bin/{name} skip\n", 0o755)
        bundle.write("bin/through", "#!/bin/middle skip\n", 0o755)
        bundle.write("bin/middle", "#!/bin/interpreter skip\n", 0o755)
        bundle.annotate(profile(except_for("/bin/busybox", "/run.sh", "/bin/interpreter", "/bin/on-interpreter",
                                           "/bin/on-unlisted", "/bin/through")))
        cases = Cases()
        cases.free("both listed", f"/bin/on-interpreter + {SECRET}")
        cases.restricted("interpreter not listed", f"/bin/on-unlisted + {SECRET}")
        cases.restricted("script in between not listed", f"/bin/through + {SECRET}")
        cases.setup("cp /bin/interpreter /bin/new; mv /bin/new /bin/interpreter")
        cases.restricted("interpreter replaced", f"/bin/on-interpreter + {SECRET}")
        cases.run(self, bundle, "crun")

    def test_entrypoint_that_is_not_listed(self):
        """`except` takes the container's first program too, when it is not listed."""
        bundle = self.bundle()
        bundle.annotate(profile(except_for("/bin/probe")))
        result = bundle.run("crun", "/bin/target", "read", "/etc/secret", "+", "exec", "/bin/probe", "read",
                            "/etc/secret")
        self.assertEqual(lines(result), [RESTRICTED, RESTRICTED])


class Profiles(TestCase):
    def test_entries_and_layers(self):
        """Each entry of a profile restricts its own programs, with all of its policies as layers; on one line of
        descent several add up, and no entry twice."""
        bundle = self.bundle()
        bundle.write("etc/other", "")
        one = reading("/allowed", "/etc/other")
        two = reading("/allowed", "/etc/secret")
        bundle.annotate(profile(program("/bin/one", rules=one, name="one"),
                                program("/bin/two", rules=[two, reading("/allowed"), two], name="two"),
                                program("/bin/both", "/bin/one", rules=two, name="three")))

        def see(plus="+"):
            return f"{SECRET} {plus} read /etc/other {plus} read /allowed/file {plus} stack 17"

        yes, no = "allowed", "Permission denied"

        def seen(secret, other, count):
            return (f"read /etc/secret: {secret}", f"read /etc/other: {other}", "read /allowed/file: allowed",
                    f"stacked {16 - count}: Argument list too long")

        cases = Cases()
        cases.setup("for name in one two both; do cp /bin/probe /bin/$name; done")
        cases.prints("nothing", f"/bin/probe {see()}", *seen(yes, yes, 0))
        cases.prints("two entries at once", f"/bin/one {see()}", *seen(no, no, 2))
        cases.prints("three policies", f"/bin/two {see()}", *seen(no, no, 3))
        cases.prints("one entry", f"/bin/both {see()}", *seen(yes, no, 1))
        cases.prints("the rest of the entries later",
                     f"/bin/both {SECRET} + exec /bin/one {SECRET} ++ exec /bin/two {see('+++')}",
                     FREE, RESTRICTED, *seen(no, no, 5))
        cases.prints("again and again", f"/bin/one exec /bin/both exec /bin/one exec /bin/both {see('++++')}",
                     *seen(no, no, 2))
        cases.run(self, bundle, "crun")

    def test_program_annotation(self):
        """io.landlock.program replaces the selection of the profile: a path, or a list of paths."""
        for value, expected in (("/bin/target", (RESTRICTED, FREE)),
                                ('["/bin/absent", "/bin/probe"]', (FREE, RESTRICTED))):
            with self.subTest(value=value):
                bundle = self.bundle()
                bundle.annotate(profile(program("/bin/busybox", "/run.sh")), **{"io.landlock.program": value})
                cases = Cases()
                cases.prints("target", f"/bin/target {SECRET}", expected[0])
                cases.prints("probe", f"/bin/probe {SECRET}", expected[1])
                cases.run(self, bundle, "crun")

    def test_containers_of_a_pod(self):
        """io.landlock.profile/<container> is for that container, before io.landlock.profile; others keep the common
        one; the pod's sandbox container gets nothing."""
        for annotations, expected in (
                ({"io.kubernetes.cri.container-name": "web"}, [RESTRICTED, FREE]),
                ({"io.kubernetes.cri.container-name": "db"}, [FREE, RESTRICTED]),
                ({"io.kubernetes.container.name": "web"}, [RESTRICTED, FREE]),
                ({"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": ID}, [FREE, FREE]),
                ({"io.kubernetes.cri-o.ContainerType": "sandbox", "io.kubernetes.cri-o.ContainerID": ID}, [FREE, FREE]),
                # Whoever annotates it says so, and not its engine.
                ({"io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "other",
                  "io.kubernetes.cri.container-name": "web"}, [RESTRICTED, FREE])):
            with self.subTest(annotations=annotations):
                bundle = self.bundle()
                annotations = {key: bundle.id if value is ID else value for key, value in annotations.items()}
                web = json.dumps(profile(program("/bin/target")))
                bundle.annotate(profile(program("/bin/probe")), **{"io.landlock.profile/web": web}, **annotations)
                result = bundle.shell("crun", f"/bin/target {SECRET}; /bin/probe {SECRET}")
                self.assertEqual(lines(result), expected)
        self.assertNothingLeft()


class Sessions(TestCase):
    def test_sessions(self):
        """An exec session is a target of every entry with `sessions`, whatever it runs, and never of one without."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.write("etc/other", "")
            bundle.annotate(profile(
                program("/bin/target", rules=reading("/allowed", "/etc/other"), name="with"),
                program("/bin/target", rules=reading("/allowed", "/etc/secret"), name="without", sessions=False)))
            with bundle.running(runtime, "/bin/target", "read", "/etc/secret", "+", "read", "/etc/other", "+", "exec",
                                "/bin/sleep", "1000") as container:
                container.wait_for("other")
                self.assertEqual(container.output().splitlines(), [RESTRICTED, "read /etc/other: Permission denied"])
                for text in ("/bin/probe {0} + {1}", "/bin/target {0} + {1}", "/bin/probe exec /bin/target {0} ++ {1}"):
                    words = text.format(SECRET, "read /etc/other").split()
                    self.assertEqual(lines(container.exec(*words)), [RESTRICTED, "read /etc/other: allowed"])
                self.assertEqual(lines(container.exec("/bin/probe", "again", "/bin/target", "20", "stack", "17")),
                                 ["stacked 15: Argument list too long"])

    def test_without_sessions(self):
        """With `sessions: false` nothing that a session runs is restricted, not even the target."""
        for select in ({"program": ["/bin/target"]}, {"except": ["/bin/probe"]}, {"entrypoint": True}):
            with self.subTest(select=select):
                bundle = self.bundle()
                bundle.annotate(profile(entry(select, sessions=False)))
                with bundle.running("crun", "/bin/target", "read", "/etc/secret", "+", "exec", "/bin/sleep",
                                    "1000") as container:
                    container.wait_for("secret")
                    self.assertEqual(container.output().splitlines(), [RESTRICTED])
                    self.assertEqual(lines(container.exec("/bin/sh", "-c", f"/bin/target {SECRET} + nnp")),
                                     [FREE, "no_new_privs: 0"])

    def test_session_before_the_start(self):
        """A session that comes in before the container's first program is a session like any other."""
        for runtime in self.each_runtime():
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target")))
            bundle.config["process"]["args"] = ["/bin/target", "read", "/etc/secret"]
            bundle.save()
            with bundle.created(runtime) as container:
                self.assertEqual(lines(container.exec("/bin/target", "read", "/etc/secret")), [RESTRICTED])
                container.start()
                container.wait_for("secret")
                self.assertEqual(container.output().splitlines(), [RESTRICTED])
