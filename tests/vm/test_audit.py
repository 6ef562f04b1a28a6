# SPDX-License-Identifier: Apache-2.0
"""Audited entries: nothing is applied, and `events` says what would be denied."""

import json
import os
import unittest

import applier
from containers import TestCase, doctor, entry, node_log, oci_landlock, policy, profile, program, status
from test_errors import SETTINGS, settings
from test_events import watching
from test_policy import baseline

SECRET = "read /etc/secret: allowed\n"
DENIED = "read /etc/secret: Permission denied\n"
READ = ("/bin/probe", "read", "/etc/secret")


def audited(made):
    return {**made, "mode": "audit"}


def would(seen, *entries):
    """What is said so far that these entries would deny: rights and what they are about."""
    return {(tuple(event["rights"]), event.get("path", event.get("port"))) for event in seen.events("wouldDeny")
            if event["entries"] == list(entries)}


def lines_of(container):
    return oci_landlock("status").stdout.split(f"\n{container}\n")[1].split("\n\n")[0]


@applier.selector_only("it refuses audited entries")
class Audit(TestCase):
    def setUp(self):
        super().setUp()
        self.assertEqual(oci_landlock("load").returncode, 0)

    def container(self, *entries, **annotations):
        bundle = self.bundle()
        bundle.annotate(profile(*entries), **annotations)
        return bundle

    def test_each_right(self):
        """Nothing is denied, nothing is set, and each thing that an enforced entry would deny is told with its rule."""
        rules = policy(read=["/bin", "/run.sh", "/proc"], write=["/dev", "/allowed"])
        rules["ruleset"][0].update(handledAccessNet=["bind_tcp", "connect_tcp"])
        bundle = self.container(audited(entry(name="one", rules=rules)))
        bundle.config["process"]["noNewPrivileges"] = False
        for name in ("etc/x", "allowed/old"):
            bundle.write(name, "x")
        os.makedirs(bundle.path("etc/empty"))
        cases = {
            "cat /etc/x": ("read_file", "/etc/x", "/etc/x"),
            "ls /etc": ("read_dir", "/etc", "/etc"),
            "echo > /etc/new": ("make_reg", "/etc", "/etc"),
            "echo >> /etc/x": ("write_file", "/etc/x", "/etc/x"),
            "mkdir /etc/made": ("make_dir", "/etc", "/etc"),
            "busybox mkfifo /etc/fifo": ("make_fifo", "/etc", "/etc"),
            "ln -s x /etc/link": ("make_sym", "/etc", "/etc"),
            "busybox mv /etc/x /allowed/x": ("remove_file", "/etc", "/etc"),
            "busybox rmdir /etc/empty": ("remove_dir", "/etc", "/etc"),
        }
        bundle.script("run.sh", "set -e\n" + "".join(f"{line}\n" for line in cases) +
                      "grep NoNewPrivs /proc/self/status\nbusybox nc 127.0.0.1 7778 || echo done\n")
        with watching("--json") as seen:
            result = bundle.run("crun", "/bin/sh", "/run.sh")
            self.assertIn("NoNewPrivs:\t0\n", result.stdout, result)
            self.assertTrue(result.stdout.endswith("done\n"), result)
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            found = seen.events("wouldDeny")
            by_path = {(right, event["path"]): event for event in found if "path" in event for right in event["rights"]}
            for line, (right, path, parent) in cases.items():
                self.assertIn((right, path), by_path, line)
                event = by_path[(right, path)]
                self.assertEqual((event["exact"], event["allow"]["pathBeneath"][0]["parent"]), (True, [parent]), line)
                self.assertIn(right, event["allow"]["pathBeneath"][0]["allowedAccess"])
                self.assertEqual((event["entries"], event["container"]), (["one"], bundle.id))
            self.assertEqual([(event["rights"], event["port"]) for event in found if "port" in event],
                             [(["connect_tcp"], 7778)])
            self.assertEqual({path for _, path in by_path if path.startswith(("/bin", "/run.sh", "/allowed"))}, set())
            created, = seen.events("created")
            self.assertEqual((created["entries"], created["audited"]), (["one"], ["one"]))
            chosen, = seen.events("audited")
            self.assertEqual((chosen["entries"], chosen["program"]), (["one"], "/bin/busybox"))
            self.assertEqual(seen.events("applied", "denied", "failedClosed", "partial", "lost"), [])

    def test_from_what_is_told_to_a_profile_that_holds(self):
        """The rules that are proposed are all that is missing: enforced, the same program runs."""
        rules = policy(read=["/bin"], write=["/dev"])
        bundle = self.container(audited(entry(name="one", rules=rules)))
        run = bundle.script("run.sh", "cat /etc/secret; cat /allowed/file\n")
        with watching("--json") as seen:
            self.assertEqual(bundle.run("crun", run).stdout, "secret\nallowed\n")
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            for event in seen.events("wouldDeny"):
                rules["pathBeneath"] += event["allow"]["pathBeneath"]
        bundle.annotate(profile(entry(name="one", rules=rules)))
        self.assertEqual(bundle.run("crun", run).stdout, "secret\nallowed\n")

    def test_beside_enforced_entries(self):
        """Each does what it says, on the same program and on others, in exec sessions too."""
        wall = entry(name="wall", rules=policy(read=["/bin", "/allowed", "/run.sh"], write=["/dev"]))
        look = audited(program("/bin/target", name="look", rules=policy(read=["/bin"], write=["/dev"]), sessions=True))
        bundle = self.container(wall, look)
        run = bundle.script("run.sh", "/bin/target read /etc/secret + read /allowed/file; /bin/probe read /allowed/file\n"
                                      "echo ready; sleep 1000\n")
        with watching("--json") as seen:
            with bundle.running("crun", run) as container:
                container.wait_for("ready")
                self.assertEqual(container.output().count(DENIED), 1, container.output())
                self.assertEqual(container.output().count("allowed\n"), 2, container.output())
                session = container.exec("/bin/probe", "read", "/etc/secret", "+", "read", "/allowed/file")
                self.assertIn(DENIED, session.stdout)
                found = json.loads(oci_landlock("ps", "--json").stdout)["containers"]
                processes = [item for each in found if each["id"] == bundle.id for item in each["processes"]]
                self.assertEqual({(item["restricted"], tuple(item["entries"])) for item in processes},
                                 {("yes", ("wall",))})
                shown, = [item for item in status()["containers"] if item["id"] == bundle.id]
                self.assertEqual((shown["audited"], shown["enforces"]), (["look"], True))
                self.assertIn("entry    look: NOT ENFORCED, audit", lines_of(bundle.id))
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            self.assertEqual({(tuple(event["rights"]), event["path"]) for event in seen.events("denied")},
                             {(("read_file",), "/etc/secret")})
            self.assertIn((("read_file",), "/allowed/file"), would(seen, "look"))
            self.assertNotIn((("read_file",), "/etc/secret"), would(seen, "look"))  # there it was never asked
            self.assertEqual({event["program"] for event in seen.events("wouldDeny")}, {"/bin/target"})
            self.assertEqual({tuple(event["entries"]) for event in seen.events("denied", "applied")}, {("wall",)})
            self.assertEqual({tuple(event["entries"]) for event in seen.events("audited")}, {("look",)})

    def test_a_baseline_stays(self):
        """What a tenant wants audited is no way around what the node has enforced."""
        free = audited(entry(name="wall", noNewPrivileges=True,
                             rules=policy(read=["/"], write=["/"])))  # the baseline's name, too
        with baseline(entry(name="wall", rules=policy(read=["/bin"], write=["/dev"]))):
            bundle = self.container(free)
            with watching("--json") as seen:
                with bundle.running("crun", "/bin/sh", "-c", "/bin/probe read /etc/secret; echo ready; sleep 1000") \
                        as container:
                    container.wait_for("ready")
                    self.assertIn(DENIED, container.output())
                    self.assertIn(DENIED, container.exec(*READ).stdout)
                    shown, = [item for item in status()["containers"] if item["id"] == bundle.id]
                    self.assertEqual([item["enforcement"] for item in shown["entries"]], ["full", "none"])
                seen.wait_for(lambda: seen.events("removed"), "it is removed")
                self.assertEqual(len(seen.events("denied")), 2)
                self.assertEqual(seen.events("wouldDeny"), [])
        with baseline(audited(entry(name="wall", rules=policy(read=["/bin"], write=["/dev"])))):
            bundle = self.container(entry(name="own", rules=policy(read=["/bin", "/allowed"], write=["/dev"])))
            self.assertEqual(bundle.run("crun", *READ).stdout, DENIED)

    def test_a_whole_node(self):
        """Nothing is enforced, whoever wrote it, and everybody says so."""
        bundle = self.container(entry(name="one"))
        before = len(node_log())
        with settings('{"auditOnly": true}'), watching("--json") as seen:
            with bundle.running("crun", "/bin/sh", "-c", "/bin/probe read /etc/secret; echo ready; sleep 1000") \
                    as container:
                container.wait_for("ready")
                self.assertIn(SECRET, container.output())
                text = oci_landlock("status").stdout
                self.assertIn("AUDIT ONLY  the node's settings say so", text)
                self.assertIn(f"attention   {bundle.id} (NOT ENFORCED: audit)", text)
                self.assertIn("AUDIT    one, all that it has, is not enforced, and protects nothing", text)
                self.assertIn("nothing; NOT ENFORCED, audit: one", oci_landlock("ps").stdout)
                self.assertIn("none: AUDIT, it protects nothing", oci_landlock("inspect", bundle.id).stdout)
                self.assertEqual(doctor()[1]["node.audit"]["severity"], "problem")
                self.assertRegex(oci_landlock("metrics").stdout, r"(?m)^oci_landlock_entries_audited\{.*\} 1$")
            self.assertIn("entry one is NOT ENFORCED (audit)", node_log()[before:])
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            self.assertIn((("read_file",), "/etc/secret"), would(seen, "one"))
        # As ever afterwards.
        self.assertEqual(bundle.run("crun", *READ).stdout, DENIED)

    def test_nothing_keeps_it_from_starting(self):
        """What an enforced entry would refuse is said, and the container runs: missing paths, links, 16 layers."""
        bundle = self.container(audited(entry(name="one", rules=policy(read=["/bin", "/absent"], write=["/dev"]))),
                                audited(program("/bin/target", name="two")))
        before = len(node_log())
        result = bundle.run("crun", "/bin/sh", "-c", "/bin/probe stack 16 + exec /bin/target read /etc/secret")
        self.assertIn(SECRET, result.stdout, result)
        self.assertIn("entry one, enforced, would keep the container from starting: ", node_log()[before:])
        self.assertIn("/absent", node_log()[before:])
        refused = self.container(entry(name="one", rules=policy(read=["/bin", "/absent"], write=["/dev"])))
        self.assertNotEqual(refused.run("crun", "/bin/true").returncode, 0)

    @applier.inject_only("kfunc has no supervisor")
    def test_nobody_has_to_hold_anything(self):
        """Without a supervisor too: there is nothing that it would keep."""
        bundle = self.container(audited(entry(name="one")))
        applier.supervisor.kill()
        self.assertEqual(bundle.run("crun", *READ).stdout, SECRET)
        enforced = self.container(entry(name="one"))
        self.assertNotEqual(enforced.run("crun", *READ).returncode, 0)

    def test_nobody_looks(self):
        """Then nothing is told, and nothing is denied; who looks later sees what is done from then on."""
        bundle = self.container(audited(entry(name="one", rules=policy(read=["/bin"], write=["/dev"]))))
        run = bundle.script("run.sh", "cat /etc/secret; while [ ! -e /allowed/go ]; do sleep 0.1; done; cat /etc/later; "
                                      "echo done; sleep 1000\n")
        bundle.write("etc/later", "later\n")
        with bundle.running("crun", run) as container:
            container.wait_for("secret")
            with watching("--json") as seen:
                bundle.write("allowed/go", "")
                container.wait_for("done")
                seen.wait_for(lambda: (("read_file",), "/etc/later") in would(seen, "one"), "it is told")
                self.assertNotIn((("read_file",), "/etc/secret"), would(seen, "one"))

    def test_flood(self):
        """A container that does ever new things has its share, what is more is counted, and hides nobody else."""
        rules = policy(read=["/bin"], write=["/dev"])
        loud, calm = (self.container(audited(entry(name=name, rules=rules))) for name in ("loud", "calm"))
        script = 'i=0; while [ $i -lt 3000 ]; do : > /tmp/made-$i; i=$((i+1)); done; echo done; sleep 1000'
        with watching("--json", "--share", "10") as seen:
            with loud.running("crun", "/bin/sh", "-c", script) as container:
                for _ in range(3):
                    self.assertEqual(calm.run("crun", *READ).stdout, SECRET)
                container.wait_for("done", 300)
                seen.wait_for(lambda: [event for event in seen.events("lost") if event.get("container") == loud.id],
                              "what is left out is counted")

            def secrets():
                return [event for event in seen.events("wouldDeny")
                        if event["container"] == calm.id and event.get("path") == "/etc/secret"]
            seen.wait_for(lambda: len(secrets()) == 3, "the calm one is seen")
            lost = [event for event in seen.events("lost")]
            self.assertEqual({event.get("container") for event in lost}, {loud.id}, lost)
            self.assertTrue(all("accesses to be judged, more than a share of 40 a second" in event["why"]
                                for event in lost), lost)

    def test_renames_of_another(self):
        """A directory that another container renames all the time has nothing told again but what can be beneath it."""
        rules = policy(read=["/bin"], write=["/dev"])
        loud, calm = (self.container(audited(entry(name=name, rules=rules))) for name in ("loud", "calm"))
        loud.config["mounts"].append({"destination": "/own", "type": "tmpfs", "source": "tmpfs"})
        for name in range(15):
            calm.write(f"etc/file-{name}", "")
        renames = ": > /own/begun; while :; do busybox mkdir /own/a; busybox mv /own/a /own/b; busybox rmdir /own/b; done"
        reads = "for pass in $(seq 1000); do for file in /etc/file-*; do : < $file; done; done"
        with watching("--json", "--share", "10") as seen:
            with loud.running("crun", "/bin/sh", "-c", renames):
                seen.wait_for(lambda: ("/own", "make_dir") in {
                    (event.get("path"), right) for event in seen.events("wouldDeny") for right in event["rights"]},
                              "it begins")
                calm.run("crun", "/bin/sh", "-c", reads, timeout=300)
                seen.wait_for(lambda: [event for event in seen.events("removed") if event["container"] == calm.id],
                              "it is removed")
            self.assertEqual([event for event in seen.events("lost") if event.get("container") == calm.id], [])
            told = [event["path"] for event in seen.events("wouldDeny") if event["container"] == calm.id
                    and "read_file" in event["rights"] and event.get("path", "").startswith("/etc/file-")]
            self.assertEqual(sorted(told), sorted(f"/etc/file-{name}" for name in range(15)))

    def test_what_is_allowed_hides_no_denial(self):
        """Accesses and denials of one container have shares of their own."""
        bundle = self.container(entry(name="wall", rules=policy(read=["/bin", "/run.sh"], write=["/dev", "/tmp"])),
                                audited(entry(name="look", rules=policy(read=["/"], write=["/"]))))
        run = bundle.script("run.sh", 'i=0; while [ $i -lt 300 ]; do : > /tmp/made-$i; i=$((i+1)); done\n'
                                      "/bin/probe read /etc/secret\n")
        with watching("--json", "--share", "10") as seen:
            self.assertIn(DENIED, bundle.run("crun", run, timeout=300).stdout)
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            self.assertIn("/etc/secret", [event.get("path") for event in seen.events("denied")])
            self.assertTrue(seen.events("lost"))

    def test_text(self):
        """For people, a line each, whatever is in a name."""
        bundle = self.container(audited(entry(name="one", rules=policy(read=["/bin", "/run.sh"], write=["/dev"]))))
        bundle.write("etc/a\x1b[2J\nb", "x")
        run = bundle.script("run.sh", "cat '/etc/a\x1b[2J\nb'\n")
        with watching() as seen:
            self.assertEqual(bundle.run("crun", run).stdout, "x")
            seen.wait_for(lambda: " removed " in "\n".join(seen.lines()), "it is removed")
            text = "\n".join(seen.lines())
            self.assertRegex(text, r"(?m)^\S+ wouldDeny \S+: /bin/busybox\[\d+\] read_file /etc/a\\x1b\[2J\\x0ab; by one, "
                                   r"which is NOT ENFORCED; would be allowed by ")
            self.assertRegex(text, r"(?m)^\S+ audited \S+: /bin/busybox\[\d+\] by one, NOT ENFORCED$")
            self.assertRegex(text, r"(?m)^\S+ created \S+: .*; NOT ENFORCED, audit: one$")
            self.assertNotIn("\x1b", text)

    def test_all_but_some(self):
        """`except` and programs by name select as if they were enforced."""
        rules = policy(read=["/bin"], write=["/dev"])
        bundle = self.container(audited(entry({"except": ["/bin/busybox"]}, name="rest", rules=rules)))
        run = bundle.script("run.sh", "cat /allowed/file; /bin/target read /etc/secret\n")
        with watching("--json") as seen:
            self.assertIn(SECRET, bundle.run("crun", "/bin/busybox", "sh", run).stdout)
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            self.assertEqual({event["program"] for event in seen.events("wouldDeny")}, {"/bin/target"})
            self.assertIn((("read_file",), "/etc/secret"), would(seen, "rest"))

    def test_too_large_to_be_judged(self):
        """A policy that is not recorded whole is not judged by in part: that is said, and counted."""
        rules = policy(read=["/bin"], write=["/dev"])
        rules["pathBeneath"].append({"allowedAccess": ["abi.read_execute"],
                                     "parent": [f"/etc/{'x' * 100}-{i}" for i in range(800)]})
        bundle = self.container(audited(entry(name="one", missingPaths="error", rules=rules)))
        with watching("--json") as seen:
            self.assertEqual(bundle.run("crun", *READ).stdout, SECRET)
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            self.assertEqual(seen.events("wouldDeny"), [])
            self.assertIn("accesses that cannot be judged: its policy is too large to be recorded",
                          {event["why"][:len("accesses that cannot be judged: its policy is too large to be recorded")]
                           for event in seen.events("lost")})

    def test_run_refuses(self):
        """Who asks for a restriction on this machine gets it, or nothing runs."""
        made = self.bundle()
        path = os.path.join(made.directory, "profile.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(profile(audited(entry(name="one"))), file)
        os.chmod(path, 0o644)
        refused = oci_landlock("run", "--profile", path, "/bin/true")
        self.assertEqual(refused.returncode, 125)
        self.assertIn("entry one is audited, which is for containers", refused.stderr)


@unittest.skipUnless(applier.LAUNCH, "launch only: the others audit")
class Launch(TestCase):
    def test_it_is_refused(self):
        """No process is left there that could look: the container does not start, rather than run unseen."""
        bundle = self.bundle()
        before = len(node_log())
        bundle.annotate(profile(audited(entry(name="one"))))
        self.assertNotEqual(bundle.run("crun", *READ).returncode, 0)
        self.assertIn("entry one: is audited, which the launch applier cannot do", node_log()[before:])
        before = len(node_log())
        bundle.annotate(profile(entry(name="one")))
        os.makedirs(SETTINGS, exist_ok=True)
        self.addCleanup(os.unlink, f"{SETTINGS}/config.json")
        with open(f"{SETTINGS}/config.json", "w", encoding="utf-8") as file:
            file.write('{"auditOnly": true, "applier": "launch"}')
        self.assertNotEqual(bundle.run("crun", *READ).returncode, 0)
        self.assertIn("entry one: is audited, which the launch applier cannot do", node_log()[before:])
