# SPDX-License-Identifier: Apache-2.0
"""From a run of a real program to its profile: the same run under it is denied nothing."""

import contextlib
import json
import os
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import unittest

import applier
from cases import PATIENCE, kill, wait_for
from containers import (OCI_LANDLOCK, Bundle, TestCase, command, entry, follow, install_profiles, node_log, oci_landlock,
                        policy, profile)
from direct import FULL
from test_events import watching

MORE = "one more round trip of this kind: with --full"
DIRECTORY = "/etc/oci-landlock/profiles"
NGINX = """
    daemon off; user www-data; pid /run/nginx.pid; error_log /var/log/nginx/error.log; worker_processes 2; events {}
    http { access_log /var/log/nginx/access.log; server { listen 127.0.0.1:80; root /var/www/html;
        client_body_temp_path /var/lib/nginx/body; client_max_body_size 10m;
        location /open/ { alias /opt/open/; dav_methods PUT DELETE MKCOL; }
        location /upstream { proxy_pass http://127.0.0.1:7777/; } } }
"""


class Recorder:
    """`learn record` at work."""

    def __init__(self, container, output):
        self.errors = tempfile.NamedTemporaryFile("w+", encoding="utf-8")
        self.process = subprocess.Popen([OCI_LANDLOCK, "learn", "record", container, "--output", output],
                                        stdin=subprocess.DEVNULL, stderr=self.errors)

    def said(self):
        with open(self.errors.name, encoding="utf-8") as file:
            return file.read()

    def wait(self, seconds=120):
        return self.process.wait(timeout=seconds * PATIENCE)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.wait()


