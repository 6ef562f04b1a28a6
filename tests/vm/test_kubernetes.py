# SPDX-License-Identifier: Apache-2.0
"""A cluster's administrator and its tenants, as docs/guide/kubernetes.md has it: kubelet and kube-apiserver on one node.
What containerd itself does is test_containerd's. Wants the image with them (harness/run --kubernetes)."""

import glob
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import applier
import test_containerd as containerd
from cases import kill, lines
from containers import SOURCE, TestCase, command, doctor, entry, policy, problems, profile, status
from fdstore import FdStore
from test_containerd import FREE, IMAGE, READS, RESTRICTED, SYSTEMD, WEB, guide, read

HERE = os.path.exists(os.path.join(SOURCE, "kubernetes", "kubelet"))
if HERE:
    import cluster
    from cluster import PODS, api, kubectl, output, statuses, wait_for

KEY = "io.landlock.profile"
GUIDE = "kubernetes.md"
INLINE = json.dumps(WEB)
# Of a program itself, not of sessions.
ALONE = json.dumps(profile(entry(sessions=False)))


def container(name, *words, **more):
    return {"name": name, "image": IMAGE, "imagePullPolicy": "Never", "command": words or containerd.KEEPS, **more}


def verdict(wanted):
    """A probe that is content when it cannot, or can, read what the profile denies."""
    return {"exec": {"command": ["/bin/sh", "-c", f"/bin/probe verdict; test $? = {wanted}"]}, "periodSeconds": 15,
            "timeoutSeconds": 120, "failureThreshold": 1}


CANNOT, CAN = (verdict(code) for code in (42, 43))


