# SPDX-License-Identifier: Apache-2.0
"""Docker with oci-landlock-runtime, by a daemon of its own. Needs dockerd, containerd and docker in $PATH, and no BPF:
tests/native runs this on the machine itself."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest

from cases import PATIENCE, lines, wait_for
from containers import BUILD, OCI_LANDLOCK, SOURCE, Bundle, TestCase, command, entry, profile, settings, status
from rootless import User

RUNTIME = os.path.join(BUILD, "src", "oci-landlock-runtime")
PROFILES = "/etc/oci-landlock/profiles"
READS = ("/bin/probe", "read", "/etc/secret")
RESTRICTED = "read /etc/secret: Permission denied"
FREE = "read /etc/secret: allowed"
WEB = profile(entry(sessions=False))
GUIDE = "debian"  # a small one, by the name that the guide uses
NO_PODS = "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def docker(*words):
    return command("docker", *words, timeout=300)


def rootless_script():
    """What Debian's package has beside the daemon, for a user to start it with."""
    path = os.path.join(os.path.dirname(shutil.which("dockerd") or "/"), "..", "share", "docker.io", "contrib",
                        "dockerd-rootless.sh")
    return os.path.realpath(path) if os.path.exists(path) and shutil.which("rootlesskit") else None


@unittest.skipUnless(shutil.which("dockerd"), "there is no dockerd; put Debian's docker.io and containerd into $PATH")
class Docker(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="docker-", dir="/tmp")
        os.environ.update({"DOCKER_HOST": f"unix://{cls.directory}/socket", "DOCKER_CONFIG": cls.directory})
        write(cls.directory + "/daemon.json", json.dumps({"runtimes": {"landlock": {"path": RUNTIME}},
                                                          "default-runtime": "landlock"}))
        cls.daemons = []
        cls.addClassCleanup(cls.end)
        # One of its own the daemon gives 15 seconds.
        containerd = cls.directory + "/containerd"
        write(containerd + ".toml", NO_PODS)
        cls.serve("containerd", "--config", containerd + ".toml", "--address", containerd + ".sock", "--root",
                  containerd + "/root", "--state", containerd + "/state")
        wait_for(lambda: os.path.exists(containerd + ".sock"), "containerd is there", 120)
        cls.serve_docker()
        write(PROFILES + "/web.json", json.dumps(WEB))
        directory = tempfile.mkdtemp(prefix="image-", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
        rootfs = Bundle(directory).rootfs
        write(rootfs + "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        command("tar", "-C", rootfs, "-cf", directory + "/tar", ".", check=True)
        for name, *changes in (("probe",), (GUIDE,), ("asking", "--change", "ENV OCI_LANDLOCK_PROFILE=web")):
            made = docker("import", *changes, directory + "/tar", name)
            assert made.returncode == 0, made.stderr

    @classmethod
    def serve(cls, *words):
        with open(cls.directory + "/log", "a", encoding="utf-8") as log:
            cls.daemons.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    @classmethod
    def serve_docker(cls, *more):
        cls.serve("dockerd", "--config-file", cls.directory + "/daemon.json", "--data-root", cls.directory + "/data",
                  "--exec-root", cls.directory + "/exec", "--pidfile", cls.directory + "/pid", "--host",
                  os.environ["DOCKER_HOST"], "--containerd", cls.directory + "/containerd.sock", "--iptables=false",
                  "--bridge=none", "--storage-driver=vfs", *more)
        wait_for(lambda: docker("version").returncode == 0, "the daemon answers", 120)

    @classmethod
    def end_docker(cls, how=signal.SIGTERM):
        daemon = cls.daemons.pop()
        daemon.send_signal(how)
        daemon.wait(60 * PATIENCE)

    @classmethod
    def end(cls):
        for daemon in reversed(cls.daemons):
            daemon.terminate()
            daemon.wait(60 * PATIENCE)
        with open("/proc/self/mounts", encoding="utf-8") as file:
            for mounted in reversed([line.split()[1] for line in file]):
                if mounted.startswith(cls.directory + "/"):
                    command("umount", "-l", mounted)
        shutil.rmtree(cls.directory, ignore_errors=True)

    def tearDown(self):
        left = lines(docker("ps", "--all", "--quiet"))
        if left:
            docker("rm", "--force", *left)
        super().tearDown()

    def run_(self, *options, image="probe", words=READS):
        return docker("run", "--rm", "--network=none", *options, image, *words)

    def test_the_environment(self):
        """With it the entrypoint is restricted, without it nothing is; a profile by name, and a whole one."""
        for wanted in ("web", json.dumps(WEB)):
            result = self.run_("--env", f"OCI_LANDLOCK_PROFILE={wanted}", words=("/bin/sh", "-c", "env; exec /bin/probe "
                                                                                 "read /etc/secret"))
            self.assertEqual((result.returncode, lines(result)[-1]), (0, RESTRICTED), result.stderr)
            self.assertNotIn("OCI_LANDLOCK", result.stdout)
        self.assertEqual(lines(self.run_()), [FREE])
        # Another runtime is another way.
        self.assertEqual(lines(self.run_("--runtime=runc", "--env", "OCI_LANDLOCK_PROFILE=web")), [FREE])

    def test_annotation(self):
        """As on other engines: by name, and a whole profile; after a restart, too. Not together with a variable."""
        if "--annotation" not in docker("run", "--help").stdout:
            self.skipTest("this Docker has no --annotation, as 24 and later have")
        for wanted in ("web", json.dumps(WEB)):
            self.assertEqual(lines(self.run_("--annotation", f"io.landlock.profile={wanted}")), [RESTRICTED])
        self.assertEqual(lines(self.run_("--annotation", "org.example.profile=web")), [FREE])
        asks = ("--annotation", "io.landlock.profile=web")
        for options, image, why in (
                (("--annotation", "io.landlock.profile=nosuch"), "probe", 'no profile "nosuch": tried'),
                (("--annotation", "io.landlock.profil=web"), "probe", "io.landlock.profil"),
                ((*asks, "--env", "OCI_LANDLOCK_PROFILE=web"), "probe", "OCI_LANDLOCK_PROFILE"),
                (asks, "asking", "OCI_LANDLOCK_PROFILE")):
            with self.subTest(options=options, image=image):
                result = self.run_(*options, image=image)
                self.assertIn(result.returncode, (125, 126, 127), result.stderr)
                self.assertEqual(result.stdout, "")
                self.assertIn(why, result.stderr)
        started = docker("run", "--detach", "--name=web", "--network=none", *asks, "probe", "/bin/sh", "-c",
                         "/bin/probe read /etc/secret; exec /bin/sleep 1000")
        self.assertEqual(started.returncode, 0, started.stderr)
        wait_for(lambda: lines(docker("logs", "web")) == [RESTRICTED], "it has read", 120)
        self.assertEqual(docker("restart", "--time=0", "web").returncode, 0)
        wait_for(lambda: lines(docker("logs", "web")) == [RESTRICTED] * 2, "it has read again", 120)
        # docs/guide/docker.md, with the profile that it has.
        (profile_path, profile_text), = self.guide("json /")
        write(profile_path.split()[1], profile_text)
        blocks = self.guide()
        at = [tag for tag, _ in blocks].index("sh annotation")
        result = command("bash", "-euo", "pipefail", "-c", blocks[at][1], timeout=300)
        self.assertEqual(blocks[at + 1], ("text output", result.stdout), result.stderr)

    def test_an_image_asks(self):
        self.assertEqual(lines(self.run_(image="asking")), [RESTRICTED])
        result = self.run_("--env", "OCI_LANDLOCK_PROFILE=other", image="asking")
        self.assertIn('no profile "other"', result.stderr)

    def test_refusals(self):
        """Docker shows why: our line, from the log that it gave the runtime, or the hook's."""
        for variable, why in (("OCI_LANDLOCK_PROFILE=nosuch", 'no profile "nosuch": tried'),
                              ("OCI_LANDLOCK_PROFIL=web", "/process/env: OCI_LANDLOCK_PROFIL: unknown; there are"),
                              ("OCI_LANDLOCK_PROGRAM=/bin/x", "/process/env: OCI_LANDLOCK_PROGRAM: unknown")):
            result = self.run_("--env", variable)
            self.assertIn(result.returncode, (125, 126, 127), result.stderr)
            self.assertEqual(result.stdout, "")
            self.assertIn(why, result.stderr)

    def test_life(self):
        """exec, restart, stop and start of one container."""
        started = docker("run", "--detach", "--name=web", "--network=none", "--env", "OCI_LANDLOCK_PROFILE=web", "probe",
                         "/bin/sh", "-c", "/bin/probe read /etc/secret; exec /bin/sleep 1000")
        self.assertEqual(started.returncode, 0, started.stderr)
        for number, step in enumerate((None, ("restart", "--time=0"), ("stop", "--time=0")), 1):
            if step:
                self.assertEqual(docker(*step, "web").returncode, 0)
            if step and step[0] == "stop":
                self.assertEqual(docker("start", "web").returncode, 0)
            wait_for(lambda n=number: lines(docker("logs", "web")) == [RESTRICTED] * n, "it has read", 120)
            self.assertEqual(docker("exec", "web", "/bin/sh", "-c", "exit 5").returncode, 5)
        self.assertEqual(docker("kill", "web").returncode, 0)
        self.assertEqual(docker("wait", "web").stdout, "137\n")

    def test_the_daemon_comes_back(self):
        """With live-restore a container goes on while the daemon is away, however that ended, and is restricted as
        before; so is what the daemon that comes back starts of it."""
        self.end_docker()
        self.serve_docker("--live-restore")
        started = docker("run", "--detach", "--name=web", "--network=none", "--env", "OCI_LANDLOCK_PROFILE=web", "probe",
                         "/bin/sh", "-c", "while sleep 1; do /bin/probe read /etc/secret; done")
        self.assertEqual(started.returncode, 0, started.stderr)
        pid = docker("inspect", "--format={{.State.Pid}}", "web").stdout
        for how in (signal.SIGTERM, signal.SIGKILL):
            self.end_docker(how)
            self.assertEqual(len(status()["containers"]), 1)
            self.serve_docker("--live-restore")
            self.assertEqual(docker("inspect", "--format={{.State.Pid}}", "web").stdout, pid)
            before = len(lines(docker("logs", "web")))
            wait_for(lambda n=before: len(lines(docker("logs", "web"))) > n + 1, "it goes on", 120)
        self.assertEqual(docker("restart", "--time=0", "web").returncode, 0)
        before = len(lines(docker("logs", "web")))
        wait_for(lambda: len(lines(docker("logs", "web"))) > before + 1, "it goes on", 120)
        self.assertEqual(set(lines(docker("logs", "web"))), {RESTRICTED})

    def test_exit_status(self):
        self.assertEqual(self.run_(words=("/bin/sh", "-c", "exit 7")).returncode, 7)
        self.assertEqual(self.run_(words=("/no/such",)).returncode, 127)

    def test_a_baseline(self):
        with settings(baseline="web"):
            self.assertEqual(lines(self.run_()), [RESTRICTED])
        with settings(baselin="web"):
            self.assertIn("/baselin: unknown", self.run_().stderr)

    def guide(self, kind=""):
        """(tag, text) of the blocks of docs/guide/docker.md whose tag begins with this."""
        with open(os.path.join(SOURCE, "docs", "guide", "docker.md"), encoding="utf-8") as file:
            blocks = re.findall(r"^```([^\n]*)\n(.*?)^```$", file.read(), re.M | re.S)
        return [block for block in blocks if block[0].startswith(kind)]

    def test_guide(self):
        """docs/guide/docker.md, command by command."""
        blocks = self.guide()
        run = 0
        for i, (tag, text) in enumerate(blocks):
            if tag.startswith("json /"):
                write(tag.split()[1], text)
            elif tag == "sh vm":
                run += 1
                result = command("bash", "-euo", "pipefail", "-c", text, timeout=300)
                self.assertEqual(result.returncode, 0, text + result.stderr)
                self.assertEqual(blocks[i + 1], ("text output", result.stdout), text + result.stderr)
        self.assertEqual(run, 2)


def wants_network():
    """Docker 28's script does, and takes the host's no more."""
    with open(rootless_script(), encoding="utf-8") as file:
        return '"$net" = host' in file.read()


@unittest.skipUnless(rootless_script(), "there is no dockerd-rootless.sh; put Debian's docker.io and rootlesskit into $PATH")
@unittest.skipIf(rootless_script() and wants_network(), "this dockerd-rootless.sh wants a network of its own")
class Rootless(TestCase):
    """An ordinary user's, with profiles of his own. No network: that would want slirp4netns."""

    def setUp(self):
        super().setUp()
        directory = tempfile.mkdtemp(prefix="rootless-", dir="/tmp")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        os.chmod(directory, 0o711)
        home = os.path.join(directory, "home")
        os.mkdir(home)
        self.user = User(home)
        self.addCleanup(self.user.forgotten)
        self.user.write_profile("web", WEB)
        self.user.write_profile("sessions", profile(entry({"program": ["/bin/probe"]})))
        write(home + "/daemon.json", json.dumps({"runtimes": {"landlock": {"path": RUNTIME}},
                                                 "default-runtime": "landlock"}))
        command("tar", "-C", self.bundle().rootfs, "-cf", home + "/tar", ".", check=True)
        # As the package has it: what is not there yet when the daemon starts, its own /etc never has.
        os.makedirs("/etc/oci-landlock", exist_ok=True)
        # As above, but inside of what the script makes.
        write(home + "/containerd.toml", NO_PODS)
        write(home + "/bin/dockerd", f"""#!/bin/sh
socket={home}/containerd.sock
setpriv --pdeathsig KILL containerd --config {home}/containerd.toml --address $socket --root {home}/containerd \\
    --state {self.user.state}/containerd &
until [ -S $socket ]; do kill -0 $! && sleep 0.1 || exit; done
exec {shutil.which("dockerd")} --containerd $socket "$@"
""")
        os.chmod(home + "/bin/dockerd", 0o755)
        self.user.owns()
        with open(os.path.join(directory, "log"), "w+", encoding="utf-8") as log:
            daemon = subprocess.Popen(self.user.words(
                "env", f"PATH={home}/bin:{os.environ['PATH']}", "DOCKERD_ROOTLESS_ROOTLESSKIT_NET=host",
                "DOCKERD_ROOTLESS_ROOTLESSKIT_PORT_DRIVER=none", rootless_script(), "--config-file",
                home + "/daemon.json", "--iptables=false", "--ip-forward=false", "--bridge=none", "--storage-driver=vfs"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.addCleanup(daemon.wait, 60)
            self.addCleanup(daemon.terminate)

            def answers():
                self.assertIsNone(daemon.poll())
                # Not its version: asked for that without a network of its own, Docker 26 panics.
                return self.docker("ps").returncode == 0
            try:
                wait_for(answers, "it answers", 180)
            except AssertionError:
                log.seek(0)
                self.fail(log.read()[-3000:])
        self.assertEqual(self.docker("import", home + "/tar", "probe").returncode, 0)

    def docker(self, *words):
        return self.user.run("docker", "--host", f"unix://{self.user.state}/docker.sock", *words, timeout=300)

    def run_(self, *options):
        return self.docker("run", "--rm", "--network=none", *options, "probe", *READS)

    def test_a_user_of_his_own(self):
        """The entrypoint is restricted, over a restart, too; a session is not covered. What cannot be had does not
        run, and the node's baseline counts, though the engine has an /etc of its own."""
        self.assertEqual(lines(self.run_()), [FREE])
        self.assertEqual(lines(self.run_("--env", "OCI_LANDLOCK_PROFILE=web")), [RESTRICTED])
        for name, why in (("nosuch", self.user.profiles + "/nosuch.json"), ("sessions", "entrypoint")):
            result = self.run_("--env", f"OCI_LANDLOCK_PROFILE={name}")
            self.assertEqual((result.returncode, result.stdout), (125, ""), result.stderr)
            self.assertIn(why, result.stderr)
        started = self.docker("run", "--detach", "--name=web", "--network=none", "--env", "OCI_LANDLOCK_PROFILE=web",
                              "probe", "/bin/sh", "-c", "/bin/probe read /etc/secret; exec /bin/sleep 1000")
        self.assertEqual(started.returncode, 0, started.stderr)
        wait_for(lambda: lines(self.docker("logs", "web")) == [RESTRICTED], "it has read", 120)
        self.assertEqual(self.docker("restart", "--time=0", "web").returncode, 0)
        wait_for(lambda: lines(self.docker("logs", "web")) == [RESTRICTED] * 2, "it has read again", 120)
        self.assertEqual(lines(self.docker("exec", "web", *READS)), [FREE])
        found = json.loads(self.user.run(OCI_LANDLOCK, "status", "--json").stdout)["containers"]
        self.assertEqual([(item["id"], item["applied"]) for item in found], [(started.stdout.strip(), True)])
        self.assertEqual(self.docker("rm", "--force", "web").returncode, 0)
        wait_for(lambda: not os.listdir(self.user.state + "/oci-landlock/launch"), "its record is gone", 60)
        with settings(baseline="web"):
            self.assertEqual(lines(self.run_()), [RESTRICTED])