def recorders():
    """Pids of those that `learn start` has left behind."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().split(b"\0")[1:3] == [b"learn", b"start"]:
                    found.append(int(pid))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


@applier.selector_only("it has no selector that could tell anything")
class Learn(TestCase):
    @classmethod
    def setUpClass(cls):
        install_profiles(DIRECTORY)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree("/etc/oci-landlock")

    def setUp(self):
        super().setUp()
        self.assertEqual(oci_landlock("load").returncode, 0)
        self.directory = tempfile.mkdtemp(prefix="learn-", dir="/tmp")
        self.addCleanup(shutil.rmtree, self.directory)
        self.recording = os.path.join(self.directory, "recording.json")

    def prepared(self, **annotations):
        bundle = self.debian()
        bundle.annotate("learn", **annotations)
        return bundle

    @contextlib.contextmanager
    def recorder(self, container):
        recorder = Recorder(container, self.recording)
        try:
            wait_for(lambda: "watching for" in recorder.said() or recorder.process.poll() is not None, "it watches",
                     120)
            self.assertIsNone(recorder.process.poll(), recorder.said())
            yield recorder
        finally:
            if recorder.process.poll() is None:
                recorder.process.kill()
                recorder.process.wait()

    def recorded(self):
        with open(self.recording, encoding="utf-8") as file:
            return json.load(file)

    def learn(self, bundle, drive, *args):
        """One run that is recorded to its end."""
        with self.recorder(bundle.id) as recorder:
            with bundle.running("crun", *args) as container:
                self.assertEqual(container.code, 0, container.output())
                drive(container)
            self.assertEqual(recorder.wait(), 0, recorder.said())
        return self.recorded()

    def profile(self, *options):
        made = oci_landlock("learn", "profile", "--explain", *options, self.recording)
        self.assertEqual(made.returncode, 0, made.stderr)
        path = os.path.join(DIRECTORY, "learnt.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(made.stdout)
        self.assertEqual(oci_landlock("check", path).returncode, 0)
        against = oci_landlock("check", "--against", self.recording, path)
        self.assertEqual((against.returncode, "would deny nothing" in against.stdout), (0, True), against)
        return json.loads(made.stdout)

    def same_run(self, bundle, drive, *args):
        """Under the profile that was learnt: nothing is denied."""
        bundle.annotate("learnt")
        with watching("--json") as seen:
            with bundle.running("crun", *args) as container:
                self.assertEqual(container.code, 0, container.output())
                drive(container)
            seen.wait_for(lambda: seen.events("removed"), "it is removed")
            self.assertTrue(seen.events("applied"))
            self.assertEqual(seen.events("denied", "failedClosed"), [])

    def nginx(self, **annotations):
        bundle = self.prepared(**annotations)
        bundle.write("etc/nginx/test.conf", NGINX)
        os.makedirs(bundle.path("var/www/html"), exist_ok=True)
        for name in ("index.html", *(f"{i}.html" for i in range(20))):
            bundle.write(f"var/www/html/{name}", "the page\n")
        bundle.write("opt/beside", "beside\n")
        return bundle

    def drive_nginx(self, container):
        container.wait_for_answer("the page", "curl", "-s", "http://127.0.0.1/")
        urls = [f"http://127.0.0.1/{i % 20}.html" for i in range(2000 if FULL else 300)]
        answers = container.client("curl", "-s", *urls)
        self.assertEqual(answers.stdout.count("the page"), len(urls))
        code = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code} ")
        body = os.path.join(self.directory, "body")
        with open(body, "w", encoding="utf-8") as file:
            file.write("x" * 1_000_000)
        for i in range(5):
            put = container.client(*code, "-T", body, f"http://127.0.0.1/open/{container.pid()}-{i}")
            self.assertEqual(put.stdout.strip(), "201")
        self.assertEqual(container.client(*code, "http://127.0.0.1/upstream").stdout.strip(), "502")
        self.assertEqual(container.client("kill", "-HUP", str(container.pid())).returncode, 0)
        container.wait_for_answer("the page", "curl", "-s", "http://127.0.0.1/")

    def test_nginx(self):
        """A real server under load, with uploads that it moves to another directory; what runs beside it is not
        recorded."""
        text = "cat /opt/beside; exec /usr/sbin/nginx -c /etc/nginx/test.conf\n"
        bundle = self.nginx(**{"io.landlock.program": "/usr/sbin/nginx"})
        script = bundle.script("entrypoint.sh", text)
        recording = self.learn(bundle, self.drive_nginx, script)
        self.assertEqual(recording["programs"], ["/usr/sbin/nginx"])
        paths = {item["path"]: item for item in recording["paths"]}
        self.assertNotIn("/opt/beside", paths)
        self.assertNotIn("/entrypoint.sh", paths)
        self.assertEqual(paths["/etc/nginx/test.conf"]["rights"], ["read_file"])
        self.assertEqual(paths["/run"]["rights"], ["make_reg"])
        self.assertIn("write_file", paths["/run"]["beneath"])
        self.assertIn("refer", paths["/opt/open"]["rights"])
        self.assertEqual([path for path in paths if path.startswith("/opt/open/")], [])
        self.assertIn({"port": 80, "rights": ["bind_tcp"]}, recording["ports"])
        self.assertIn({"port": 7777, "rights": ["connect_tcp"]}, recording["ports"])
        self.assertEqual(recording["scopes"], [])
        run, = recording["runs"]
        self.assertEqual(set(run), {"began", "ended", "container", "added"})

        # A rule on /run is for a person to decide.
        undecided = oci_landlock("learn", "profile", self.recording)
        self.assertEqual((undecided.returncode, undecided.stdout), (1, ""))
        self.assertIn("--into /run", undecided.stderr)
        made = self.profile("--into", "/run", "--program", "/usr/sbin/nginx")
        policy = made["entries"][0]["policy"]
        self.assertEqual(policy["ruleset"][0]["scoped"], ["abstract_unix_socket", "signal"])
        self.assertIn("/var/www/html", [path for rule in policy["pathBeneath"] for path in rule["parent"]])
        # Another run of the same, in a fresh container.
        again = self.nginx()
        self.same_run(again, self.drive_nginx, again.script("entrypoint.sh", text))

        # Its libraries it has from a fragment, and what it does not need is not in one that it would have to use.
        self.assertEqual(policy["use"], ["base-glibc"])
        parents = [path for rule in policy["pathBeneath"] for path in rule["parent"]]
        self.assertEqual([path for path in parents if path.startswith(("/lib", "/usr/lib"))], [])
        alone = self.profile("--into", "/run", "--program", "/usr/sbin/nginx", "--no-use")["entries"][0]["policy"]
        self.assertNotIn("use", alone)
        self.assertTrue([path for rule in alone["pathBeneath"] for path in rule["parent"] if "/lib" in path])
        toml = oci_landlock("learn", "profile", "--toml", "--into", "/run", self.recording)
        path = os.path.join(self.directory, "learnt.toml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(toml.stdout)
        against = oci_landlock("check", "--against", self.recording, path)
        self.assertEqual((against.returncode, "would deny nothing" in against.stdout), (0, True), against)

        # Without one of its rules, something would be denied, and what that is is said.
        policy["netPort"] = [rule for rule in policy["netPort"] if 7777 not in rule["port"]]
        worse = os.path.join(self.directory, "worse.json")
        with open(worse, "w", encoding="utf-8") as file:
            json.dump(made, file)
        against = oci_landlock("check", "--against", self.recording, worse)
        self.assertEqual((against.returncode, "connect_tcp port 7777" in against.stdout), (1, True), against)

    @unittest.skipUnless(FULL, MORE)
    def test_redis(self):
        def drive(container):
            container.wait_for_answer("PONG", "redis-cli", "ping")
            self.assertEqual(container.client("redis-cli", "set", "key", "value").stdout.strip(), "OK")
            self.assertEqual(container.client("redis-cli", "save").stdout.strip(), "OK")
            self.assertIn("started", container.client("redis-cli", "bgsave").stdout)
            container.wait_for_answer("rdb_bgsave_in_progress:0", "redis-cli", "info", "persistence")

        text = ("cd /var/lib/redis && exec /usr/bin/redis-server --save '' --daemonize no --dir /var/lib/redis\n")
        bundle = self.prepared()
        self.learn(bundle, drive, bundle.script("entrypoint.sh", text))
        again = self.prepared()
        self.profile()
        self.same_run(again, drive, again.script("entrypoint.sh", text))

    @unittest.skipUnless(FULL, MORE)
    def test_python(self):
        """Two runs that differ are one recording, and each says what it has added."""
        program = ("/usr/bin/python3", "-m", "http.server", "8000", "--directory", "/opt/site")

        def prepared():
            bundle = self.prepared()
            bundle.config["process"]["cwd"] = "/opt/site"
            os.makedirs(bundle.path("opt/site"))
            for name in ("one", "two"):
                bundle.write(f"opt/site/{name}", "the page\n")
            return bundle

        def ask(*names):
            def drive(container):
                for name in names:
                    container.wait_for_answer("the page", "curl", "-s", f"http://127.0.0.1:8000/{name}")
            return drive
        self.learn(prepared(), ask("one"), *program)
        self.learn(prepared(), ask("one"), *program)
        recording = self.learn(prepared(), ask("two"), *program)
        added = [run["added"] for run in recording["runs"]]
        self.assertGreater(added[0], 10)
        self.assertEqual(added[1:], [0, 1], recording)
        self.profile()
        self.same_run(prepared(), ask("one", "two"), *program)

    def test_postgresql(self):
        """A server of many processes: clients at once, what is cleaned up, written out and shut down in order. The
        second run finds files that the first had to make."""
        versions = os.listdir("/usr/lib/postgresql")
        binary = f"/usr/lib/postgresql/{versions[0]}/bin/postgres"
        user = "setpriv --reuid postgres --regid postgres --clear-groups"
        bundle = self.prepared()
        bundle.memory_at("/run/postgresql")
        bundle.config["annotations"] = {}
        made = bundle.shell("crun", "cd /tmp; mkdir -p /var/lib/postgresql/test; chown -R postgres /var/lib/postgresql\n"
                                    f"{user} {os.path.dirname(binary)}/initdb -A trust -N -D /var/lib/postgresql/test\n",
                            timeout=600)
        self.assertEqual(made.returncode, 0, made)
        client = ("psql", "-h", "127.0.0.1", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-tA")

        def drive(container):
            def ask(*queries):
                answer = container.client(*client, *(word for query in queries for word in ("-c", query)))
                self.assertEqual(answer.returncode, 0, answer)
                return answer.stdout.split()[-1]
            container.wait_for_answer("1", *client, "-c", "select 1", seconds=300)
            pid = container.pid()
            sessions = [subprocess.Popen(
                ["nsenter", "-t", str(pid), "-n", *client,
                 "-c", f"create table t{i} as select n, repeat('x', 500) as text from generate_series(1, 5000) n",
                 "-c", f"insert into t{i} select n, 'y' from generate_series(5001, 6000) n",
                 "-c", f"create index on t{i} (text, n)", "-c", f"delete from t{i} where n % 2 = 0",
                 "-c", f"vacuum analyze t{i}", "-c", f"select count(*) from t{i}"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for i in range(4)]
            for session in sessions:
                output, errors = session.communicate(timeout=300 * PATIENCE)
                self.assertEqual((session.returncode, output.split()[-1]), (0, "3000"), errors)
            # More than work_mem: sorted on the disk.
            self.assertEqual(ask("set work_mem = 64",
                                 "select count(*) from (select text from t0 order by text offset 0) s"), "3000")
            ask("checkpoint", "drop table t0, t1, t2, t3")
            self.assertEqual(container.client("kill", "-INT", str(pid)).returncode, 0)
            wait_for(lambda: container.state()["status"] == "stopped", "it is shut down", 180)
            self.assertIn("database system is shut down", container.output())
        script = bundle.script("entrypoint.sh", f"cd /tmp; exec {user} {binary} -D /var/lib/postgresql/test "
                                                "-k /run/postgresql -c listen_addresses=127.0.0.1 -c autovacuum_naptime=1\n")
        bundle.annotate("learn", **{"io.landlock.program": binary})
        recording = self.learn(bundle, drive, script)
        self.assertEqual(set(recording["runs"][0]), {"began", "ended", "container", "added"})
        made = self.profile("--program", binary)
        rules = made["entries"][0]["policy"]["pathBeneath"]
        self.assertLessEqual(sum(len(rule["parent"]) for rule in rules), 40, rules)
        self.same_run(bundle, drive, script)

    @unittest.skipUnless(FULL, MORE)
    def test_tools(self):
        """A shell that has other programs do its work."""
        text = """
            set -e
            mkdir -p /tmp/work/from /tmp/work/to /opt/open/kept
            for i in $(seq 20); do printf '%s line\\n' $i > /tmp/work/from/$i; done
            cat /opt/in/*.txt | tr a-z A-Z | sort -u | tee /tmp/work/upper | wc -l
            tar -C /tmp/work -czf /tmp/work/from.tar.gz from
            tar -C /tmp/work/to -xzf /tmp/work/from.tar.gz
            diff -r /tmp/work/from /tmp/work/to/from
            find /tmp/work -type f -name '1*' -exec grep -l line {} + | sort | sed -n 1p
            cp -a /tmp/work/to/from /opt/open/kept/copy
            mv /opt/open/kept/copy/1 /opt/open/one
            ln -s one /opt/open/link; ln /opt/open/one /opt/open/hard; chmod 600 /opt/open/one
            awk '{ n += $1 } END { print n }' /opt/open/kept/copy/*
            sha256sum /opt/in/a.txt | cut -c1-8
            mkfifo /tmp/work/pipe; (cat /tmp/work/pipe > /tmp/work/out &) ; echo through > /tmp/work/pipe
            date > /dev/null; id -u; uname -s; head -c 16 /dev/urandom | od -An -tx1 > /dev/null
            truncate -s 0 /opt/open/one; rm -r /tmp/work /opt/open/*
            echo done
        """

        def prepared():
            bundle = self.prepared()
            bundle.config["process"]["cwd"] = "/opt/in"
            os.makedirs(bundle.path("opt/in"))
            for name in ("a", "b"):
                bundle.write(f"opt/in/{name}.txt", f"{name} word\nword\n")
            return bundle, bundle.script("entrypoint.sh", text)

        def drive(container):
            wait_for(lambda: container.state()["status"] == "stopped", "it is done", 180)
            self.assertEqual(container.output().split()[-1:], ["done"], container.output())
        bundle, script = prepared()
        self.learn(bundle, drive, script)
        made = self.profile()
        rules = made["entries"][0]["policy"]["pathBeneath"]
        self.assertLessEqual(sum(len(rule["parent"]) for rule in rules), 50, rules)
        bundle, script = prepared()
        self.same_run(bundle, drive, script)

    def test_flood(self):
        """However many files there are: the recording keeps its bound, says what it lacks, and no profile is made of
        it unless that is asked for."""
        bundle = self.prepared()
        os.makedirs(bundle.path("opt/many"))
        for i in range(20000):
            with open(bundle.path(f"opt/many/{i}"), "w", encoding="utf-8"):
                pass
        script = bundle.script("entrypoint.sh", "find /opt/many -type f -exec cat {} +\n")
        with self.recorder(bundle.id) as recorder:
            result = bundle.run("crun", script, timeout=300)
            self.assertEqual(result.returncode, 0, result)
            self.assertEqual(recorder.wait(), 1, recorder.said())
            self.assertIn("not whole: run 0: ", recorder.said())
        recording = self.recorded()
        self.assertLessEqual(len(recording["paths"]), 16384)
        run, = recording["runs"]
        self.assertGreater(run.get("leftOut", 0) + run.get("lost", 0), 20000 - 16384)
        refused = oci_landlock("learn", "profile", self.recording)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""))
        self.assertIn("--incomplete", refused.stderr)
        self.assertEqual(oci_landlock("learn", "profile", "--incomplete", "--omit", self.recording).returncode, 0)

    def test_names_of_its_own(self):
        """A program that makes ever more files takes one line of the recording."""
        bundle = self.prepared()
        script = bundle.script("entrypoint.sh", "mkdir /tmp/d; for i in $(seq 80); do echo > /tmp/$i; echo > /tmp/d/$i;"
                                                " mv /tmp/$i /tmp/x$i; done; rm /tmp/x*; ls / > /dev/null\n")
        recording = self.learn(bundle, lambda container: wait_for(
            lambda: container.state()["status"] == "stopped", "it is done", 120), script)
        paths = {item["path"]: item for item in recording["paths"]}
        self.assertEqual([path for path in paths if path.startswith("/tmp")], ["/tmp"])
        self.assertEqual(paths["/"]["rights"], ["read_dir"])
        self.assertEqual(set(paths["/tmp"]["rights"]), {"make_reg", "make_dir", "remove_file", "read_dir"})
        self.assertEqual(set(paths["/tmp"]["beneath"]), {"write_file", "make_reg", "truncate"})

    def test_opened_by_the_kernel(self):
        """What the kernel opens for a program that it tells of events needs the right as well."""
        bundle = self.bundle()
        bundle.annotate("learn")
        for kind in ("bounding", "effective", "permitted"):
            bundle.config["process"]["capabilities"][kind].append("CAP_SYS_ADMIN")
        bundle.write("etc/watched", "")

        def drive(container):
            container.wait_for("notified /etc/watched: opened")
        recording = self.learn(bundle, drive, "/bin/probe", "notified", "/etc/watched")
        paths = {item["path"]: item["rights"] for item in recording["paths"]}
        self.assertCountEqual(paths["/etc/watched"], ["read_file", "write_file"])

    def test_sent_before_connected(self):
        """TCP's fast open: a message that also connects."""
        bundle = self.bundle()
        bundle.annotate("learn")
        recording = self.learn(bundle, lambda container: container.wait_for("fastopen"), "/bin/probe", "fastopen", "7779")
        self.assertEqual(recording["ports"], [{"port": 7779, "rights": ["connect_tcp"]}])

    def test_late(self):
        """What began before is not whole, and says so."""
        bundle = self.prepared()
        script = bundle.script("entrypoint.sh", "while cat /etc/secret; do sleep 0.2; done\n")
        with bundle.running("crun", script) as container:
            container.wait_for("secret")
            with self.recorder(bundle.id) as recorder:
                wait_for(lambda: "recording " in recorder.said(), "it has met it")
                time.sleep(2)
                self.assertEqual(recorder.end(), 1, recorder.said())
                self.assertIn("the program ran already", recorder.said())
            self.assertEqual(container.state()["status"], "running")

    def test_signals(self):
        """To its own children: inside. To what runs beside it: a scope would deny it."""
        inside = self.prepared()
        script = inside.script("entrypoint.sh", "sleep 100 & kill $!; wait; true\n")
        result = self.learn(inside, lambda container: wait_for(
            lambda: container.state()["status"] == "stopped", "it is done"), script)
        self.assertEqual(result["scopes"], [])
        outside = self.prepared(**{"io.landlock.program": "/bin/inner"})
        shutil.copy(outside.path("bin/probe"), outside.path("bin/inner"))
        script = outside.script("entrypoint.sh", "sleep 100 & /bin/inner exec /bin/sh -c \"kill $!\"; wait; true\n")
        result = self.learn(outside, lambda container: wait_for(
            lambda: container.state()["status"] == "stopped", "it is done"), script)
        self.assertEqual(result["scopes"], ["signal"])

    def test_refused(self):
        """What something else refuses, here a sandbox of the program's own, is asked for all the same, and counted."""
        bundle = self.prepared()
        result = self.learn(bundle, lambda container: wait_for(
            lambda: container.state()["status"] == "stopped", "it is done"),
            "/bin/probe", "only-read", "/allowed", "+", "read", "/etc/secret", "+", "read", "/allowed/file")
        self.assertEqual([run["refused"] for run in result["runs"]], [1])
        rights = {item["path"]: item["rights"] for item in result["paths"]}
        self.assertEqual((rights["/etc/secret"], rights["/allowed/file"]), (["read_file"], ["read_file"]))

    def test_audited(self):
        """What an audited entry would deny is recorded like all else: nothing is refused, and enforced, the profile that
        is made of it denies nothing."""
        def drive(container):
            wait_for(lambda: container.state()["status"] == "stopped", "it is done", 120)
            self.assertEqual(container.output(), "secret\ndone\n")

        def prepared():
            bundle = self.prepared()
            bundle.script("entrypoint.sh", "cat /etc/secret; echo x > /tmp/x; cat /tmp/x > /opt/open/x; echo done\n")
            return bundle
        bundle = prepared()
        rules = policy(read=["/bin"], write=["/dev"])
        bundle.annotate(profile({**entry(rules=rules), "mode": "audit"}))
        recording = self.learn(bundle, drive, "/entrypoint.sh")
        self.assertEqual(set(recording["runs"][0]), {"began", "ended", "container", "added"})
        self.assertEqual(recording["programs"], ["/usr/bin/dash"])
        paths = {item["path"]: item for item in recording["paths"]}
        self.assertEqual(paths["/etc/secret"]["rights"], ["read_file"])
        self.assertEqual(paths["/tmp"], {"path": "/tmp", "rights": ["make_reg"],
                                         "beneath": ["write_file", "read_file", "truncate"]})
        self.profile()
        self.same_run(prepared(), drive, "/entrypoint.sh")

    def replica(self, name, path):
        """One of several containers that are called alike."""
        bundle = self.prepared()
        bundle.id = f"{os.path.basename(self.directory)}-{name}"
        for each in ("one", "two", "late"):
            bundle.write(f"opt/{each}", f"{each}\n")
        bundle.script("entrypoint.sh", f"cat {path}; sleep 0; until [ -e /opt/go ]; do sleep 0.2; done; cat /opt/late\n")
        return bundle

    def replicas(self):
        """Two of them at once; what they do not share is a file each."""
        one, two = self.replica("one", "/opt/one"), self.replica("two", "/opt/two")
        with self.recorder(os.path.basename(self.directory)) as recorder:
            with two.running("crun", "/entrypoint.sh") as second:
                second.wait_for("two")
                with one.running("crun", "/entrypoint.sh") as first:
                    first.wait_for("one")
                    wait_for(lambda: f"recording {one.id}" in recorder.said(), "it has met both")
                wait_for(lambda: one.id not in oci_landlock("status").stdout, "the first is gone")
                time.sleep(3)
                two.write("opt/go", "")
                second.wait_for("late")
            self.assertEqual(recorder.wait(), 0, recorder.said())
        run, = self.recorded()["runs"]
        self.assertEqual(run["container"], f"{one.id}, {two.id}")
        both = {item["path"] for item in self.recorded()["paths"]}
        self.assertLessEqual({"/opt/one", "/opt/two", "/opt/late"}, both)
        return both

    def test_replicas(self):
        """Containers that are called alike are one run, which ends with the last of them."""
        self.replicas()

    @unittest.skipUnless(FULL, MORE)
    def test_replicas_apart(self):
        """Recorded apart, they say together what they say as one run."""
        def alone(bundle, file):
            self.recording = os.path.join(self.directory, file)

            def drive(container):
                bundle.write("opt/go", "")
                container.wait_for("late")
            return {item["path"] for item in self.learn(bundle, drive, "/entrypoint.sh")["paths"]}
        both = self.replicas()
        together = self.recording
        found = [alone(self.replica("three", "/opt/one"), "one.json"), alone(self.replica("four", "/opt/two"), "two.json")]
        self.assertNotIn("/opt/two", found[0])
        self.assertEqual(found[0] | found[1], both)
        files = [os.path.join(self.directory, name) for name in ("one.json", "two.json")]
        made = oci_landlock("learn", "profile", "--explain", *files)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("two.json: adds 1 facts\n", made.stderr)
        path = os.path.join(self.directory, "both.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(made.stdout)
        for recording in (together, *files):
            against = oci_landlock("check", "--against", recording, path)
            self.assertEqual((against.returncode, "would deny nothing" in against.stdout), (0, True), against)
        # What one of them alone has shown is not enough for the other.
        self.recording = files[0]
        made = oci_landlock("learn", "profile", files[0])
        with open(path, "w", encoding="utf-8") as file:
            file.write(made.stdout)
        against = oci_landlock("check", "--against", files[1], path)
        self.assertEqual((against.returncode, "read_file /opt/two" in against.stdout), (1, True), against)

    def test_refusals(self):
        """No container, no place for the file, no recording."""
        with self.recorder("nobody") as recorder:
            self.assertEqual(recorder.end(), 1)
            self.assertIn("nobody was there", recorder.said())
        self.assertFalse(os.path.exists(self.recording))
        nowhere = oci_landlock("learn", "record", "x", "--output", "/nowhere/file")
        self.assertEqual(nowhere.returncode, 1)
        self.assertIn("cannot write /nowhere/file", nowhere.stderr)
        with open(self.recording, "w", encoding="utf-8") as file:
            file.write('{"version": 1, "paths": [{"path": "etc"}]}')
        for words in (("record", "x", "--output"), ("profile",)):
            wrong = oci_landlock("learn", *words, self.recording)
            self.assertEqual(wrong.returncode, 1)
            self.assertIn("/paths/0/path: must be an absolute path", wrong.stderr)
        with open(self.recording, "w", encoding="utf-8") as file:
            json.dump({"version": 1, "runs": [{}] * 256}, file)
        full = oci_landlock("learn", "record", "x", "--output", self.recording)
        self.assertEqual((full.returncode, "has 256 runs, and no room for another" in full.stderr), (1, True), full)
        together = oci_landlock("learn", "profile", self.recording, self.recording)
        self.assertEqual((together.returncode, together.stdout), (1, ""))
        self.assertIn("more than 256 runs or 64 programs", together.stderr)
        for option in ("--into", "--program"):
            relative = oci_landlock("learn", "profile", option, "run", self.recording)
            self.assertEqual((relative.returncode, relative.stdout), (2, ""))
            self.assertIn(f"{option} wants an absolute path", relative.stderr)
        os.unlink(self.recording)
        os.mkfifo(self.recording)
        for words in (("learn", "profile", self.recording), ("learn", "record", "x", "--output", self.recording),
                      ("check", "--against", self.recording, f"{DIRECTORY}/nginx.json")):
            pipe = oci_landlock(*words)
            self.assertGreater(pipe.returncode, 0)
            self.assertIn("not a regular file", pipe.stderr)

    def start(self, *subject, code=0, **options):
        started = oci_landlock("learn", "start", *subject, "--output", self.recording, **options)
        self.assertEqual(started.returncode, code, started)
        if code == 0:
            self.addCleanup(oci_landlock, "learn", "stop", *subject)
        return started.stderr

    def stop(self, *subject, code=0):
        stopped = oci_landlock("learn", "stop", *subject)
        self.assertEqual((stopped.returncode, stopped.stdout), (code, ""), stopped)
        return stopped.stderr

    def kill_recorder(self):
        pid, = recorders()
        kill(pid, signal.SIGKILL)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "it is dead", 60)

    def reader(self):
        bundle = self.prepared()
        bundle.script("entrypoint.sh", "cat /etc/secret\n")
        return bundle

    def test_start_and_stop(self):
        bundle = self.reader()
        self.assertEqual(self.start(bundle.id), f"watching for {bundle.id}\n")
        self.assertEqual(len(recorders()), 1)
        # In a session of its own, with nothing of whoever has started it.
        pid, = recorders()
        self.assertEqual(os.getsid(pid), pid)
        self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), "/")
        self.assertIn("there is a recorder of", self.start(bundle.id, code=1))
        self.assertEqual(recorders(), [pid])
        result = bundle.run("crun", "/entrypoint.sh")
        self.assertEqual((result.returncode, result.stdout), (0, "secret\n"), result)
        # It has ended with the container, or is about to; what it has said is there.
        wait_for(lambda: not recorders(), "it has ended", 60)
        said = self.stop(bundle.id)
        self.assertRegex(said, rf"\Awatching for {bundle.id}\nrecording {bundle.id}\n\d+ facts; this run has added \d+\n\Z")
        self.assertIn("/etc/secret", [item["path"] for item in self.recorded()["paths"]])
        self.assertIn("nothing records", self.stop(bundle.id, code=1))
        # Before the container ends: that goes on.
        again = self.prepared()
        again.script("entrypoint.sh", "cat /etc/secret; while sleep 1; do :; done\n")
        self.start(again.id)
        with again.running("crun", "/entrypoint.sh") as container:
            container.wait_for("secret")
            self.assertIn("facts; this run has added", self.stop(again.id))
            self.assertEqual(container.state()["status"], "running")
        self.assertEqual(recorders(), [])
        self.assertEqual([run["container"] for run in self.recorded()["runs"]], [bundle.id, again.id])
        self.assertEqual(os.listdir("/run/oci-landlock/learn"), [])
        self.assertEqual(stat.S_IMODE(os.stat("/run/oci-landlock/learn").st_mode), 0o700)

    def test_recorders_that_nobody_asked(self):
        """One that ended, and one that was killed: it is said, by whoever comes next."""
        bundle = self.reader()
        self.start(bundle.id)
        self.assertEqual(bundle.run("crun", "/entrypoint.sh").returncode, 0)
        wait_for(lambda: not recorders(), "it has ended", 60)
        self.assertRegex(self.start(bundle.id), f"nobody has stopped, had said:\n(.*\n)*recording {bundle.id}\n")
        self.kill_recorder()
        self.assertIn("was killed, and had said:\nwatching for", self.start(bundle.id))
        self.kill_recorder()
        self.assertIn("was killed, and this run is in no recording", self.stop(bundle.id, code=1))
        self.assertEqual(len(self.recorded()["runs"]), 1)
        # Told to end by a signal, as at the end of the machine, it writes what there is: here nothing.
        self.start(bundle.id)
        kill(*recorders(), signal.SIGTERM)
        wait_for(lambda: not recorders(), "it has ended", 60)
        self.assertIn("was there, so that nothing is recorded", self.stop(bundle.id, code=1))
        # And without the selector.
        self.start(bundle.id)
        self.assertEqual(oci_landlock("unload").returncode, 0)
        wait_for(lambda: not recorders(), "it has ended", 60)
        self.assertIn("the selector was unloaded", self.stop(bundle.id, code=1))

    def test_starts_that_are_refused(self):
        """All that can be known before is said before, and nothing is left behind."""
        bad = os.path.join(self.directory, "bad")
        os.mkdir(bad)
        os.mkfifo(os.path.join(bad, "pipe"))
        small = os.path.join(self.directory, "small")
        os.mkdir(small)
        command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small, check=True)
        self.addCleanup(command, "umount", "-l", small)
        fixed = os.path.join(self.directory, "fixed")
        os.mkdir(fixed)
        command("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", fixed, check=True)
        self.addCleanup(command, "umount", "-l", fixed)
        for output, message in (("bad/pipe", "not a regular file"), ("bad", "not a regular file"),
                                ("small/file", "No space left on device"), ("fixed/file", "Read-only file system"),
                                ("none/file", "No such file or directory")):
            with self.subTest(output=output):
                self.recording = os.path.join(self.directory, output)
                self.assertIn(message, self.start("web", code=1))
        self.assertEqual(os.listdir(small), [])
        self.recording = os.path.join(self.directory, "recording.json")
        for words in (("start",), ("start", "--output", "x"), ("start", "web"), ("start", "web", "--annotation", "web"),
                      ("stop",), ("stop", ""), ("stop", "one", "two"), ("record", "--output", "x")):
            self.assertEqual(oci_landlock("learn", *words).returncode, 2, words)
        # Somebody else's is nobody's to stop.
        self.start("theirs")
        stopped = command("setpriv", "--reuid", "65534", "--clear-groups", OCI_LANDLOCK, "learn", "stop", "theirs")
        self.assertEqual((stopped.returncode, "needs root" in stopped.stderr), (1, True), stopped)
        self.assertEqual(len(recorders()), 1)
        self.assertIn("nothing is recorded", self.stop("theirs", code=1))
        self.assertEqual(oci_landlock("unload").returncode, 0)
        self.assertIn("the selector is not loaded", self.start("web", code=1))
        self.assertEqual(recorders(), [])
        left = "/run/oci-landlock/learn"
        self.assertEqual(os.listdir(left) if os.path.exists(left) else [], [])
        self.assertFalse(os.path.exists(self.recording))

    def test_names_of_any_form(self):
        """Of containers, which are shown printably, and of recordings, which are bounded."""
        names = ("a\x1b]0;x\n", "../../../tmp/x", "." * 300, "shop/web", "ended 0")
        for name in names if FULL else names[:2]:
            said = self.start(name)
            self.assertRegex(said, r"\Awatching for [ -~]+\n\Z")
            self.assertIn("nothing is recorded", self.stop(name, code=1))
        for name in (".x", "a/b", "a b", "x" * 129, "a\n", "\x1b"):
            self.assertIn("must be 1 to 128 letters", self.start("--annotation", name, code=1))
        self.assertIn("the word for --annotation is empty", self.start("--annotation", "", code=2))
        # A container of a name is nothing to a recording of that name.
        self.start("web")
        self.start("--annotation", "web")
        self.assertEqual(len(recorders()), 2)
        self.assertIn("and is called web was there", self.stop("web", code=1))
        self.assertIn("the annotation io.landlock.learn: web was there", self.stop("--annotation", "web", code=1))
        self.assertEqual(recorders(), [])

    def test_what_a_start_has_inherited(self):
        """Nobody waits for the container who waits for the end of a descriptor."""
        reads, writes = os.pipe()
        self.start("web", pass_fds=[writes])
        os.close(writes)
        ready, _, _ = select.select([reads], [], [], 30)
        self.assertEqual((ready, os.read(reads, 1)), ([reads], b""))
        os.close(reads)
        self.assertEqual(len(recorders()), 1)

    def test_annotation(self):
        """Who asks to be recorded is, or does not start: with the profile `learn`, or under its own."""
        def asking(name, **annotations):
            bundle = self.reader()
            bundle.config["annotations"] = {"io.landlock.learn": name, **annotations}
            return bundle

        def refused(bundle, message):
            before = len(node_log())
            result = bundle.run("crun", "/entrypoint.sh")
            self.assertNotEqual(result.returncode, 0)
            self.assertEqual(result.stdout, "")
            self.assertIn(message, node_log()[before:] + result.stderr)
        nobody = "nobody records rollout; run `oci-landlock learn start --annotation rollout --output FILE` first"
        refused(asking("rollout"), nobody)
        self.start("rollout")
        refused(asking("rollout"), nobody)
        self.stop("rollout", code=1)
        for name in ("", "../web", "web\n", "x" * 129):
            refused(asking(name), "annotation io.landlock.learn: recording name")

        self.start("--annotation", "rollout")
        refused(asking("roll"), "nobody records roll;")
        one, two, other = asking("rollout"), asking("rollout"), self.reader()
        own = asking("rollout")
        own.config["annotations"]["io.landlock.profile"] = json.dumps(profile(entry(rules=policy(read=["/bin"]))))
        for bundle in (one, other, two):
            result = bundle.run("crun", "/entrypoint.sh")
            self.assertEqual((result.returncode, result.stdout), (0, "secret\n"), result)
        result = own.run("crun", "/bin/probe", "read", "/etc/secret")
        self.assertIn("read /etc/secret: Permission denied", result.stdout + result.stderr)
        # No baseline is taken away, and none is widened.
        for name, text in (("profiles/base.json", profile(entry(name="base", rules=policy(read=["/bin", "/usr/bin"])))),
                           ("config.json", {"baseline": "base", "allowInline": False})):
            with open(f"/etc/oci-landlock/{name}", "w", encoding="utf-8") as file:
                json.dump(text, file)
        self.addCleanup(os.unlink, "/etc/oci-landlock/profiles/base.json")
        based = asking("rollout")
        result = based.run("crun", "/bin/probe", "read", "/etc/secret")
        os.unlink("/etc/oci-landlock/config.json")
        self.assertIn("read /etc/secret: Permission denied", result.stdout + result.stderr, node_log())
        # Of a pod, by container.
        web, db = (asking("rollout", **{"io.kubernetes.cri.container-name": name}) for name in ("web", "db"))
        for bundle in (web, db):
            bundle.config["annotations"]["io.landlock.learn/web"] = bundle.config["annotations"].pop("io.landlock.learn")
            self.assertEqual(bundle.run("crun", "/entrypoint.sh").returncode, 0)
        time.sleep(3)
        self.assertEqual(len(recorders()), 1)
        said = self.stop("--annotation", "rollout")
        for bundle in (one, two, own, based, web):
            self.assertIn(f"recording {bundle.id}\n", said)
        for bundle in (other, db):
            self.assertNotIn(bundle.id, said)
        run, = self.recorded()["runs"]
        self.assertEqual(run["container"].split(", "), sorted(bundle.id for bundle in (one, two, own, based, web)))
        self.assertGreater(run["refused"], 0)
        self.assertIn("/etc/secret", [item["path"] for item in self.recorded()["paths"]])

        self.start("--annotation", "rollout")
        self.kill_recorder()
        refused(asking("rollout"), nobody)

    def test_the_guide(self):
        bundle = Bundle(os.path.join(self.directory, "bundle"))
        os.makedirs(bundle.path("opt/shop"))
        os.makedirs(bundle.path("run"))
        bundle.write("opt/shop/data", "42\n")
        job = bundle.script("opt/shop/job", "read x < /opt/shop/data; echo $$ > /run/shop.pid; echo $x > /tmp/x$$\n"
                                            "cat /tmp/x$$ > /dev/null; rm /tmp/x$$; echo done\n")
        bundle.config["process"]["args"] = [job]
        for path in ("run", "tmp"):
            bundle.config["mounts"].append({"destination": "/" + path, "type": "tmpfs", "source": "tmpfs"})
        bundle.annotate("learn")
        bundle.save()
        self.addCleanup(os.unlink, os.path.join(DIRECTORY, "shop.json"))
        follow(self, "learn.md", self.directory)