class Tenants:
    """Pods of the namespace `default`, and what is seen of them."""

    def begin(self, name, annotations, *containers, handler="landlock", keep=False, **spec):
        """A pod; nothing is left of it after the test, unless it is to be kept."""
        if not keep:
            self.addCleanup(self.end, name)
        api("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations},
                           "spec": {"containers": containers, "nodeName": cluster.NODE, "terminationGracePeriodSeconds": 1,
                                    **({"runtimeClassName": handler} if handler else {}), **spec}})

    def end(self, *names):
        for name in names:
            try:
                api("DELETE", f"{PODS}/{name}", {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
            except cluster.Failed as error:
                self.assertIn('"reason":"NotFound"', str(error))

    def wait_for(self, name, condition, what):
        """Until this holds of the containers of a pod."""
        wait_for(lambda: condition(statuses(name)), what,
                 said=lambda: f"{statuses(name)}\n{kubectl('describe', 'pod', name).stdout}")

    def wait_for_ready(self, name, *containers):
        self.wait_for(name, lambda found: all(item in found and found[item]["ready"] for item in containers),
                      f"{containers} of {name} are ready")

    def first(self, name, *containers):
        """What these have printed first."""
        for item in containers:
            wait_for(lambda i=item: output(name, i), f"{item} of {name} has printed a line")
        return [output(name, item)[0] for item in containers]

    def session(self, name, item):
        done = kubectl("exec", name, "--container", item, "--", *READS)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def known(self):
        """The names of what is restricted."""
        return sorted("/".join(item["names"][part] for part in ("namespace", "pod", "container"))
                      for item in status()["containers"])

    def identity(self, name, item):
        return statuses(name)[item]["containerID"].removeprefix("containerd://")

    def message(self, name, item):
        """Why this one did not start, as the server has it."""
        state = {}

        def failed():
            found = statuses(name).get(item, {})
            state.update(found.get("state", {}).get("terminated", {}))
            return state
        wait_for(failed, f"{item} of {name} has failed")
        self.assertEqual((state["reason"], state["exitCode"]), ("StartError", 128), state)
        return state["message"]


class ByHand(Tenants, TestCase):
    """A node that was set up by the guide."""

    driver = "cgroupfs"
    settings = ()  # blocks of containerd's, for this driver

    @classmethod
    def setUpClass(cls):
        # As systemd starts it.
        cls.store = FdStore()
        cls.addClassCleanup(cls.store.close)
        cls.store.start(applier.supervisor)
        cls.addClassCleanup(applier.supervisor.stop)
        containerd.set_up(cls.settings)
        cls.addClassCleanup(containerd.Daemon.stop)
        cls.cluster = cluster.Cluster(cls.driver)
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.start()
        for _, text, _ in guide("yaml administrator", GUIDE):
            done = kubectl("create", "--filename", "-", input=text)
            assert done.returncode == 0, done.stderr

    def tearDown(self):
        super().tearDown()
        self.doCleanups()
        wait_for(lambda: not status()["containers"], "the pods are gone")
        self.assertNothingLeft()


@unittest.skipUnless(HERE, "there is no kubelet in a VM; run with --kubernetes")
@unittest.skipIf(SYSTEMD, "systemd is the init; see Systemd")
@applier.inject_only("what containerd does with others is in test_containerd")
class Kubernetes(ByHand):
    def test_pod(self):
        """Each container has what is meant for it: by a profile's name, by a whole one, an init container too."""
        allowing = json.dumps(profile(entry(rules=policy(read=["/bin", "/etc"], write=["/dev"]))))
        both = ("/bin/sh", "-c", "/bin/probe read /etc/secret + read /allowed/file; exec /bin/sleep 1000")
        self.begin("shop", {KEY + "/web": "web", KEY + "/db": allowing, KEY + "/first": INLINE},
                   container("web", *both), container("db", *both), container("helper", *both),
                   initContainers=[container("first", *READS), container("second", *READS)])
        self.assertEqual(self.first("shop", "first", "second"), [RESTRICTED, FREE])
        self.wait_for_ready("shop", "web", "db", "helper")
        found = {name: [line.split(": ")[1] for line in output("shop", name)] for name in ("web", "db", "helper")}
        self.assertEqual(found, {"web": ["Permission denied", "allowed"], "db": ["allowed", "Permission denied"],
                                 "helper": ["allowed", "allowed"]})
        self.assertEqual(self.known(), ["default/shop/db", "default/shop/web"])
        self.assertEqual({item["id"] for item in status()["containers"]},
                         {self.identity("shop", name) for name in ("web", "db")})

    def test_whole_pod(self):
        """One for all that have none of their own, init containers and a misspelt name too."""
        allowing = json.dumps(profile(entry(rules=policy(read=["/bin", "/etc"], write=["/dev"]))))
        self.begin("shop", {KEY: "web", KEY + "/db": allowing, KEY + "/wbe": allowing},
                   container("web"), container("db"), initContainers=[container("first", *READS)])
        self.assertEqual(self.first("shop", "first", "web", "db"), [RESTRICTED, RESTRICTED, FREE])
        self.assertEqual(self.known(), ["default/shop/db", "default/shop/web"])

    def test_nobody_tells(self):
        """What the guide says of pods that ask in vain, beside one that asks for nothing."""
        self.begin("bare", {KEY: "web"}, container("web"), handler=None)
        self.begin("shop", {KEY + "/wbe": "web"}, container("web"))
        self.begin("quiet", {}, container("web"))
        self.assertEqual([self.first(pod, "web") for pod in ("bare", "shop", "quiet")], [[FREE]] * 3)
        self.assertEqual([self.session(pod, "web") for pod in ("bare", "shop", "quiet")], [FREE] * 3)
        self.assertEqual(self.known(), [])

    def test_node_without_handler(self):
        """A class that this node does not have: the pod does not run at all, and the node says why."""
        classes = "/apis/node.k8s.io/v1/runtimeclasses"
        api("POST", classes, {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "elsewhere"},
                              "handler": "nowhere"})
        self.addCleanup(api, "DELETE", classes + "/elsewhere")
        self.begin("shop", {KEY: "web"}, container("web"), handler="elsewhere")
        wait_for(lambda: 'no runtime for "nowhere" is configured' in kubectl("describe", "pod", "shop").stdout,
                 "the node says that it has no such handler")
        self.assertEqual(output("shop", "web"), [])
        self.assertEqual(kubectl("get", "pod", "shop", "--output", "jsonpath={.status.phase}").stdout, "Pending")

    def test_misspelt(self):
        """Behind our prefix: none of the pod's containers starts, whichever was meant."""
        self.begin("shop", {"io.landlock.profil/web": "web"}, container("web"), container("helper"),
                   restartPolicy="Never")
        for name in ("web", "helper"):
            self.assertIn("annotation io.landlock.profil/web: unknown; there are io.landlock.profile, ",
                          self.message("shop", name))
        self.assertEqual(self.known(), [])

    def test_hostile(self):
        """What a tenant can write is the tenant's own trouble: what runs goes on, and others begin."""
        self.begin("good", {KEY: "web"}, container("web"))
        self.assertEqual(self.first("good", "web"), [RESTRICTED])
        escapes = "\x1b]0;owned\x07\x1b[2J\x9b31m\n"
        wide = {"entries": [entry(name=f"e{number}", rules=policy(read=["/bin"] * 20)) for number in range(300)]}
        wrong = {"deep": "[" * 60_000, "wide": json.dumps(wide), "escapes": escapes * 500,
                 "field": json.dumps({"entries": [{escapes * 40: 1}]})}
        self.begin("hostile", {f"{KEY}/{name}": wanted for name, wanted in wrong.items()},
                   *(container(name) for name in wrong), restartPolicy="Never")
        for name in wrong:
            with self.subTest(name):
                message = self.message("hostile", name)
                self.assertLess(len(message), 1500)
                self.assertRegex(message, r"stderr: oci-landlock: container [0-9a-f]{64} \(default/hostile/")
                self.assertNotRegex(message, "[^ -~]")
        self.begin("later", {KEY: "web"}, container("web"))
        self.assertEqual(self.first("later", "web"), [RESTRICTED])
        self.assertEqual(self.session("good", "web"), RESTRICTED)
        self.assertEqual(self.known(), ["default/good/web", "default/later/web"])

    def test_restarts(self):
        """Of kubelet, containerd and the supervisor, each killed: what runs stays as it is, and what comes is
        restricted. A pod that is deleted by force while kubelet is down is gone once it is back."""
        kubelet = self.cluster.kubelet

        def supervisor():
            applier.supervisor.kill()
            self.store.start(applier.supervisor)

        def engine():
            containerd.Daemon.kill()
            containerd.Daemon.start()

        def kubelet_too():
            kubelet.kill()
            kubelet.start()

        self.begin("shop", {KEY: "web"}, container("web"))
        self.assertEqual(self.first("shop", "web"), [RESTRICTED])
        for number, restart in enumerate((supervisor, engine, kubelet_too)):
            with self.subTest(restart.__name__):
                restart()
                wait_for(lambda: kubectl("exec", "shop", "--", "/bin/true").returncode == 0, "sessions are answered")
                self.assertEqual(self.session("shop", "web"), RESTRICTED)
                self.assertEqual(statuses("shop")["web"]["restartCount"], 0)
                self.begin(f"later{number}", {KEY: "web"}, container("web"))
                self.assertEqual(self.first(f"later{number}", "web"), [RESTRICTED])
        kubelet.kill()
        self.end("shop")
        self.assertIn("default/shop/web", self.known())
        kubelet.start()
        wait_for(lambda: "default/shop/web" not in self.known(), "what was deleted is gone")

    def test_sessions(self):
        """Probes and `kubectl exec` come in as sessions, of which the profile may say something else."""
        self.begin("shop", {KEY + "/web": "web", KEY + "/alone": ALONE},
                   container("web", livenessProbe=CANNOT, readinessProbe=CANNOT),
                   container("alone", livenessProbe=CAN, readinessProbe=CAN),
                   container("helper", livenessProbe=CAN, readinessProbe=CAN),
                   container("never", readinessProbe=CANNOT), restartPolicy="Never")
        self.wait_for_ready("shop", "web", "alone", "helper")
        self.assertEqual(self.first("shop", "web", "alone", "helper"), [RESTRICTED, RESTRICTED, FREE])
        self.assertEqual([self.session("shop", name) for name in ("web", "alone", "helper")],
                         [RESTRICTED, FREE, FREE])
        self.assertEqual(kubectl("exec", "shop", "--container", "web", "--", "/bin/sh", "-c", "exit 5").returncode, 5)
        found = statuses("shop")
        # Else what is above would prove nothing.
        self.assertFalse(found["never"]["ready"])
        self.assertEqual([item["restartCount"] for item in found.values()], [0] * 4)

    def test_refusals(self):
        """`kubectl describe pod` has what is wrong, in one line; what is right runs."""
        wrong = {"name": ("nosuch", r'no profile "nosuch": tried /etc/oci-landlock/profiles/nosuch\.json and '),
                 "syntax": ('{\n"entries": [', rf"annotation {KEY}/syntax, line 2: no valid JSON: "),
                 "field": ('{"entires": []}', rf"annotation {KEY}/field: .*entires"),
                 "right": (INLINE.replace("abi.read_write", "raed_file"), rf"annotation {KEY}/right: .*raed_file"),
                 "path": (json.dumps(profile(entry(rules=policy(read=["/nowhere"])))), r".*/nowhere")}
        self.begin("shop", {f"{KEY}/{name}": wanted for name, (wanted, _) in wrong.items()},
                   *(container(name) for name in wrong), container("helper"), restartPolicy="Never")
        self.assertEqual(self.first("shop", "helper"), [FREE])
        for name in wrong:
            self.message("shop", name)
        described = kubectl("describe", "pod", "shop", check=True).stdout
        told = dict(re.findall(r"^  (\w+):\n    Container ID:(?:.*\n)*?      Message: +(.*)$", described, re.M))
        for name, (_, why) in wrong.items():
            with self.subTest(name):
                self.assertRegex(told[name], rf"^failed to create containerd task: [^\n]{{,250}}, stderr: oci-landlock: "
                                 rf"container [0-9a-f]{{64}} \(default/shop/{name}\): {why}[^\n]{{,600}}: unknown$")
        self.assertEqual(self.known(), [])

    def test_container_restart(self):
        """Its main process is killed, and kubelet starts it again."""
        self.begin("shop", {KEY + "/web": "web"}, container("web"), container("helper"))
        self.assertEqual(self.first("shop", "web", "helper"), [RESTRICTED, FREE])
        old = self.identity("shop", "web")
        pid, = [line.split()[1] for line in lines(command("ctr", "--namespace", "k8s.io", "tasks", "list"))
                if line.startswith(old)]
        kill(int(pid), signal.SIGKILL)
        self.wait_for("shop", lambda found: found["web"]["restartCount"] == 1 and found["web"]["ready"],
                      "web is started again")
        new = self.identity("shop", "web")
        self.assertNotEqual(old, new)
        ended = statuses("shop")["web"]["lastState"]["terminated"]
        self.assertEqual(ended["exitCode"], 128 + signal.SIGKILL)
        self.assertEqual(self.first("shop", "web"), [RESTRICTED])
        self.assertEqual(self.session("shop", "web"), RESTRICTED)
        self.assertEqual([item["id"] for item in status()["containers"]], [new])

    def test_cgroups(self):
        """Containers stay below their pod, and within its limits."""
        limits = {"limits": {"cpu": "500m", "memory": "64Mi"}}
        self.begin("shop", {KEY + "/web": "web"}, container("web", resources=limits), container("helper"))
        self.assertEqual(self.first("shop", "web", "helper"), [RESTRICTED, FREE])
        identity = self.identity("shop", "web")
        inside, = [path for path, _, _ in os.walk("/sys/fs/cgroup") if identity in os.path.basename(path)]
        uid = api("GET", f"{PODS}/shop")["metadata"]["uid"]
        self.assertEqual(inside, f"/sys/fs/cgroup/kubepods/burstable/pod{uid}/{identity}")
        self.assertEqual(read(inside + "/memory.max").strip(), str(64 << 20))
        self.assertEqual(self.session("shop", "web"), RESTRICTED)
        found = {name: item for name, item in doctor()[1].items() if name.startswith("containerd")}
        self.assertEqual(problems(found), [])

    def test_guide(self):
        """docs/guide/kubernetes.md, command by command, with nobody but us to schedule. What is shipped is what is
        there."""
        command("ctr", "--namespace", "k8s.io", "images", "tag", IMAGE, "docker.io/library/shop:1.0", check=True)
        for tag, text, _ in guide("json /", GUIDE):
            containerd.write(tag.split()[1], text)
        directory = tempfile.mkdtemp(prefix="guide-", dir="/tmp")
        self.addCleanup(shutil.rmtree, directory)
        self.addCleanup(self.end, "shop", "wrong")
        files = {tag.split()[1]: text for tag, text, _ in guide("yaml ", GUIDE)}
        for name in ("pod.yaml", "wrong.yaml"):
            containerd.write(os.path.join(directory, name), files[name])
        for _, text, after in guide("sh vm", GUIDE):
            with subprocess.Popen(["bash", "-euo", "pipefail", "-c", text], cwd=directory, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shell:
                while shell.poll() is None:
                    cluster.schedule()
                    time.sleep(0.5)
                printed, complaints = shell.communicate()
            cluster.schedule()  # what it has made last
            self.assertEqual(after, ("text output", printed), text + complaints)
            self.assertEqual(shell.returncode, 0, text + complaints)
        self.assertEqual(len(guide("sh vm", GUIDE)), 3)
        (_, text, (_, wanted)), = guide("sh describe", GUIDE)
        self.message("wrong", "web")
        described = command("bash", "-euo", "pipefail", "-c", text, check=True).stdout
        for line in wanted.splitlines():
            self.assertRegex(described, "(?m)^" + re.escape(line).replace(r"\[\.\.\.\]", ".*") + "$")
        shipped = read(os.path.join(SOURCE, "hooks", "kubernetes", "runtimeclass.yaml"))
        self.assertEqual(re.sub("^#.*\n", "", shipped, flags=re.M), files["administrator"])


@unittest.skipUnless(HERE, "there is no kubelet in a VM; run with --kubernetes")
@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
@applier.inject_only("what containerd does with others is in test_containerd")
class Systemd(ByHand):
    """A kubelet that has systemd make the cgroups of its pods."""

    driver = "systemd"
    settings = guide("toml systemd") if HERE else ()

    def slice(self, name, kind):
        """The directory of this pod."""
        uid = api("GET", f"{PODS}/{name}")["metadata"]["uid"].replace("-", "_")
        return f"/sys/fs/cgroup/kubepods.slice/kubepods-{kind}.slice/kubepods-{kind}-pod{uid}.slice"

    def test_pod(self):
        """Profiles by name and whole ones, and sessions; a neighbour is free. Each stays below its pod, with its
        limits. When the pod is deleted, nothing is left."""
        limits = {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}}
        names = ("web", "db", "helper")
        self.begin("shop", {KEY + "/web": "web", KEY + "/db": INLINE},
                   *(container(name, resources=limits) for name in names))
        self.assertEqual(self.first("shop", *names), [RESTRICTED, RESTRICTED, FREE])
        self.assertEqual([self.session("shop", name) for name in names], [RESTRICTED, RESTRICTED, FREE])
        self.assertEqual(self.known(), ["default/shop/db", "default/shop/web"])
        pod = self.slice("shop", "burstable")
        self.assertEqual([read(f"{pod}/{file}").strip() for file in ("memory.max", "cpu.max")],
                         [str(3 * 64 << 20), "150000 100000"])
        for name in names:
            scope = f"{pod}/cri-containerd-{self.identity('shop', name)}.scope"
            self.assertEqual([read(f"{scope}/{file}").strip() for file in ("memory.max", "cpu.max")],
                             [str(64 << 20), "50000 100000"], name)
            self.assertIn("sleep", [read(f"/proc/{pid}/comm").strip() for pid in read(f"{scope}/cgroup.procs").split()])
        self.end("shop")
        wait_for(lambda: not os.path.exists(pod), "the pod's cgroup is gone")
        self.assertEqual(status()["containers"], [])

    def test_memory(self):
        """A session that takes more than its container may have is killed; the container goes on, restricted."""
        self.begin("shop", {KEY: "web"}, container("web", resources={"limits": {"memory": "32Mi"}}))
        self.assertEqual(self.first("shop", "web"), [RESTRICTED])
        done = kubectl("exec", "shop", "--", "/bin/sh", "-c", "x=xxxxxxxxxxxxxxxx; while :; do x=$x$x; done")
        self.assertEqual(done.returncode, 128 + signal.SIGKILL, done.stderr)
        scope = f"{self.slice('shop', 'burstable')}/cri-containerd-{self.identity('shop', 'web')}.scope"
        self.assertNotIn("oom_kill 0", read(scope + "/memory.events").splitlines())
        self.assertEqual(self.session("shop", "web"), RESTRICTED)
        self.assertEqual(statuses("shop")["web"]["restartCount"], 0)

    def test_handler_of_the_other_driver(self):
        """The guide's other handler, which it gives no SystemdCgroup: outside of its pod, and doctor says so."""
        classes = "/apis/node.k8s.io/v1/runtimeclasses"
        api("POST", classes, {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "wrapped"},
                              "handler": "wrapped"})
        self.addCleanup(api, "DELETE", classes + "/wrapped")
        found = {name: item for name, item in doctor()[1].items() if name.startswith("containerd")}
        self.assertEqual(problems(found), ["containerd.cgroups"])
        self.assertIn("the handler wrapped makes cgroups in another way", found["containerd.cgroups"]["message"])
        self.begin("shop", {KEY: "web"}, container("web"), handler="wrapped")
        self.assertEqual(self.first("shop", "web"), [RESTRICTED])
        inside, = [path for path, _, _ in os.walk("/sys/fs/cgroup")
                   if self.identity("shop", "web") in os.path.basename(path)]
        self.assertEqual(os.path.dirname(inside), "/sys/fs/cgroup")


