# SPDX-License-Identifier: Apache-2.0
"""What `events` sees denials by: each source that the kernel has. Audit records want `--append audit=1` and Linux 6.15."""

import contextlib
import functools
import json
import os
import re
import shutil
import signal
import tempfile
import unittest
import urllib.request

import applier
from cases import PATIENCE, wait_for
from containers import (OCI_LANDLOCK, RUNTIMES, TestCase, command, entry, install_profiles, oci_landlock, policy,
                        profile)
from direct import FULL, KERNEL
from test_events import ADDRESS, EXACT, watching

DIRECTORY = "/etc/oci-landlock/profiles"
NGINX = """
    daemon off; user www-data; pid /run/nginx.pid; error_log /dev/null; events {}
    http { access_log off; server { listen 127.0.0.1:80; root /var/www/html; location = /data { alias /opt/data; } } }
"""


def lost(seen, source):
    """But for what audit says that it has lost, which may be to the kernel's log alone; and for what a program at a hook
    was skipped for, which may be an access of anybody's that was not denied."""
    return [event for event in seen.events("lost")
            if "audit says" not in event["why"] and (source != "hooks" or "container" in event)]


def served():
    with urllib.request.urlopen(f"http://{ADDRESS}/metrics", timeout=60 * PATIENCE) as answer:
        return answer.read().decode()


def audited():
    """Whether there are audit records of Landlock's here."""
    with open("/proc/cmdline", encoding="ascii") as file:
        enabled = re.findall(r"\baudit=(\d)", file.read())[-1:] == ["1"]
    return enabled and KERNEL >= (6, 15)


@functools.cache
def sources():
    """What is to be tested here. BPF may be refused to all of a machine."""
    found = (["tracepoints"] if EXACT else ["hooks"]) + (["audit"] if audited() else [])
    if applier.LAUNCH:
        with watching("--json") as seen:
            head = seen.events()[0]
        if head["source"] == "none":
            if "Operation not permitted" not in head["why"]:
                raise AssertionError(head)
            raise unittest.SkipTest("this machine lets nobody load BPF programs")
    return found


