# SPDX-License-Identifier: Apache-2.0
"""oci-landlock-runtime, before runc and crun, as Docker and containerd call it. Needs no BPF and no VM: tests/native
runs this on the machine itself."""

import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
import unittest

import applier
from cases import PATIENCE, wait_for
from containers import BUILD, OCI_LANDLOCK, TestCase, command, entry, node_log, profile

RUNTIME = os.path.join(BUILD, "src", "oci-landlock-runtime")
SETTINGS = "/etc/oci-landlock/config.json"
READS = ("/bin/probe", "read", "/etc/secret")
RESTRICTED = "read /etc/secret: Permission denied\n"
FREE = "read /etc/secret: allowed\n"
STAGES = ("createRuntime", "poststart", "poststop")
PROFILE = profile(entry(sessions=False))


def ours(stage):
    return {"path": OCI_LANDLOCK, "args": ["oci-landlock", "hook", stage], "timeout": 60}


def content(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@unittest.skipIf(not applier.LAUNCH, "launch only: it is about what comes before any applier")
class Runtime(TestCase):
    def setUp(self):
        super().setUp()
        before = content(SETTINGS) if os.path.exists(SETTINGS) else None
        self.given = json.loads(before or "{}")

        def restore():
            if before is None:
                os.unlink(SETTINGS)
            else:
                with open(SETTINGS, "w", encoding="utf-8") as file:
                    file.write(before)
        self.settings()
        self.addCleanup(restore)

    def settings(self, **more):
        with open(SETTINGS, "w", encoding="utf-8") as file:
            json.dump({**self.given, **more}, file)

    def each_real(self):
        """Sets each runtime as the real one, and gives its path."""
        for runtime in self.each_runtime():
            self.settings(runtime=shutil.which(runtime))
            yield shutil.which(runtime)

    def plain(self, wanted=None):
        """A bundle that no hook is in."""
        bundle = self.bundle()
        del bundle.config["hooks"]
        if wanted:
            bundle.annotate(wanted)
        bundle.config["process"]["args"] = list(READS)
        bundle.save()
        return bundle

    def saved(self, bundle):
        return json.loads(content(os.path.join(bundle.directory, "config.json")))

    def refused(self, bundle, *texts, words=(), runs=("run",)):
        """One line, and the same in the log that an engine reads; nothing runs."""
        for kind in ("json", "text"):
            log = tempfile.mktemp(dir=bundle.directory)
            result = command(RUNTIME, "--log", log, "--log-format", kind, *runs, "--bundle", bundle.directory, *words,
                             bundle.id)
            self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)
            self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
            for text in texts:
                self.assertIn(text, result.stderr)
            said = content(log)
            os.unlink(log)
            self.assertEqual(len(said.splitlines()), 1, said)
            if kind == "json":
                entry_ = json.loads(said)
                self.assertEqual(entry_["msg"] + "\n", result.stderr)
                self.assertEqual(entry_["level"], "error")
                self.assertRegex(entry_["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
            else:
                self.assertRegex(said, r'^time="\S+Z" level=error msg="oci-landlock: ')
        self.assertNotEqual(command(RUNTIME, "state", bundle.id).returncode, 0)

    def test_what_asks_is_restricted(self):
        for _ in self.each_real():
            bundle = self.plain(PROFILE)
            result = command(RUNTIME, "run", "-b", bundle.directory, bundle.id)
            self.assertEqual(result.stdout, RESTRICTED, result.stderr)
            self.assertEqual(self.saved(bundle)["hooks"], {stage: [ours(stage)] for stage in STAGES})

    def test_what_asks_for_nothing_is_left_alone(self):
        for _ in self.each_real():
            bundle = self.plain()
            file = os.path.join(bundle.directory, "config.json")
            before = (content(file), os.stat(file).st_ino)
            result = command(RUNTIME, "run", "--bundle", bundle.directory, bundle.id)
            self.assertEqual(result.stdout, FREE, result.stderr)
            self.assertEqual((content(file), os.stat(file).st_ino), before)

    def test_a_life_as_docker_has_it(self):
        for _ in self.each_real():
            bundle = self.plain(PROFILE)
            bundle.config["process"]["args"] = ["/bin/sh", "-c", "/bin/probe read /etc/secret; exec /bin/sleep 1000"]
            bundle.save()
            pid_file, log, root = (os.path.join(bundle.directory, name) for name in ("pid", "log.json", "root"))
            words = (RUNTIME, "--root", root, "--log", log, "--log-format", "json")
            output = os.path.join(bundle.directory, "output")
            with open(output, "w", encoding="utf-8") as file:
                created = subprocess.run([*words, "create", "--bundle", bundle.directory, "--pid-file", pid_file,
                                          bundle.id], stdin=subprocess.DEVNULL, stdout=file, stderr=file, check=False)
            self.assertEqual(created.returncode, 0, content(output))
            self.addCleanup(command, *words, "delete", "--force", bundle.id)
            self.assertEqual(command(*words, "start", bundle.id).returncode, 0)
            wait_for(lambda out=output: RESTRICTED in content(out), "the entrypoint has read")
            state = json.loads(command(*words, "state", bundle.id).stdout)
            self.assertEqual((state["status"], state["pid"]), ("running", int(content(pid_file))))
            self.assertEqual(command(*words, "exec", bundle.id, *READS).stdout, FREE)  # launch leaves sessions alone
            self.assertEqual(command(*words, "exec", bundle.id, "/bin/sh", "-c", "exit 5").returncode, 5)
            self.assertEqual(command(*words, "kill", bundle.id, "9").returncode, 0)
            wait_for(lambda w=words, b=bundle: json.loads(command(*w, "state", b.id).stdout)["status"] == "stopped",
                     "it is dead")
            self.assertEqual(command(*words, "delete", bundle.id).returncode, 0)
            self.assertNotEqual(command(*words, "state", bundle.id).returncode, 0)

    def test_the_bundle_is_the_working_directory(self):
        for _ in self.each_real():
            bundle = self.plain(PROFILE)
            result = command(RUNTIME, "run", bundle.id, cwd=bundle.directory)
            self.assertEqual(result.stdout, RESTRICTED, result.stderr)

    def test_options_behind_the_name(self):
        """Whether the runtime takes them or complains, nothing runs unrestricted."""
        for _ in self.each_real():
            bundle = self.plain(PROFILE)
            result = command(RUNTIME, "run", bundle.id, "--bundle", bundle.directory)
            self.assertIn(result.stdout, (RESTRICTED, ""), result.stderr)
            self.assertEqual(result.returncode == 0, result.stdout == RESTRICTED)

    @staticmethod
    def waits(pid):
        with open(f"/proc/{pid}/wchan", encoding="ascii") as file:
            return re.search("epoll|futex", file.read())

    def terminated(self, program, bundle):
        """How `run` ends when its container was told to. By `kill`: whether a runtime passes on what it is sent itself
        depends on how far it has come, and that it is the runtime is to be seen."""
        with subprocess.Popen([program, "run", "--bundle", bundle.directory, bundle.id], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True) as process:
            try:
                self.assertEqual(process.stdout.readline(), "ready\n")
                self.assertNotIn("oci-landlock", os.readlink(f"/proc/{process.pid}/exe"))
                # What is ready may be faster than its runtime, which has not written it down then.
                wait_for(lambda: '"running"' in command(program, "state", bundle.id).stdout, "it runs")
                # An init that dies before crun waits for it is waited for in vain.
                wait_for(lambda: self.waits(process.pid), "its runtime waits")
                command(program, "kill", bundle.id, "TERM", check=True)
                return process.wait(30 * PATIENCE)
            finally:
                process.kill()
                command(program, "delete", "--force", bundle.id)

    def test_exit_status_and_signals_are_the_runtimes(self):
        for real in self.each_real():
            bundle = self.plain(PROFILE)
            bundle.config["process"]["args"] = ["/bin/sh", "-c", "trap 'exit 9' TERM; echo ready; "
                                                                 "while :; do /bin/sleep 0.05; done"]
            bundle.save()
            self.assertEqual([self.terminated(program, bundle) for program in (RUNTIME, real)], [9, 9])
            bundle = self.plain()
            bundle.config["process"]["args"] = ["/bin/sh", "-c", "exit 7"]
            bundle.save()
            result = command(RUNTIME, "run", "--bundle", bundle.directory, bundle.id)
            self.assertEqual(result.returncode, 7, result.stderr)
            for words in (("nonsense",), ("state", "nobody"), ("--version",), ("kill",)):
                wanted, got = command(real, *words), command(RUNTIME, *words)
                self.assertEqual((got.returncode, got.stdout), (wanted.returncode, wanted.stdout), words)

    def test_twice_is_once(self):
        for _ in self.each_real():
            bundle = self.plain(PROFILE)
            for _ in range(2):
                result = command(RUNTIME, "run", "-b", bundle.directory, bundle.id)
                self.assertEqual(result.stdout, RESTRICTED, result.stderr)
                self.assertEqual(self.saved(bundle)["hooks"], {stage: [ours(stage)] for stage in STAGES})

    def test_hooks_of_others_are_kept(self):
        for _ in self.each_real():
            bundle = self.plain(PROFILE)
            marks = [os.path.join(bundle.directory, name) for name in ("first", "second")]
            other = [{"path": "/usr/bin/tee", "args": ["tee", mark]} for mark in marks]
            bundle.config["hooks"] = {"prestart": [other[0]], "createRuntime": [other[1]]}
            bundle.save()
            result = command(RUNTIME, "run", "-b", bundle.directory, bundle.id)
            self.assertEqual(result.stdout, RESTRICTED, result.stderr)
            self.assertEqual([os.path.exists(mark) for mark in marks], [True, True])
            hooks = self.saved(bundle)["hooks"]
            self.assertEqual((hooks["prestart"], hooks["createRuntime"]), ([other[0]], [other[1], ours("createRuntime")]))

    def test_the_environment_asks(self):
        for _ in self.each_real():
            bundle = self.plain()
            text = json.dumps(PROFILE)
            bundle.config["process"]["env"] += [f"OCI_LANDLOCK_PROFILE={text}", "OTHER=1"]
            bundle.config["process"]["args"] = ["/bin/sh", "-c", "env; /bin/probe read /etc/secret"]
            bundle.save()
            result = command(RUNTIME, "run", "-b", bundle.directory, bundle.id)
            self.assertIn(RESTRICTED, result.stdout, result.stderr)
            self.assertIn("OTHER=1\n", result.stdout)
            self.assertNotIn("OCI_LANDLOCK", result.stdout)
            self.assertEqual(self.saved(bundle)["annotations"], {"io.landlock.profile": text})

    def test_the_environment_is_refused(self):
        for _ in self.each_real():
            bundle = self.plain(PROFILE)
            bundle.config["process"]["env"].append("OCI_LANDLOCK_PROFILE=nginx")
            bundle.save()
            self.refused(bundle, "asks by annotations and by OCI_LANDLOCK_PROFILE in its environment")
            bundle.config["annotations"] = {}
            for name in ("PROFIL", "PROGRAM", ""):
                bundle.config["process"]["env"][-1] = f"OCI_LANDLOCK_{name}=x"
                bundle.save()
                self.refused(bundle, f"/process/env: OCI_LANDLOCK_{name}: unknown")

    def test_what_the_hook_refuses(self):
        """The line is the hook's then; crun shows only that one failed."""
        for _ in self.each_real():
            bundle = self.plain("no-such-profile")
            before = len(node_log())
            result = command(RUNTIME, "run", "-b", bundle.directory, bundle.id)
            self.assertNotEqual(result.returncode, 0)
            self.assertEqual(result.stdout, "")
            self.assertIn('no profile "no-such-profile"', node_log()[before:])

    def test_a_baseline_is_for_everyone(self):
        os.makedirs("/etc/oci-landlock/profiles", exist_ok=True)
        with open("/etc/oci-landlock/profiles/base.json", "w", encoding="utf-8") as file:
            json.dump(PROFILE, file)
        self.addCleanup(os.unlink, "/etc/oci-landlock/profiles/base.json")
        for real in self.each_real():
            self.settings(runtime=real, baseline="base")
            bundle = self.plain()
            result = command(RUNTIME, "run", "-b", bundle.directory, bundle.id)
            self.assertEqual(result.stdout, RESTRICTED, result.stderr)

    def test_no_sound_configuration(self):
        bundle = self.plain(PROFILE)
        file = os.path.join(bundle.directory, "config.json")
        good = content(file)
        for text, why in (("", "not valid JSON"), (good[:-1], "not valid JSON"), ("[]", "not a JSON object"),
                          ('{"hooks":{},' + good[1:-1] + ',"hooks":{}}', 'member "hooks" appears twice'),
                          ('{"x":"' + "x" * 4 * 1024 * 1024 + '",' + good[1:], "larger than 4194304 bytes")):
            with open(file, "w", encoding="utf-8") as output:
                output.write(text)
            self.refused(bundle, f"{file}: {why}")
            self.assertEqual(content(file), text)
        os.unlink(file)
        self.refused(bundle, f"{file}: No such file")
        with open(file + ".other", "w", encoding="utf-8") as output:
            output.write(good)
        os.symlink("config.json.other", file)
        self.refused(bundle, f"{file}: Too many levels of symbolic links")
        self.assertEqual(content(file + ".other"), good)

    def test_a_bundle_that_cannot_be_written(self):
        bundle = self.plain(PROFILE)
        command("mount", "--bind", bundle.directory, bundle.directory, check=True)
        self.addCleanup(command, "umount", "-l", bundle.directory)
        command("mount", "-o", "remount,bind,ro", bundle.directory, check=True)
        result = command(RUNTIME, "run", "-b", bundle.directory, bundle.id)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertEqual(result.stderr, f"oci-landlock: cannot write {bundle.directory}/config.json: Read-only file system\n")

    def test_another_configuration(self):
        self.settings(runtime=shutil.which("crun"))
        bundle = self.plain(PROFILE)
        self.refused(bundle, "the option --config is not supported", words=("--config", "other.json"))

    def test_a_checkpoint(self):
        for _ in self.each_real():
            self.refused(self.plain(PROFILE), "a checkpoint holds no sandbox", runs=("restore",))

    def test_no_hook_beside_it(self):
        with tempfile.TemporaryDirectory(dir=os.path.dirname(RUNTIME)) as directory:
            lonely = os.path.join(directory, "oci-landlock-runtime")
            shutil.copy(RUNTIME, lonely)
            bundle = self.plain(PROFILE)
            result = command(lonely, "run", "-b", bundle.directory, bundle.id)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn(f"oci-landlock: {directory}/oci-landlock, which the hooks of the container call, is not there",
                          result.stderr)
            self.assertNotIn("hooks", self.saved(bundle))

    def test_it_never_leads_back(self):
        bundle = self.plain(PROFILE)
        link, hard, script = (os.path.join(os.path.dirname(RUNTIME), name) for name in ("link", "hard", "script"))
        for path in (link, hard, script):
            self.addCleanup(os.unlink, path)
        os.symlink(RUNTIME, link)
        os.link(RUNTIME, hard)
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nexec {RUNTIME} \"$@\"\n")
        os.chmod(script, 0o755)
        for real, why in ((RUNTIME, "is oci-landlock-runtime itself"), (link, "is oci-landlock-runtime itself"),
                          (hard, "is oci-landlock-runtime itself"), (script, "leads back to oci-landlock-runtime"),
                          ("/no/such", "the runtime /no/such is not there, or not executable"),
                          ("/etc/passwd", "the runtime /etc/passwd is not there, or not executable")):
            self.settings(runtime=real)
            result = command(RUNTIME, "run", "-b", bundle.directory, bundle.id, timeout=30)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertEqual(len(result.stderr.splitlines()), 1)
            self.assertIn(why, result.stderr)

    def test_the_path_is_not_the_callers(self):
        with tempfile.TemporaryDirectory(dir=os.path.dirname(RUNTIME)) as directory:
            for name in ("runc", "crun"):
                path = os.path.join(directory, name)
                with open(path, "w", encoding="utf-8") as file:
                    file.write("#!/bin/sh\necho fooled\n")
                os.chmod(path, 0o755)
            result = command(RUNTIME, "--version", env={"PATH": directory})
            self.assertRegex(result.stdout, r"^runc version ")

    def test_wrong_settings(self):
        """Nothing is made, and what is there can be ended."""
        for real in self.each_real():
            bundle = self.plain(PROFILE)
            with bundle.running(RUNTIME, "/bin/sleep", "1000") as container:
                self.assertEqual(container.code, 0, container.output())
                self.settings(runtime=real, baselin="x")
                self.refused(self.plain(PROFILE), f"{SETTINGS}: /baselin: unknown")
                self.refused(self.plain(), f"{SETTINGS}: /baselin: unknown")
                self.assertEqual(container.state()["status"], "running")
                self.assertEqual(command(RUNTIME, "kill", bundle.id, "9").returncode, 0)
                self.settings(runtime=real)
            for value in (1, "crun", ""):
                self.settings(runtime=value)
                self.refused(self.plain(), f"{SETTINGS}: /runtime: must be an absolute path")

    def test_unknown_options(self):
        bundle = self.plain(PROFILE)
        result = command(RUNTIME, "--new", "value", "run", "-b", bundle.directory, bundle.id)
        self.assertEqual((result.returncode, result.stdout), (1, ""))
        self.assertIn("oci-landlock: the option --new before the subcommand is not known here", result.stderr)

    def test_help(self):
        result = command(RUNTIME, "--help")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"^Usage: oci-landlock-runtime ")

    @unittest.skipUnless(shutil.which("readelf"), "readelf is not installed here")
    def test_shared_libraries(self):
        """As of the program: an engine's environment may name directories of anybody's."""
        def needed(program):
            found = command("readelf", "-d", program, check=True).stdout
            return set(re.findall(r"\(NEEDED\).*\[(.*)\]", found))
        self.assertLessEqual(needed(RUNTIME), needed(OCI_LANDLOCK))
        # Where every archive is whole, and -Dstatic_libc was left alone.
        if platform.freedesktop_os_release()["VERSION_CODENAME"] == "bookworm":
            self.assertEqual(needed(OCI_LANDLOCK), set())