PINS = "/sys/fs/bpf/oci-landlock"
DIRECTORY = "/opt/oci-landlock"
PROGRAMS = [f"{DIRECTORY}/{name}" for name in ("oci-landlock", "oci-landlock-runtime")]
UNITS = ("oci-landlock.service", "oci-landlock-supervisor.service")
ARCHIVE = os.path.join(SOURCE, "build", "kubernetes", "oci-landlock.tar")
KUSTOMIZATION = os.path.join(SOURCE, "packaging", "kubernetes", "node")
OURS = "oci-landlock"
NEXT = "localhost/oci-landlock:next"


def import_image(path):
    command("ctr", "--namespace", "k8s.io", "images", "import", path, check=True)


def image_with_other_programs(directory):
    """As the one that is shipped, of programs that are some bytes longer. Returns what those are."""
    files = os.path.join(directory, "files")
    os.mkdir(files)
    command("tar", "-C", directory, "-xf", ARCHIVE, check=True)
    blobs = os.path.join(directory, "blobs", "sha256")
    layer = max((os.path.join(blobs, name) for name in os.listdir(blobs)), key=os.path.getsize)
    command("tar", "-C", files, "--strip-components=3", "-xf", layer, "./usr/bin", check=True)
    command("tar", "-C", files, "--strip-components=5", "-xf", layer, "./usr/lib/systemd/system", check=True)
    for name in ("oci-landlock", "oci-landlock-runtime"):
        with open(os.path.join(files, name), "ab") as file:
            file.write(b"the next version")
    output = os.path.join(directory, "next.tar")
    command(os.path.join(SOURCE, "packaging", "kubernetes", "image"), "--files", files, "--name", NEXT, output,
            check=True)
    import_image(output)
    return {name: containerd.digest(os.path.join(files, name)) for name in ("oci-landlock", "oci-landlock-runtime")}


