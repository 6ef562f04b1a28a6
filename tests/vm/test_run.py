# SPDX-License-Identifier: Apache-2.0
"""`oci-landlock run`: a profile on a command of this machine, as root and as an ordinary user. Needs no applier."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from cases import PATIENCE
from containers import OCI_LANDLOCK, PROBE, copy_program, entry, policy, profile, settings

NOBODY = 65534
# What no kernel has, or will have for a long time.
UNKNOWN = 1 << 40


def handling(*rights, rules=()):
    """Rights that every kernel with Landlock has, denied but for what the rules allow."""
    return {"ruleset": [{"handledAccessFs": list(rights)}], **({"pathBeneath": list(rules)} if rules else {})}


class Run(unittest.TestCase):
    def setUp(self):
        """A directory that everybody can enter, with the programs: the tree may lie in one of root's."""
        self.home = tempfile.mkdtemp(prefix="run-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.home)
        os.chmod(self.home, 0o755)
        self.program = copy_program(OCI_LANDLOCK, self.path("oci-landlock"))
        self.probe = copy_program(PROBE, self.path("probe"))
        for name in ("secret", "allowed"):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(name + "\n")
        self.reads = (self.probe, "read", self.path("secret"), "+", "read", self.path("allowed"))
        # Enough for the probe, and what it may read.
        self.rules = policy(read=[self.probe, self.path("allowed")], write=["/dev"])

    def path(self, *names):
        return os.path.join(self.home, *names)

    def verdicts(self, secret, allowed="allowed"):
        return f"read {self.path('secret')}: {secret}\nread {self.path('allowed')}: {allowed}\n"

    def write(self, document, name="profile.json", owner=0, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.chmod(path, mode)
        os.chown(path, owner, owner)
        return path

    def run_it(self, *words, user=None, **options):
        before = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups") if user else ()
        environment = {"PATH": os.environ["PATH"], "HOME": self.home, **options.pop("env", {})}
        return subprocess.run([*before, self.program, "run", *words], capture_output=True, text=True, timeout=60 * PATIENCE,
                              env=environment, check=False, **options)

    def shell(self, script, **more):
        """What a script says, which a profile does not keep from much."""
        file = self.write(profile(entry(rules=handling("make_sock"), **more)), "shell.json")
        return self.run_it("--profile", file, "--", "sh", "-c", script)

    def assertDone(self, result, output):
        self.assertEqual((result.returncode, result.stdout), (0, output), result.stderr)
        self.assertEqual(result.stderr, "")

    def assertRefused(self, result, *texts, status=125):
        """One line of ours, and nothing has run."""
        self.assertEqual((result.returncode, result.stdout), (status, ""), result.stderr)
        self.assertRegex(result.stderr, r"\Aoci-landlock: [^\n]+\n\Z")
        for text in texts:
            self.assertIn(text, result.stderr)

    def test_a_file(self):
        file = self.write(profile(entry(rules=self.rules)))
        for user in (None, NOBODY):
            with self.subTest(user=user):
                free = subprocess.run(self.reads, stdout=subprocess.PIPE, text=True, check=True)
                self.assertEqual(free.stdout, self.verdicts("allowed"))
                for before in ((), ("--",)):
                    result = self.run_it("--profile", file, *before, *self.reads, user=user)
                    self.assertDone(result, self.verdicts("Permission denied"))
        os.rename(file, self.path("here.json"))
        self.assertDone(self.run_it("--profile=here.json", "./probe", *self.reads[1:], cwd=self.home),
                        self.verdicts("Permission denied"))

    def test_by_name(self):
        """A user's own first, and only his."""
        own = self.write(profile(entry(rules=self.rules)), ".config/oci-landlock/profiles/own.json", owner=NOBODY)
        self.assertDone(self.run_it("--profile", "own", *self.reads, user=NOBODY), self.verdicts("Permission denied"))
        self.assertRefused(self.run_it("--profile", "own", *self.reads), 'no profile "own": tried ')
        with settings(profileDirectories=[os.path.dirname(own)]):
            self.assertRefused(self.run_it("--profile", "own", *self.reads), own, "writable by root alone")
            os.chown(own, 0, 0)
            self.assertDone(self.run_it("--profile", "own", *self.reads), self.verdicts("Permission denied"))
        self.assertRefused(self.run_it("--profile", "../own", *self.reads), "No such file or directory")
        self.assertRefused(self.run_it("--profile", "", *self.reads), "the word for --profile is empty")

    def test_files_of_others(self):
        """Whoever could have written it has no say in what is restricted."""
        file = self.write(profile(entry(rules=self.rules)), mode=0o666)
        for user in (None, NOBODY):
            self.assertRefused(self.run_it("--profile", file, *self.reads, user=user), file, "chmod go-w")
        os.chmod(file, 0o644)
        os.chown(file, 1000, 1000)
        for user in (None, NOBODY):
            self.assertRefused(self.run_it("--profile", file, *self.reads, user=user), file, "must belong to")
        os.chown(file, NOBODY, NOBODY)
        self.assertDone(self.run_it("--profile", file, *self.reads, user=NOBODY), self.verdicts("Permission denied"))
        os.mkfifo(self.path("pipe.json"))
        self.assertRefused(self.run_it("--profile", self.path("pipe.json"), *self.reads), "not a regular file")

    def test_it_becomes_the_command(self):
        """The same process, with the name, the environment and the signals that it was given."""
        file = self.write(profile(entry(rules=handling("make_sock"))))
        process = subprocess.Popen([self.program, "run", "--profile", file, "sh", "-c", 'echo $$ "$0" "$1" $X', "--help",
                                    "--entry"], stdout=subprocess.PIPE, text=True, env={**os.environ, "X": "there"})
        self.assertEqual((process.communicate()[0], process.returncode), (f"{process.pid} --help --entry there\n", 0))
        self.assertEqual(self.shell("exit 7").returncode, 7)
        self.assertEqual(self.shell("kill -9 $$").returncode, -signal.SIGKILL)
        state = "grep -E '^Sig(Blk|Ign|Cgt)|^Seccomp|^Cap' /proc/self/status; ulimit -a"
        free = subprocess.run(["sh", "-c", state], stdout=subprocess.PIPE, text=True, check=True)
        self.assertDone(self.shell(state), free.stdout)

    def test_statuses(self):
        """As env(1) has them."""
        file = self.write(profile(entry(rules=self.rules)))
        with open(self.path("plain"), "w", encoding="utf-8") as plain:
            plain.write("no program")
        for name, mode in (("plain", 0o644), ("text", 0o755), ("script", 0o755)):
            shutil.copy(self.path("plain"), self.path(name + "1"))
            with open(self.path(name + "1"), "w", encoding="utf-8") as out:
                out.write("#!/no/interpreter\n" if name == "script" else "no program")
            os.chmod(self.path(name + "1"), mode)
        wide = self.write(profile(entry(rules=handling("make_sock"))), "wide.json")
        for status, used, word, text in (
                (127, file, "no-such-command", "no-such-command: No such file or directory"),
                (127, file, "", '"": No such file or directory'),
                (127, file, self.path("absent"), "No such file or directory"),
                (127, wide, self.path("script1"), "its interpreter or loader is missing"),
                (126, file, self.path("plain1"), "Permission denied\n"),
                (126, file, self.home, "Permission denied\n"),
                (126, wide, self.path("text1"), "Exec format error"),
                (126, file, "sh", "the profile must allow execute and read_file")):
            with self.subTest(word=word, status=status):
                self.assertRefused(self.run_it("--profile", used, word), text, status=status)
        # As the C library looks for commands.
        os.mkdir(self.path("first"))
        os.mkdir(self.path("first", "probe"))
        found = f"/nowhere:{self.path('first')}:{self.home}"
        self.assertDone(self.run_it("--profile", file, "probe", *self.reads[1:], env={"PATH": found}),
                        self.verdicts("Permission denied"))
        self.assertDone(self.run_it("--profile", file, "probe", *self.reads[1:], env={"PATH": ""}, cwd=self.home),
                        self.verdicts("Permission denied"))
        for directories in (self.path("first"), self.path("first") + ":/nowhere"):
            self.assertRefused(self.run_it("--profile", file, "probe", env={"PATH": directories}), "Permission denied",
                               status=126)

    def test_usage(self):
        file = self.write(profile(entry(rules=self.rules)))
        for words, text in (([], "name a command"), (["--profile", file], "name a command"), (["--profile"], "missing"),
                            (["--profile", file, "--"], "name a command"), (["--frobnicate", "true"], "frobnicate"),
                            (["--entry", "web", "true"], "--entry wants a --profile that has it"),
                            (["true"], "name a profile with --profile; this machine has no baseline"),
                            (["--profile", file, "--profile", file, "true"], "more than once")):
            with self.subTest(words=words):
                self.assertRefused(self.run_it(*words), text)
        for option in ("--help", "-h"):
            result = self.run_it(option)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertTrue(result.stdout.startswith("Usage: oci-landlock run [OPTION]... COMMAND [ARG]...\n"))

    def test_descriptors(self):
        """The command has those that it was given, and none of ours: also not where one was closed."""
        file = self.write(profile(entry(rules=[handling("make_sock")] * 3)))
        listing = ("ls", "-l", "/proc/self/fd")
        for closing in ("", "<&-", "2>&-", "<&- 2>&-", "5<&1"):
            with self.subTest(closing=closing):
                found = []
                for words in (listing, (self.program, "run", "--profile", file, *listing)):
                    result = subprocess.run(["bash", "-c", f'"$@" {closing}', "-", *words], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
                    found.append([(number, re.sub(r"\d", "", target)) for number, target in
                                  re.findall(r" (\d+) -> (.*)", result.stdout)])
                self.assertIn(("1", "pipe:[]"), found[0])
                self.assertEqual(found[0], found[1])

    def test_all_layers(self):
        """Each of them, of all entries that count."""
        layers = [handling("read_file", rules=[{"allowedAccess": ["read_file"], "parent": [self.home]}]),
                  handling("read_file", rules=[{"allowedAccess": ["read_file"], "parent": [self.probe]},
                                               {"allowedAccess": ["read_file"], "parent": [self.path("allowed")]}])]
        for order in (layers, layers[::-1]):
            file = self.write(profile(entry(rules=order)))
            self.assertDone(self.run_it("--profile", file, *self.reads), self.verdicts("Permission denied"))
        file = self.write(profile(entry(rules=layers[0]), entry(rules=layers[1])))
        self.assertDone(self.run_it("--profile", file, *self.reads), self.verdicts("Permission denied"))
        self.assertDone(self.run_it("--profile", file, "--entry=entry-0", *self.reads), self.verdicts("allowed"))

    def test_entries(self):
        """Those that would restrict the command in a container, the one that is named, or the only one."""
        wide = handling("read_file", rules=[{"allowedAccess": ["read_file"], "parent": [self.home]}])
        os.symlink(self.probe, self.path("link"))
        one = self.write(profile(entry({"program": ["/nowhere"]}, self.rules)))
        self.assertDone(self.run_it("--profile", one, *self.reads), self.verdicts("Permission denied"))
        several = self.write(profile(entry({"program": ["/nowhere"]}, wide, name="other"),
                                     entry({"program": [self.path("link")]}, self.rules, name="this"),
                                     entry({"program": ["/bin/true"]}, self.rules, name="third")), "several.json")
        self.assertDone(self.run_it("--profile", several, *self.reads), self.verdicts("Permission denied"))
        self.assertDone(self.run_it("--profile", several, "--entry", "other", *self.reads), self.verdicts("allowed"))
        self.assertRefused(self.run_it("--profile", several, "--entry", "web", *self.reads),
                           "has no entry web; it has: other, this, third")
        self.assertRefused(self.run_it("--profile", several, "ls"), "no entry selects ", "--entry: other, this, third")
        # `except` counts for all but those.
        strict = {**self.rules, "pathBeneath": self.rules["pathBeneath"][:1]}
        for excepted, verdict in (("/nowhere", "Permission denied"), (self.probe, "allowed")):
            file = self.write(profile(entry({"except": [excepted]}, strict), entry(rules=wide)), "except.json")
            self.assertDone(self.run_it("--profile", file, *self.reads), self.verdicts(verdict))

    def test_scripts_and_links(self):
        """As in a container, the interpreter of a script counts as well, and nothing is excepted by another name of its
        file."""
        wide = handling("read_file", rules=[{"allowedAccess": ["read_file"], "parent": [self.home]}])
        interpreter, script, nested, link = (self.path(name) for name in ("interpreter", "script", "nested", "link"))
        shutil.copy(self.probe, interpreter)
        os.link(self.probe, link)
        rules = policy(read=[self.probe, interpreter, script, nested, link, self.path("allowed")], write=["/dev"])
        for path, runs in ((script, interpreter), (nested, script)):
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"#!{runs} skip\n")
            os.chmod(path, 0o755)
        for select, command, verdict in (
                ({"program": [interpreter]}, script, "Permission denied"),
                ({"program": [interpreter]}, nested, "Permission denied"),
                ({"program": [script]}, nested, "Permission denied"),
                ({"program": [script]}, interpreter, "allowed"),
                ({"except": [script]}, script, "Permission denied"),
                ({"except": [script, interpreter]}, script, "allowed"),
                ({"except": [nested, interpreter]}, nested, "Permission denied"),
                ({"except": [self.probe]}, link, "Permission denied"),
                ({"except": [self.probe, link]}, link, "allowed"),
                ({"program": [self.probe]}, link, "Permission denied")):
            with self.subTest(select=select, command=command):
                strict = {**rules, "pathBeneath": rules["pathBeneath"][:1]} if "except" in select else rules
                file = self.write(profile(entry(select, strict), entry(rules=wide)), "scripts.json")
                words = () if command in (interpreter, link) else ("+",)
                result = self.run_it("--profile", file, command, *words, *self.reads[1:])
                self.assertDone(result, self.verdicts(verdict))

    def test_baseline(self):
        """It counts here as well, beneath a profile and alone."""
        wide = self.write(profile(entry(rules=handling("make_sock"))), "wide.json")
        self.write(profile(entry(rules=self.rules), entry({"program": ["/nowhere"]}, handling("read_file"))),
                   "profiles/base.json")
        os.chmod(self.path("profiles"), 0o755)
        with settings(profileDirectories=[self.path("profiles")], baseline="base"):
            for words in (("--profile", wide), ()):
                self.assertDone(self.run_it(*words, *self.reads), self.verdicts("Permission denied"))
            self.assertDone(self.run_it(*self.reads, user=NOBODY), self.verdicts("Permission denied"))
            # One that does not concern the command leaves nothing to run it with.
            self.write(profile(entry({"program": ["/nowhere"]}, handling("read_file"))), "profiles/base.json")
            self.assertRefused(self.run_it(*self.reads), "no entry selects ", "; name a profile with --profile")
            self.assertDone(self.run_it("--profile", wide, *self.reads), self.verdicts("allowed"))
        self.assertDone(self.run_it("--profile", wide, *self.reads), self.verdicts("allowed"))

    def test_no_new_privileges(self):
        for more, wanted in (({}, "1"), ({"noNewPrivileges": False}, "0")):
            self.assertDone(self.shell("grep NoNewPrivs /proc/self/status", **more), f"NoNewPrivs:\t{wanted}\n")
        file = self.write(profile(entry(rules=self.rules, noNewPrivileges=False)))
        self.assertRefused(self.run_it("--profile", file, *self.reads, user=NOBODY),
                           "landlock_restrict_self: Operation not permitted; it takes no_new_privs or CAP_SYS_ADMIN")
        # One that asks for it is enough.
        file = self.write(profile(entry(rules=self.rules, noNewPrivileges=False), entry(rules=self.rules)))
        self.assertDone(self.run_it("--profile", file, *self.reads, user=NOBODY), self.verdicts("Permission denied"))

    def test_what_cannot_be_had(self):
        """It does not run, or, where that is asked for, says in a line what it runs without."""
        newer = {**self.rules, "ruleset": [{"handledAccessFs": ["abi.all", UNKNOWN]}]}
        file = self.write(profile(entry(rules=newer, compat="require")))
        self.assertRefused(self.run_it("--profile", file, *self.reads), f"fs.{UNKNOWN} is not in Landlock ABI")
        self.rules["pathBeneath"].append({"allowedAccess": ["read_file"], "parent": ["/nowhere"]})
        file = self.write(profile(entry(rules=self.rules)))
        self.assertRefused(self.run_it("--profile", file, *self.reads), "/entries/0/policy/pathBeneath/2/parent/0",
                           "/nowhere: does not exist on this machine")
        newer = {**self.rules, "ruleset": [{"handledAccessFs": ["abi.all", UNKNOWN]}]}
        file = self.write(profile(entry(rules=newer, missingPaths="skip", name="web")))
        result = self.run_it("--profile", file, *self.reads)
        self.assertEqual((result.returncode, result.stdout), (0, self.verdicts("Permission denied")))
        self.assertRegex(result.stderr, rf"\Aoci-landlock: entry web is enforced partially, without (.*, )?fs.{UNKNOWN} "
                                        r"\(unknown\), /nowhere \(missing\)\n\Z")
        for text, said in (("{", "profile.json"), ('{"entries": []}', "profile.json"), ("{" * 300000, "larger than")):
            with open(file, "w", encoding="utf-8") as out:
                out.write(text)
            self.assertRefused(self.run_it("--profile", file, *self.reads), said)

    def test_the_kernel_refuses(self):
        """The seventeenth layer: the command does not run with the sixteen that there are."""
        file = self.write(profile(entry(rules=[handling("make_sock")] * 16)))
        more = self.write(profile(entry(rules=handling("make_sock"))), "more.json")
        again = (self.program, "run", "--profile", more, *self.reads)
        self.assertDone(self.run_it("--profile", more, *again), self.verdicts("allowed"))
        self.assertRefused(self.run_it("--profile", file, *again), "Argument list too long; a process can have 16 layers")

    def test_paths(self):
        """As in every profile of the node: from the root on, and links lead to nothing that is not listed."""
        rules = policy(read=[self.probe[1:], self.path("allowed")[1:]], write=["/dev"])
        file = self.write(profile(entry(rules=rules)))
        self.assertDone(self.run_it("--profile", file, *self.reads, cwd="/usr"), self.verdicts("Permission denied"))
        os.symlink(self.home, self.path("around"))
        self.rules["pathBeneath"][0]["parent"].append(self.path("around"))
        file = self.write(profile(entry(rules=self.rules)))
        self.assertRefused(self.run_it("--profile", file, *self.reads), self.path("around") + " leads to " + self.home +
                           " by a symbolic link")

    def test_check_can_says_the_same(self):
        """What is allowed and what is not, without executing anything; 2 is for what cannot be told."""
        def can(*words, right="read_file"):
            return subprocess.run([OCI_LANDLOCK, "check", "--can", right, *words], capture_output=True, text=True,
                                  check=False)
        file = self.write(profile(entry(rules=[self.rules, handling("make_sock")], name="web")))
        self.assertDone(self.run_it("--profile", file, *self.reads), self.verdicts("Permission denied"))
        for name, status, verdict in (("secret", 1, "denied, no rule allows it"),
                                      ("allowed", 0, "allowed by /entries/0/policy/0/pathBeneath/0/parent/1")):
            path = self.path(name)
            result = can("--path", path, file)
            said = verdict.split()[0].rstrip(",")
            self.assertEqual((result.returncode, result.stdout),
                             (status, f"{file}: read_file {path}: {said}\n  entry web: {said}\n    layer 0: {verdict}\n"
                                      "    layer 1: allowed, it is not handled\n"), result.stderr)
            found = json.loads(can("--path", path, "--json", file).stdout)
            self.assertEqual((found["right"], found["path"], found["allowed"]), ("read_file", path, status == 0))
        # One entry that denies it is enough, in whatever order they come.
        both = [entry(rules=self.rules), entry(rules=handling("make_sock"))]
        for entries in (both, both[::-1]):
            self.assertEqual(can("--path", self.path("secret"), self.write(profile(*entries), "both.json")).returncode, 1)
        for words in (["--path", self.path("absent"), file], ["--path", self.home, self.path("absent.json")],
                      ["--path", "relative", file], ["--port", "80", file], [file], ["--path", self.home],
                      ["--path", self.home, "--compose", file], ["--path", self.home, file, file],
                      ["--path", self.home, "--against", file, file],
                      ["--path", self.home, "--applier", "launch", file]):
            result = can(*words)
            self.assertEqual((result.returncode, result.stdout), (2, ""), words)
            self.assertRegex(result.stderr, r"\Aoci-landlock: [^\n]+\n\Z")
        for words in (["--path", self.home], ["--port", "80"]):
            result = subprocess.run([OCI_LANDLOCK, "check", *words, file], capture_output=True, text=True, check=False)
            self.assertEqual((result.returncode, result.stdout, "want --can" in result.stderr), (2, "", True), result)
        for right, words, status in (("bind_tcp", ["--port", "80"], 0), ("signal", [], 0), ("refer", [], 2), ("x", [], 2)):
            self.assertEqual(can(*words, file, right=right).returncode, status, right)
        self.rules["pathBeneath"][0]["parent"].append("/nowhere")
        file = self.write(profile(entry(rules=self.rules)))
        self.assertEqual(can("--path", self.path("allowed"), file).returncode, 2)

    def test_check_can_in_a_bundle(self):
        """Of the bundle's root file system alone, whatever this machine has by these names."""
        def can(path, document, *words):
            result = subprocess.run([OCI_LANDLOCK, "check", "--can", "read_file", "--path", path, "--bundle",
                                     self.path("bundle"), *words, self.write(document, "bundled.json")],
                                    capture_output=True, text=True, check=False)
            self.assertEqual(result.stdout == "", result.returncode == 2, result)
            return result.returncode, result.stderr

        self.write({"root": {"path": "rootfs"}}, "bundle/config.json")
        root = self.path("bundle", "rootfs")
        for name in ("data/here", "outside", "inside/file"):
            self.write({}, os.path.join(root, name))
        os.symlink("/inside", os.path.join(root, "data/link"))
        os.symlink("/data/here", os.path.join(root, "alias"))

        def reading(*paths, **more):
            return profile(entry(rules=handling("read_file", rules=[{"allowedAccess": ["read_file"], "parent": paths}]),
                                 **more))
        for path, status in (("/data/here", 0), ("/outside", 1), ("/alias", 0), ("/data/link/file", 1), ("/etc/passwd", 2),
                             (self.path("secret"), 2)):
            self.assertEqual(can(path, reading("/data"))[0], status, path)
        self.assertEqual(can("/data/link/file", reading("/data", "/inside"))[0], 0)
        # What the container would not start with cannot be told either.
        status, said = can("/outside", reading("/alias"))
        self.assertEqual((status, "leads to /data/here by a symbolic link" in said), (2, True), said)
        status, said = can("/outside", reading("/etc/passwd"))
        self.assertEqual((status, "/entries/0/policy/pathBeneath/0/parent/0" in said), (2, True), said)
        self.assertEqual(can("/outside", reading("/etc/passwd", missingPaths="skip"))[0], 1)
        os.rename(self.path("bundle", "config.json"), self.path("config.json"))
        self.assertEqual(can("/outside", reading("/data"))[0], 2)
        os.rename(self.path("config.json"), self.path("bundle", "config.json"))
        # A fragment's paths may be missing, and it is said which of them allows something.
        self.write(handling("read_file", rules=[{"allowedAccess": ["read_file"], "parent": ["/etc/passwd", "/outside"]}]),
                   "profiles/fragments/more.json")
        using = profile(entry(rules={"use": ["more"]}))
        self.assertEqual(can("/outside", using, "--profiles", self.path("profiles"))[0], 0)
        result = subprocess.run([OCI_LANDLOCK, "check", "--profiles", self.path("profiles"), "--bundle",
                                 self.path("bundle"), self.write(using)], capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("allows /outside: read_file (more#/pathBeneath/0/parent/1)\n", result.stdout)
        self.assertIn("missing: /etc/passwd (more#/pathBeneath/0/parent/0)\n", result.stdout)
        self.assertIn(f"  uses more: {self.path('profiles', 'fragments', 'more.json')}, sha256:", result.stdout)
        found = json.loads(subprocess.run([OCI_LANDLOCK, "check", "--json", "--profiles", self.path("profiles"),
                                           self.path("profile.json")], capture_output=True, check=False).stdout)
        self.assertEqual([fragment["name"] for fragment in found[0]["fragments"]], ["more"])
        self.write({"root": {"path": "rootfs"}, "annotations": {"io.landlock.profile": json.dumps(using)}},
                   "bundle/config.json")
        result = subprocess.run([OCI_LANDLOCK, "check", "--profiles", self.path("profiles"), "--bundle",
                                 self.path("bundle")], capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, "  uses more: " in result.stdout), (0, True), result)
        both = profile(entry(rules={"use": ["more"], **reading("/absent")["entries"][0]["policy"]}))
        result = subprocess.run([OCI_LANDLOCK, "check", "--profiles", self.path("profiles"), "--bundle",
                                 self.path("bundle"), self.write(both)], capture_output=True, text=True, check=False)
        self.assertEqual((result.returncode, "missing: /absent" in result.stderr), (1, True), result)

    def test_fragments(self):
        """Of the node, or a user's own."""
        more = {**self.rules, "pathBeneath": self.rules["pathBeneath"] +
                [{"allowedAccess": ["read_file"], "parent": ["/nowhere", "/also/nowhere"]}]}
        file = self.write(profile(entry(rules={"use": ["more"]})))
        own = self.write(more, ".config/oci-landlock/profiles/fragments/more.json", owner=NOBODY)
        self.assertDone(self.run_it("--profile", file, *self.reads, user=NOBODY), self.verdicts("Permission denied"))
        self.assertRefused(self.run_it("--profile", file, *self.reads), "entry entry-0: fragment more: no fragment ")
        with settings(profileDirectories=[os.path.dirname(os.path.dirname(own))]):
            self.assertRefused(self.run_it("--profile", file, *self.reads), own, "must belong to root")
            os.chown(own, 0, 0)
            self.assertDone(self.run_it("--profile", file, *self.reads), self.verdicts("Permission denied"))

    def test_nothing_is_kept(self):
        """The node is as it was."""
        def state():
            return [(path, names, files) for place in ("/run/oci-landlock", "/sys/fs/bpf", "/etc/oci-landlock")
                    for path, names, files in os.walk(place)]
        before = state()
        file = self.write(profile(entry(rules=self.rules)))
        self.assertDone(self.run_it("--profile", file, *self.reads), self.verdicts("Permission denied"))
        self.assertEqual(state(), before)


class Words(unittest.TestCase):
    """What commands make of their words and where they print, as far as it takes no selector."""

    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="words-", dir="/var/tmp")
        self.addCleanup(shutil.rmtree, self.home)
        self.document = profile(entry(rules=handling("write_file")))
        self.profile = self.write("profile.json", self.document)
        self.recording = self.write("recording.json", {"version": 1, "runs": [{"added": 1}],
                                                       "paths": [{"path": "/srv/x", "rights": ["read_file"]}]})

    def write(self, name, document):
        path = os.path.join(self.home, name)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file)
        return path

    @staticmethod
    def do(*words, stdout=subprocess.PIPE, **options):
        return subprocess.run([OCI_LANDLOCK, *words], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                              text=True, timeout=60 * PATIENCE, check=False, **options)

    def assertTold(self, result, status, text):
        self.assertEqual(result.returncode, status, result)
        self.assertRegex(result.stderr, r"\Aoci-landlock: [^\n]+\n\Z")
        self.assertIn(text, result.stderr)

    def test_what_cannot_be_written(self):
        """No command says that all is well when what it has printed is nowhere."""
        check = ("check", "--abi", "6")
        may = ("--can", "write_file", "--path", "/")
        commands = re.findall(r"^  (\w+) ", self.do("--help").stdout, re.M)
        self.assertIn("schema", commands)
        for status, words in ((1, ["--help"]), (1, ["--version"]), (1, ["schema"]), (1, [*check, self.profile]),
                              (1, [*check, "--json", self.profile]), (2, [*check, *may, self.profile]),
                              (2, [*check, *may, "--json", self.profile]),
                              (2, [*check, "--against", self.recording, self.profile]), (1, ["doctor"]),
                              (1, ["doctor", "--json"]), (1, ["learn", "profile", "--no-use", self.recording]),
                              *((125 if name == "run" else 1, [name, "--help"]) for name in commands)):
            with self.subTest(words=words):
                self.assertNotEqual(self.do(*words).stdout, "")
                with open("/dev/full", "w", encoding="utf-8") as full:
                    self.assertTold(self.do(*words, stdout=full), status, "write to standard output: ")
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as gone:
            # As services have it; a shell's commands are ended by SIGPIPE.
            ignored = self.do("schema", stdout=gone, preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_IGN),
                              restore_signals=False)
        self.assertTold(ignored, 1, "write to standard output: ")
        closed = subprocess.run(["sh", "-c", 'exec "$0" schema >&-', OCI_LANDLOCK], stderr=subprocess.PIPE, text=True,
                                timeout=60 * PATIENCE, check=False)
        self.assertTold(closed, 1, "write to standard output: ")
        # Part of it was lost before the last of it could be written.
        many = [self.write(f"{i}.json", self.document) for i in range(40)]
        self.assertGreater(len(self.do(*check, *many).stdout), 8192)
        with open("/dev/full", "w", encoding="utf-8") as full:
            self.assertTold(self.do(*check, *many, stdout=full), 1, "write to standard output: ")

    def test_empty_words(self):
        """As a variable makes them that a script has not set."""
        for words, name in ((["check", ""], "FILE"), (["check", "--bundle", "", self.profile], "--bundle"),
                            (["check", "--applier=", self.profile], None), (["check", "--profiles", "", "x"], "--profiles"),
                            (["check", "--profiles", "/a", "--profiles", "", "x"], "--profiles"),
                            (["inspect", ""], "CONTAINER"), (["events", "--container", ""], "--container"),
                            (["events", "--since", ""], "--since"), (["metrics", "--output", ""], "--output"),
                            (["learn", "start", "--annotation", "", "--output", "x"], "--annotation"),
                            (["learn", "profile", ""], "RECORDING"), (["nri", "--socket", ""], "--socket"),
                            (["node", "install", "--root", ""], "--root"), (["load", "--applier", ""], "--applier")):
            with self.subTest(words=words):
                self.assertTold(self.do(*words), 2, f": the word for {name} is empty" if name else "--applier")

    def test_options_have_one_name(self):
        """What is short for one option today may be short for two with the next version."""
        for words in (["status", "--js"], ["check", "--bun", "/"], ["check", "--ap=launch", self.profile],
                      ["run", "--prof", self.profile, "--", "true"], ["events", "--co", "1"], ["unload", "--f"],
                      ["node", "install", "--ro", "/nowhere"], ["learn", "profile", "--explai", self.recording]):
            with self.subTest(words=words):
                result = self.do(*words)
                self.assertTold(result, 125 if words[0] == "run" else 2, "unrecognised option")

    @unittest.skipIf(os.geteuid(), "wants root")
    def test_unload_that_cannot_look(self):
        """Without bpffs it says what it could not look at, and not that there is nothing."""
        blind = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /sys/fs/bpf && exec "$@"', "sh",
                 "setpriv", "--inh-caps=-all", "--bounding-set=-all"]
        result = subprocess.run([*blind, OCI_LANDLOCK, "unload"], capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
        self.assertTold(result, 1, "list the kernel's BPF programs: Operation not permitted")

    @unittest.skipIf(os.geteuid(), "wants root")
    def test_a_supervisor_that_cannot_start(self):
        """systemd starts it again at once, for as long as it takes: the log must bear that."""
        began = time.monotonic()
        result = subprocess.run(["unshare", "--pid", "--fork", OCI_LANDLOCK, "supervise"], capture_output=True, text=True,
                                timeout=60, check=False, env={**os.environ, "NOTIFY_SOCKET": "/nowhere"})
        self.assertTold(result, 1, "")
        self.assertGreaterEqual(time.monotonic() - began, 2)

    @unittest.skipIf(os.geteuid(), "wants root")
    def test_a_plugin_that_cannot_connect(self):
        """It says so once, and waits: systemd would start it again at once."""
        with subprocess.Popen([OCI_LANDLOCK, "nri", "--socket", "/dev/null/nri.sock"], stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True) as plugin:
            self.addCleanup(plugin.kill)
            self.assertIn("/dev/null/nri.sock: Not a directory", plugin.stderr.readline())
            with self.assertRaises(subprocess.TimeoutExpired):
                plugin.wait(3)
            plugin.kill()
            self.assertEqual(plugin.stderr.read(), "")

    def test_a_node_without_a_pod(self):
        """Who calls what is for pods learns that, and what to do."""
        for words in (["install"], ["remove"], ["install", "--root", "/nowhere"]):
            with self.subTest(words=words):
                root = words[2] if words[2:] else "/host"
                self.assertTold(self.do("node", *words), 1, f"no root of a node at {root}, where the pods of the DaemonSet")

    def test_wrong_words(self):
        long = "--" + "x" * 100000
        for words, text in ((["status", "more"], "status: too many words; it takes options alone"),
                            (["inspect", "one", "two"], "inspect: too many words; it takes one CONTAINER"),
                            (["learn", "stop", "--frob"], "`oci-landlock learn stop --help` lists what there is"),
                            (["status", "--a\nb\x1b[2J"], r"'--a\x0ab\x1b[2J'"), (["status", long], "xxx...; `"),
                            (["check", "--abi", "1", "--kernel", self.profile], "--abi and --kernel do not go together"),
                            (["events", "--count", "0"], "--count wants a number from 1 on"),
                            (["events", "--count", "-1"], "--count wants a number from 1 on"),
                            (["events", "--since", "-1h", "--source", "hooks"], "--since goes with neither --listen"),
                            (["learn", "profile", "--collapse", "-1", self.recording], "--collapse wants a number")):
            with self.subTest(words=words[:2]):
                result = self.do(*words)
                self.assertTold(result, 2, text)
                self.assertLess(len(result.stderr), 1000)

    def test_files_that_cannot_be_read(self):
        """A problem names its file once."""
        for name, why in (("none", "No such file or directory"), ("", "Is a directory")):
            path = os.path.join(self.home, name)
            result = self.do("check", path)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn(f"{path}: {why}\n", result.stderr)
            self.assertLessEqual(result.stderr.count(path), 2 if not name else 1)
            report, = json.loads(self.do("check", "--json", path).stdout)
            self.assertFalse(report["valid"])
            self.assertIn(why, report["problems"][0]["message"])

    def test_several_policies(self):
        """What is wrong with one of them says in which it is."""
        policy_file = self.write("policy.json", handling("write_file"))
        broken = os.path.join(self.home, "broken.json")
        with open(broken, "w", encoding="utf-8") as file:
            file.write("{\n,")
        self.assertEqual(self.do("check", "--compose", policy_file, policy_file).returncode, 0)
        for other, text in ((broken, f": {broken}, line 2: no valid JSON"),
                            (self.profile, f": {self.profile}: has entries, and --compose merges policies")):
            result = self.do("check", "--compose", policy_file, other)
            self.assertEqual((result.returncode, result.stdout), (1, ""))
            self.assertIn(text, result.stderr)
            self.assertEqual(result.stderr.count("\n"), 1)