class Sources(TestCase):
    def setUp(self):
        super().setUp()
        if not applier.LAUNCH:
            self.assertEqual(oci_landlock("load").returncode, 0)

    def container(self, name="one", **rules):
        bundle = self.bundle()
        bundle.annotate(profile(entry(name=name, sessions=False, rules=policy(read=["/bin"], write=["/dev"], **rules))))
        return bundle

    @contextlib.contextmanager
    def seeing(self, source, *words):
        with watching("--json", "--source", source, *words) as seen:
            self.assertEqual((seen.events()[0]["source"], seen.events()[0]["unseen"]), (source, []))
            yield seen

    def nginx(self):
        bundle = self.debian()
        bundle.write("opt/data", "data\n")
        bundle.write("etc/nginx/test.conf", NGINX)
        os.makedirs(bundle.path("var/www/html"), exist_ok=True)
        bundle.write("var/www/html/index.html", "the page\n")
        with open(os.path.join(DIRECTORY, "nginx.json"), encoding="utf-8") as file:
            wanted, = json.load(file)["entries"]
        if applier.LAUNCH:
            # It is the entrypoint here, too.
            del wanted["select"]
            wanted["sessions"] = False
        bundle.annotate(profile(wanted))
        return bundle

    def test_nginx(self):
        """A real server, of which each denial is told once, whoever of its processes it hits."""
        install_profiles(DIRECTORY)
        self.addCleanup(shutil.rmtree, DIRECTORY)
        for source in sources():
            with self.subTest(source), self.seeing(source) as seen:
                bundle = self.nginx()
                with bundle.running("crun", "/usr/sbin/nginx", "-c", "/etc/nginx/test.conf") as container:
                    def ask(path, *words, container=container):
                        return command("nsenter", "-t", str(container.pid()), "-n", "curl", "-s", *words,
                                       "http://127.0.0.1" + path).stdout
                    wait_for(lambda: "the page" in ask("/"), "it serves", 120)
                    codes = [ask("/data", "-o", "/dev/null", "-w", "%{http_code}") for _ in range(20)]
                    self.assertEqual(codes, ["403"] * 20)

                def denials(seen=seen):
                    return [event for event in seen.events("denied") if event.get("path") == "/opt/data"]
                seen.wait_for(lambda: len(denials()) == 20, "all are told")
                seen.wait_for(lambda: seen.events("removed"), "it is removed")
                self.assertEqual([event["event"] for event in seen.events("created", "applied", "removed")],
                                 ["created", "applied", "removed"])
                self.assertEqual({(event["container"], *event["rights"], event["exact"]) for event in denials()},
                                 {(bundle.id, "read_file", source != "hooks")})
                self.assertEqual(lost(seen, source), [])

    def test_others(self):
        """What Landlock denies to somebody who is in no container of ours is not told, nor counted as lost."""
        path = os.path.join(tempfile.mkdtemp(), "host.json")
        self.addCleanup(shutil.rmtree, os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as file:
            json.dump(policy(read=["/bin", "/usr", "/lib", "/lib64", "/etc/ld.so.cache"], write=["/dev"]), file)
        for source in sources():
            with self.subTest(source), self.seeing(source) as seen:
                other = command(OCI_LANDLOCK, "run", "--profile", path, "--", "/bin/cat", "/etc/passwd")
                self.assertIn("Permission denied", other.stderr)
                bundle = self.container()
                bundle.run("crun", "/bin/probe", "read", "/etc/secret")
                seen.wait_for(lambda: seen.events("removed"), "it is removed")
                self.assertEqual([event["container"] for event in seen.events("denied")], [bundle.id])
                self.assertEqual(lost(seen, source), [])

    def test_a_flood(self):
        """A share is a share, whatever they are seen by."""
        count = 20000 if FULL else 2000
        for source in sources():
            with self.subTest(source), self.seeing(source, "--share", "10") as seen:
                bundle = self.container()
                bundle.run("crun", "/bin/probe", "flood", str(count), "/etc/secret", timeout=300)
                seen.wait_for(lambda: seen.events("removed"), "it is removed")
                seen.wait_for(lambda: len(seen.events("denied")) + sum(
                    event["count"] for event in seen.events("lost")) >= count, "each is told or counted")
                self.assertGreaterEqual(len(seen.events("denied")), 9)
                self.assertLessEqual(len(seen.events("denied")), count // 2)


@unittest.skipIf(not audited(), "no audit records of Landlock's here: Linux 6.15, and audit=1 in the boot line")
class Audit(Sources):
    test_nginx = test_others = test_a_flood = None

    def test_each_has_its_domain(self):
        """Two containers and their domains; what is made and removed has the directory, and a port its number."""
        with self.seeing("audit") as seen:
            rules = {"ruleset": [{"handledAccessFs": ["abi.all"], "handledAccessNet": ["bind_tcp"]}]}
            first, second = self.container(), self.container("two")
            second.annotate(profile(entry(name="two", sessions=False,
                                          rules={**policy(read=["/bin"], write=["/dev"]), **rules})))
            first.run("crun", "/bin/probe", "read", "/etc/secret")
            second.run("crun", "/bin/probe", "read", "/etc/secret", "+", "mkdir", "/etc/made")
            seen.wait_for(lambda: len(seen.events("removed")) == 2, "they are removed")
            denied = seen.events("denied")
            self.assertEqual([(event["container"], *event["entries"], *event["rights"], event["path"])
                              for event in denied],
                             [(first.id, "one", "read_file", "/etc/secret"),
                              (second.id, "two", "read_file", "/etc/secret"), (second.id, "two", "make_dir", "/etc")])
            self.assertEqual(denied[1]["domain"], denied[2]["domain"])
            self.assertNotEqual(denied[0]["domain"], denied[1]["domain"])

    def test_from_before(self):
        """Of a domain that audit has told of before, it is known by who was denied."""
        bundle = self.bundle()
        script = bundle.script("run.sh", "while sleep 1; do read x < /etc/secret; done\n")
        bundle.annotate(profile(entry(name="one", sessions=False, rules=policy(read=["/bin", "/run.sh"],
                                                                               write=["/dev"]))))
        with bundle.running("crun", script) as container:
            container.wait_for("ermission denied", 60)
            with self.seeing("audit") as seen:
                seen.wait_for(lambda: seen.events("denied"), "it is told")
                denied = seen.events("denied")[0]
                self.assertEqual((denied["container"], denied["entries"], denied["path"]),
                                 (bundle.id, ["one"], "/etc/secret"))


@unittest.skipIf(audited(), "audit is enabled here")
class NoAudit(TestCase):
    def test_it_says_why(self):
        """Audit is the operator's, and older kernels write nothing of Landlock's: without it nothing is claimed."""
        if not applier.LAUNCH:
            self.assertEqual(oci_landlock("load").returncode, 0)
        refused = oci_landlock("events", "--source", "audit")
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertIn("denials cannot be seen here: audit: " + (
            "this kernel writes no audit records of Landlock's (Linux 6.15)" if KERNEL < (6, 15) else
            "this kernel has no audit, or was booted with audit=0"), refused.stderr)
        self.assertEqual(oci_landlock("events", "--source", "else").returncode, 2)
        with watching("--json") as seen:
            head = seen.events()[0]
        if KERNEL < (6, 2):
            self.assertEqual((head["source"], head["unseen"]), ("none", ["denials"]))
            self.assertIn("hooks: this kernel has no bpf_task_from_pid (Linux 6.2); audit: this kernel writes no",
                          head["why"])
            return
        self.assertEqual((head["source"], "tracepoints: " in head.get("why", "")),
                         ("tracepoints", False) if EXACT else ("hooks", True))


@unittest.skipIf(not applier.LAUNCH, "launch only")
class Launched(Sources):
    test_nginx = test_others = test_a_flood = None

    def test_a_cgroup_that_was_somebody_elses(self):
        """A container is seen though somebody who is none was denied something in its cgroup before."""
        os.mkdir("/sys/fs/cgroup/shared")
        self.addCleanup(lambda: os.path.exists("/sys/fs/cgroup/shared") and os.rmdir("/sys/fs/cgroup/shared"))
        path = os.path.join(tempfile.mkdtemp(), "host.json")
        self.addCleanup(shutil.rmtree, os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as file:
            json.dump(policy(read=["/bin", "/usr", "/lib", "/lib64", "/etc/ld.so.cache"], write=["/dev"]), file)
        with self.seeing(sources()[0]) as seen:
            before = command("/bin/sh", "-c", "echo 0 > /sys/fs/cgroup/shared/cgroup.procs && exec "
                             f"{OCI_LANDLOCK} run --profile {path} -- /bin/cat /etc/passwd")
            self.assertIn("Permission denied", before.stderr)
            # When this one's is told, the one before has been looked at.
            first = self.container()
            first.run("crun", "/bin/probe", "read", "/etc/secret")
            seen.wait_for(lambda: len(seen.events("denied")) == 1, "it is denied")
            second = self.container()
            second.config["linux"]["cgroupsPath"] = "/shared"
            second.run("crun", "/bin/probe", "read", "/etc/secret")
            seen.wait_for(lambda: len(seen.events("denied")) == 2, "it is denied, too")
            self.assertEqual([event["container"] for event in seen.events("denied")], [first.id, second.id])

    def test_one_after_the_other_in_one_cgroup(self):
        """Of containers that a service starts in its own cgroup, each is told by its own name."""
        service = "/sys/fs/cgroup/service"
        os.mkdir(service)
        self.addCleanup(os.rmdir, service)
        bundles = [self.container(), self.container()]
        runs = ""
        for bundle in bundles:
            bundle.config["process"]["args"] = ["/bin/probe", "read", "/etc/secret"]
            bundle.save()
            runs += f"; crun --cgroup-manager=disabled run --bundle {bundle.directory} {bundle.id}"
        with watching("--json") as seen:
            result = command("/bin/sh", "-c", f"echo 0 > {service}/cgroup.procs{runs}")
            self.assertEqual(result.stdout.count("Permission denied"), 2, result)
            seen.wait_for(lambda: bundles[-1].id in [event["container"] for event in seen.events("removed")],
                          "the last one is removed")
            self.assertEqual([(event["event"], event["container"]) for event in seen.events("created", "removed")],
                             [(kind, bundle.id) for bundle in bundles for kind in ("created", "removed")])

    def test_a_cgroup_that_cannot_be_found(self):
        """As of an init that goes from one cgroup to another without end: others are told of nevertheless."""
        hidden, other = self.container(), self.container()
        with hidden.running("crun", "/bin/sleep", "1000") as container:
            with open(f"/proc/{container.pid()}/cgroup", encoding="ascii") as file:
                path, = (line[3:-1] for line in file if line.startswith("0::"))
            mount, = (base + path for base in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup")
                      if os.path.exists(base + path + "/cgroup.procs"))
            command("mount", "-t", "tmpfs", "tmpfs", mount, check=True)
            with contextlib.ExitStack() as hiding, watching("--json") as seen:
                hiding.callback(command, "umount", mount)
                other.run("crun", "/bin/probe", "read", "/etc/secret")
                seen.wait_for(lambda: other.id in [event["container"] for event in seen.events("removed")],
                              "the other one is told of")
                self.assertIn(hidden.id, [event["container"] for event in seen.events("created")])
                if seen.events()[0]["source"] != "none":
                    self.assertEqual([event["container"] for event in seen.events("denied")], [other.id])
                    why, = (event["why"] for event in seen.events("lost") if event.get("container") == hidden.id)
                    self.assertIn("stays in no cgroup of its own", why)

    def test_strangers_from_many_cgroups(self):
        """Who is no container of ours is not looked for anew in each of his cgroups, for others wait meanwhile."""
        count = 200
        places = [f"/sys/fs/cgroup/stranger-{number}" for number in range(count)]
        for place in places:
            os.mkdir(place)
            self.addCleanup(os.rmdir, place)
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path, looks = (os.path.join(directory, name) for name in ("host.json", "looks"))
        with open(path, "w", encoding="utf-8") as file:
            json.dump(policy(read=["/bin", "/usr", "/lib", "/lib64", "/etc/ld.so.cache"],
                             write=["/dev", "/sys/fs/cgroup"]), file)
        counted = ("strace", "-D", "-o", looks, "-e", "trace=getdents64")
        with watching("--json", "--source", sources()[0], prefix=counted) as seen:
            command("/bin/sh", "-c", f"exec {OCI_LANDLOCK} run --profile {path} -- /bin/sh -c 'for place in $(seq 0 "
                    f"{count - 1}); do echo 0 > /sys/fs/cgroup/stranger-$place/cgroup.procs; "
                    "cat /etc/passwd; done'")
            # One that ends before what came before it is read may not be told of.
            first = self.container()
            with first.running("crun", "/bin/sh", "-c", "/bin/probe read /etc/secret; sleep 1000; :"):
                seen.wait_for(lambda: seen.events("denied"), "what came before it is read")
            self.assertEqual({event["container"] for event in seen.events("denied")}, {first.id})
            with open(looks, encoding="utf-8") as file:
                # Two of each: what there is, and the end of it.
                self.assertLess(len(file.readlines()), count)

    def test_nothing_left_to_watch_by(self):
        """Containers are told of also where another root has taken all that root can have of inotify."""
        none = ("strace", "-D", "-o", "/dev/null", "-e", "trace=inotify_init1", "-e", "inject=inotify_init1:error=EMFILE")
        bundle = self.container()
        with watching("--json", prefix=none) as seen:
            with bundle.running("crun", "/bin/sh", "-c", "sleep 1000; :"):
                seen.wait_for(lambda: seen.events("applied"), "it is applied")
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            self.assertEqual([event["event"] for event in seen.events("created", "applied", "removed")],
                             ["created", "applied", "removed"])
            self.assertIn("looked for once a second", seen.text(seen.errors))

    def test_one_that_ends_before_it_is_looked_at(self):
        """What nobody was there for is counted: while `events` is behind, a container comes and goes, and its record."""
        with watching("--json", "--listen", ADDRESS) as seen:
            short = [self.container(), self.container()]
            seen.process.send_signal(signal.SIGSTOP)
            for bundle in short:
                self.assertIn("Permission denied", bundle.run("crun", "/bin/probe", "read", "/etc/secret").stdout)
            seen.process.send_signal(signal.SIGCONT)
            seen.wait_for(lambda: seen.events("lost"), "it is counted")
            missed, = seen.events("lost")
            self.assertEqual((missed["count"], missed.get("container")), (2, None))
            self.assertIn("had ended before they were looked at", missed["why"])
            # One that was looked at is none of them, however late the system tells of it.
            last = self.container()
            with last.running("crun", "/bin/sh", "-c", "sleep 1000; :"):
                seen.wait_for(lambda: seen.events("applied"), "it is applied")
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            seen.wait_for(lambda: "oci_landlock_events_lost_total 2\n" in served(), "the metrics have it")
            self.assertEqual([event["container"] for event in seen.events("created")], [last.id])
            self.assertEqual(len(seen.events("lost")), 1)

    def test_from_start_to_end(self):
        """What launch leaves of a container, also where nothing shows denials: that is said."""
        bundle = self.bundle()
        bundle.annotate(profile(entry(name="one", sessions=False), entry(name="two", sessions=False)),
                        **{"io.kubernetes.cri.container-name": "web"})
        counted = re.compile(rf'^oci_landlock_events_total{{.*container_id="{bundle.id}".*kind="applied"}} 1$', re.M)
        with watching("--json", "--listen", ADDRESS) as seen:
            head = seen.events()[0]
            self.assertEqual("denials" in head["unseen"], head["source"] == "none")
            self.assertEqual("why" in head, head["source"] != "tracepoints")
            for number, runtime in enumerate(RUNTIMES, 1):
                # Else the shell becomes what it runs.
                with bundle.running(runtime, "/bin/sh", "-c", "sleep 1000; :"):
                    seen.wait_for(lambda number=number: len(seen.events("applied")) == number, "it is applied")
                    applied = seen.events("applied")[-1]
                    self.assertEqual((applied["container"], applied["entries"], applied["command"]),
                                     (bundle.id, ["one", "two"], "sh"))
                    seen.wait_for(lambda: counted.search(served()), "it is counted")
                seen.wait_for(lambda number=number: len(seen.events("removed")) == number, "it is removed")
            self.assertEqual([event["event"] for event in seen.events()[1:]],
                             ["created", "applied", "removed"] * len(RUNTIMES))
            self.assertEqual(seen.events("created")[0]["names"], {"container": "web"})