class OnNode(Tenants):
    """A cluster to which our DaemonSet comes. What its controller does, is done here."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        # Debian's runtimes want it to be there once AppArmor is.
        containerd.write("/etc/apparmor/parser.conf", "")
        command("systemctl", "start", "containerd.service", timeout=600, check=True)
        wait_for(lambda: command("ctr", "version").returncode == 0, "containerd answers")
        # What is on the disk already would only get another name.
        if IMAGE not in lines(command("ctr", "--namespace", "k8s.io", "images", "list", "--quiet")):
            containerd.import_images()
            import_image(ARCHIVE)
        cls.cluster = cluster.Cluster()
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.start()

    def api(self, method, path, body=None):
        return api(method, f"/api/v1/namespaces/{OURS}/pods{path}", body)

    def roll_out(self, name):
        """As the controller does it: the pod of before goes, and then comes one of what is wanted now."""
        for pod in self.api("GET", "")["items"]:
            self.api("DELETE", "/" + pod["metadata"]["name"])
        wait_for(lambda: not self.api("GET", "")["items"], "the pod of before is gone")
        template = self.template()
        self.api("POST", "", {"apiVersion": "v1", "kind": "Pod",
                              "metadata": {"name": name, "labels": template["metadata"]["labels"]},
                              "spec": {**template["spec"], "nodeName": cluster.NODE}})

    def template(self):
        return api("GET", f"/apis/apps/v1/namespaces/{OURS}/daemonsets/{OURS}")["spec"]["template"]

    def state(self, name):
        """Of its containers, by their names."""
        found = self.api("GET", "/" + name)["status"]
        return {item["name"]: item for key in ("initContainerStatuses", "containerStatuses")
                for item in found.get(key, ())}

    def wait_until_done(self, name, patient=False):
        """`patient`: it may have to be tried again."""
        complaint = ""

        def done():
            nonlocal complaint
            complaint = self.complaint(name)
            if complaint and not patient:
                journal = command("journalctl", "--no-pager", "--lines=30").stdout
                raise AssertionError(f"{name}: {complaint}\n{journal}")
            return self.state(name).get("wait", {}).get("ready")
        wait_for(done, f"{name} is Ready", said=lambda: complaint)

    def complaint(self, name):
        """What its first container has ended with, when it has failed."""
        found = self.state(name).get("node", {})
        ended = found.get("state", {}).get("terminated") or found.get("lastState", {}).get("terminated") or {}
        return ended.get("message", "") if ended.get("exitCode") else ""

    def supervisor(self):
        return command("systemctl", "show", "--property=MainPID", "--value", UNITS[1], check=True).stdout.strip()

    def end_of_tenants(self, *names):
        self.end(*names)
        wait_for(lambda: not status()["containers"], "the pods are gone")

    def end_of_namespace(self):
        """It is deleted, and what is in it goes before it does."""
        for pod in self.api("GET", "")["items"]:
            self.api("DELETE", "/" + pod["metadata"]["name"], {"kind": "DeleteOptions", "apiVersion": "v1",
                                                               "gracePeriodSeconds": 0})
        path = f"/api/v1/namespaces/{OURS}"
        found = api("GET", path)
        self.assertIn("deletionTimestamp", found["metadata"])
        api("PUT", path + "/finalize", {**found, "spec": {"finalizers": []}})

    def assertNodeIsClean(self):
        for path in (PINS, "/run/oci-landlock", containerd.PROFILES,
                     *("/etc/systemd/system/" + unit for unit in UNITS)):
            self.assertFalse(os.path.exists(path), path)
        self.assertEqual(command("systemctl", "is-active", *UNITS).stdout.split(), ["inactive"] * 2)


@unittest.skipUnless(HERE, "there is no kubelet in a VM; run with --kubernetes")
@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
@applier.inject_only("it is the one whose supervisor must outlive the pod")
class Node(OnNode, unittest.TestCase):
    """The DaemonSet that installs us, by the manifest that is shipped."""

    def test_same(self):
        """What kustomize lets nobody share is the same elsewhere."""
        (_, text, _), = guide("json /", GUIDE)
        self.assertEqual(json.loads(text), json.loads(read(KUSTOMIZATION + "/profiles/programs.json")))
        self.assertEqual(read(KUSTOMIZATION + "/runtimeclass.yaml"),
                         read(os.path.join(SOURCE, "hooks", "kubernetes", "runtimeclass.yaml")))

    def test_life(self):
        """Installed, replaced by the next version, and taken away, with a restricted pod there all the while that it
        may be there."""
        before = read(containerd.SETTINGS)
        kubectl("apply", "--kustomize", KUSTOMIZATION, check=True)
        self.roll_out("first")
        self.wait_until_done("first")
        for path in PROGRAMS:
            found = os.stat(path)
            self.assertEqual((found.st_uid, found.st_gid, found.st_mode & 0o7777), (0, 0, 0o755), path)
        self.assertEqual(command("systemctl", "is-enabled", *UNITS).stdout.split(), ["enabled"] * 2)
        self.assertEqual(command("systemctl", "is-active", *UNITS).stdout.split(), ["active"] * 2)
        self.assertEqual(read(containerd.PROFILES + "/programs.json"), read(KUSTOMIZATION + "/profiles/programs.json"))
        self.assertEqual(os.stat(containerd.PROFILES + "/programs.json").st_mode & 0o7777, 0o644)
        self.assertEqual(problems({name: item for name, item in doctor()[1].items() if name.startswith("containerd")}),
                         [])
        self.begin("shop", {KEY + "/web": "programs"}, container("web"), container("helper"))
        self.assertEqual(self.first("shop", "web", "helper"), [RESTRICTED, FREE])
        self.assertEqual([self.session("shop", name) for name in ("web", "helper")], [RESTRICTED, FREE])

        # Another version. Meanwhile sessions come and go, and a pod begins.
        directory = tempfile.mkdtemp(prefix="next-", dir="/tmp")
        self.addCleanup(shutil.rmtree, directory)
        wanted = image_with_other_programs(directory)
        old, identity = self.supervisor(), self.identity("shop", "web")
        seen, over = [], threading.Event()

        def look():
            while not over.is_set():
                done = command("runc", "--root", "/run/containerd/runc/k8s.io", "exec", identity, *READS)
                seen.append(done.stdout.strip() or done.stderr)
        looking = threading.Thread(target=look)
        looking.start()
        try:
            kubectl("--namespace", OURS, "set", "image", "daemonset/" + OURS, "node=" + NEXT, "wait=" + NEXT, check=True)
            self.roll_out("second")
            self.begin("meanwhile", {KEY: "programs"}, container("web"))
            self.wait_until_done("second")
            self.assertEqual(self.first("meanwhile", "web"), [RESTRICTED])
        finally:
            over.set()
            looking.join()
        # One that has to wait for the new supervisor for more than 5 s is denied, and an emulated node may be so slow.
        self.assertLessEqual(set(seen), {RESTRICTED, "exec /bin/probe: operation not permitted"})
        self.assertEqual((seen[0], self.session("shop", "web")), (RESTRICTED, RESTRICTED))
        self.assertEqual({os.path.basename(path): containerd.digest(path) for path in PROGRAMS}, wanted)
        self.assertNotEqual(self.supervisor(), old)
        self.assertEqual(self.session("shop", "web"), RESTRICTED)
        self.assertEqual([item["restartCount"] for item in statuses("shop").values()], [0, 0])
        self.assertEqual(self.known(), ["default/meanwhile/web", "default/shop/web"])

        # Away with it: not before its containers are, and no new ones come. What is not ours stays.
        containerd.write(DIRECTORY + "/of-others", "")
        (_, remove, _), = guide("sh remove", GUIDE)
        command("bash", "-euo", "pipefail", "-c", remove.splitlines()[0], check=True)
        self.roll_out("third")
        wait_for(lambda: "of the handler landlock" in self.complaint("third"), "it waits for the pods")
        self.assertEqual(self.session("shop", "web"), RESTRICTED)
        self.begin("late", {KEY: "programs"}, container("web"))
        wait_for(lambda: 'no runtime for "landlock" is configured' in kubectl("describe", "pod", "late").stdout,
                 "no new pod begins")
        self.assertEqual(self.known(), ["default/meanwhile/web", "default/shop/web"])
        self.end_of_tenants("shop", "meanwhile", "late")
        self.wait_until_done("third", patient=True)
        self.assertEqual(read(containerd.SETTINGS), before)
        self.assertEqual(os.listdir(DIRECTORY), ["of-others"])
        self.assertNodeIsClean()
        kubectl("delete", "--wait=false", "--kustomize", KUSTOMIZATION, check=True)
        self.end_of_namespace()


@unittest.skipUnless(HERE, "there is no kubelet in a VM; run with --kubernetes")
@unittest.skipUnless(HERE and os.path.exists(cluster.HELM), "there is no Helm in the VM: npm brings it to the machine")
@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
@applier.inject_only("it is the one whose supervisor must outlive the pod")
class Chart(OnNode, unittest.TestCase):
    """The same by Helm, by the guide's commands."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        shutil.copy(cluster.HELM, "/usr/local/bin")

    def run_lines(self, tag, wanted=slice(None)):
        (_, text, _), = guide(tag, GUIDE)
        command("bash", "-euo", "pipefail", "-c", "\n".join(text.splitlines()[wanted]), timeout=600, cwd=SOURCE,
                check=True)

    def test_life(self):
        """Installed, given other profiles, and taken away, with a restricted pod there that stays so."""
        before = read(containerd.SETTINGS)
        self.run_lines("sh helm install")
        self.roll_out("first")
        self.wait_until_done("first")
        self.assertEqual(os.listdir(containerd.PROFILES), ["programs.json"])
        self.begin("shop", {KEY + "/web": "programs"}, container("web"), container("helper"))
        self.assertEqual(self.first("shop", "web", "helper"), [RESTRICTED, FREE])

        (_, values, _), = guide("yaml values.yaml", GUIDE)
        containerd.write(os.path.join(SOURCE, "values.yaml"), values)
        old = self.template()
        self.run_lines("sh helm upgrade")
        # What the controller makes new pods for.
        self.assertNotEqual(self.template(), old)
        self.roll_out("second")
        self.wait_until_done("second")
        self.assertEqual(os.listdir(containerd.PROFILES), ["web.json"])
        self.begin("later", {KEY: "web"}, container("web"))
        self.assertEqual(self.first("later", "web"), [RESTRICTED])
        self.assertEqual(self.session("shop", "web"), RESTRICTED)
        self.assertEqual(self.known(), ["default/later/web", "default/shop/web"])
        self.end_of_tenants("shop", "later")

        self.run_lines("sh helm remove", slice(1))
        self.roll_out("third")
        self.wait_until_done("third", patient=True)
        self.assertEqual(read(containerd.SETTINGS), before)
        self.assertNodeIsClean()
        self.run_lines("sh helm remove", slice(2, None))
        for path in (f"/apis/apps/v1/namespaces/{OURS}/daemonsets", f"/api/v1/namespaces/{OURS}/configmaps",
                     "/apis/node.k8s.io/v1/runtimeclasses"):
            self.assertEqual(api("GET", path)["items"], [], path)
        self.end_of_namespace()


@unittest.skipUnless(HERE, "there is no kubelet in a VM; run with --kubernetes")
@unittest.skipUnless(SYSTEMD, "systemd is not the init; run with --systemd")
@applier.inject_only("it is the one whose supervisor must outlive the pod")
class Reboot(OnNode, unittest.TestCase):
    """A node that boots again (harness/run --reboots): the suite is run once before, and once after."""

    booted = os.path.exists(f"{DIRECTORY}/oci-landlock")

    @classmethod
    def setUpClass(cls):
        if cls.booted:
            # What boots of its own is of no use in a VM but for these; all at once, as then.
            cls.enabled = command("systemctl", "is-enabled", *UNITS, "containerd.service").stdout.split()
            containerd.write("/run/systemd/system/node.target",
                             f"[Unit]\nWants={' '.join(UNITS)} containerd.service\n")
            command("systemctl", "daemon-reload", check=True)
            command("systemctl", "start", "node.target", timeout=600, check=True)
        super().setUpClass()

    def test_reboot(self):
        """Its pods come back, restricted as before; and so does the DaemonSet's."""
        if not self.booted:
            self.before()
            return
        self.assertEqual(self.enabled, ["enabled"] * 3)
        times = [int(command("systemctl", "show", "--property=" + name, "--value", unit, check=True).stdout)
                 for name, unit in (("ActiveEnterTimestampMonotonic", UNITS[0]),
                                    ("ActiveEnterTimestampMonotonic", UNITS[1]),
                                    ("ExecMainStartTimestampMonotonic", "containerd.service"))]
        self.assertEqual(times, sorted(times))
        self.assertNotIn(0, times)
        self.wait_for("shop", lambda found: all(item["restartCount"] and item["ready"] for item in found.values()),
                      "the containers are started again")
        self.assertEqual(self.first("shop", "web", "helper"), [RESTRICTED, FREE])
        self.assertEqual([self.session("shop", name) for name in ("web", "helper")], [RESTRICTED, FREE])
        self.assertEqual(self.known(), ["default/shop/web"])
        # Of those that kubelet keeps of each container, and of what it may have tried before.
        logs = glob.glob("/var/log/pods/default_shop_*/web/*.log")
        self.assertGreater(len(logs), 1)
        for log in logs:
            self.assertNotIn(FREE, read(log))
        wait_for(lambda: self.state("first").get("wait", {}).get("restartCount"), "the DaemonSet's pod is started again")
        self.wait_until_done("first")
        self.assertEqual(command("systemctl", "is-active", *UNITS).stdout.split(), ["active"] * 2)
        self.assertEqual(self.session("shop", "web"), RESTRICTED)

    def before(self):
        kubectl("apply", "--kustomize", KUSTOMIZATION, check=True)
        self.roll_out("first")
        self.wait_until_done("first")
        self.begin("shop", {KEY + "/web": "programs"}, container("web"), container("helper"), keep=True)
        self.assertEqual(self.first("shop", "web", "helper"), [RESTRICTED, FREE])
        containerd.write("/run/vm/reboot", "")
