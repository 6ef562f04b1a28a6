# SPDX-License-Identifier: Apache-2.0
"""What the node says holds for every container, whatever its annotations, its image and its volumes are."""

import contextlib
import ctypes
import json
import os
import select
import struct
import threading

from cases import wait_for
from containers import entry, oci_landlock, policy, profile, program, status
from direct import DirectTestCase, gate
from test_errors import SETTINGS, settings

DENIED = "read /etc/secret: Permission denied\n"
SANDBOX = {"io.kubernetes.cri.container-type": "sandbox"}


@contextlib.contextmanager
def baseline(*entries):
    """A node with this baseline."""
    with settings('{"baseline": "base"}'):
        path = f"{SETTINGS}/profiles/base.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(profile(*entries), file)
        os.chmod(path, 0o644)
        yield path


@contextlib.contextmanager
def fragments(config="{}", **documents):
    """A node with these fragments."""
    with settings(config):
        directory = f"{SETTINGS}/profiles/fragments"
        os.mkdir(directory, 0o755)
        for name, document in documents.items():
            write(f"{directory}/{name}.json", document)
        yield directory


def write(path, document):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file)
    os.chmod(path, 0o644)


class Fragments(DirectTestCase):
    ALL = {"abi": 6, "ruleset": [{"handledAccessFs": ["abi.all"], "handledAccessNet": ["abi.all"], "scoped": ["abi.all"]}]}
    LIBRARIES = {**ALL, "pathBeneath": [{"allowedAccess": ["abi.read_execute"],
                                         "parent": ["/bin", "/lib", "/of/another/image"]}]}
    OWN = {"abi": 6, "ruleset": [{"handledAccessFs": ["abi.all"]}]}

    def test_allow_what_they_say(self):
        """In a profile of the node, in an annotation and in the baseline; what they name may be missing."""
        using = profile(entry(rules={"use": ["more"], **self.OWN}))
        check = ("/bin/probe", "read", "/etc/secret", "+", "read", "/allowed/file")
        with fragments(more={"use": ["libraries", "names"], **self.ALL,
                             "pathBeneath": [{"allowedAccess": ["read_file"], "parent": ["${place}"]}]},
                       names={"variable": [{"name": "place", "literal": ["/allowed", "/nowhere"]}]},
                       libraries=self.LIBRARIES):
            write(f"{SETTINGS}/profiles/own.json", using)
            for wanted in ("own", using):
                for runtime in self.each_runtime():
                    bundle = self.bundle()
                    bundle.annotate(wanted)
                    result = bundle.run(runtime, *check)
                    self.assertEqual(result.stdout, DENIED + "read /allowed/file: allowed\n", result.stderr)
            with open(f"{SETTINGS}/config.json", "w", encoding="utf-8") as file:
                file.write('{"baseline": "own"}')
            bundle = self.bundle()
            bundle.config["annotations"] = {}
            result = bundle.run("crun", *check)
            self.assertEqual(result.stdout, DENIED + "read /allowed/file: allowed\n", result.stderr)
            with bundle.running("crun", "/bin/sleep", "600") as container:
                self.assertEqual(container.code, 0, container.output())
                self.assertEqual(status()["containers"][0]["entries"][0]["enforcement"], "full")
                shown = oci_landlock("inspect", bundle.id).stdout
                self.assertIn("/allowed", shown)
                self.assertNotIn("/nowhere", shown)
                self.assertNotIn("/of/another/image", shown)
        self.assertMapsEmpty()

    def test_keep_it_from_starting(self):
        """One line says which profile, entry, fragment and place it is; the profile's own paths may not be missing."""
        bundle = self.bundle()
        start = "/own.json: /entries/0/policy/use/0: entry entry-0: fragment libraries"
        with fragments(libraries=self.LIBRARIES) as directory, gate(bundle) as held:
            own = f"{SETTINGS}/profiles/own.json"
            path = f"{directory}/libraries.json"
            bundle.annotate("own")
            write(own, profile(entry(rules={"use": ["libraries"], **self.OWN,
                                            "pathBeneath": [{"allowedAccess": ["read_file"], "parent": ["/absent"]}]})))
            self.assertRefused(held.hook(), "own.json: /entries/0/policy/pathBeneath/0/parent/0: /absent: does not exist")
            write(own, profile(entry(rules={"use": ["libraries"], **self.OWN})))
            for document, words in (
                    ({"entries": []}, f"{start}: {path}: /entries: this is a profile"),
                    ({**self.ALL, "exec": 1}, f"{start}: {path}: /exec: unknown field"),
                    ({"use": ["absent"]}, f"{start} > absent: no fragment \"absent\": tried "),
                    ({"use": ["libraries"]}, f"{start} > libraries: it uses itself"),
                    ({**self.OWN, "ruleset": [{"handledAccessFs": ["execute"]}]}, "own.json: /entries/0/policy/use: the "
                     "fragment \"libraries\" does not handle fs.write_file"),
                    ({**self.ALL, "pathBeneath": [{"allowedAccess": ["execute"], "parent": ["${x}"]}]},
                     "own.json: libraries#/pathBeneath/0/parent/0: the variable \"x\" is not defined")):
                write(path, document)
                with self.subTest(words=words):
                    result = held.hook()
                    self.assertRefused(result, words)
                    self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
            # A link of the image that leads elsewhere is named by the fragment that lists it.
            os.symlink("/etc", bundle.path("link"))
            write(path, {**self.ALL, "pathBeneath": [{"allowedAccess": ["read_file"], "parent": ["/link"]}]})
            self.assertRefused(held.hook(), "libraries#/pathBeneath/0/parent/0", "/link")
            write(path, self.LIBRARIES)
            os.chmod(path, 0o666)
            self.assertRefused(held.hook(), f"{start}: {path}: must belong to root")
            os.unlink(path)
            os.mkfifo(path)
            self.assertRefused(held.hook(timeout=20), f"{start}: {path}: not a regular file")
            os.unlink(path)
            write(path, self.LIBRARIES)
            # Pinned with its fragments.
            digest = json.loads(oci_landlock("check", "--json", own).stdout)[0]["digest"]
            bundle.annotate("own", **{"io.landlock.digest": digest})
            write(path, {**self.LIBRARIES, "variable": [{"name": "x"}]})
            self.assertRefused(held.hook(), "own.json: has the digest", f"wants {digest}")
            write(path, self.LIBRARIES)
            result = held.hook()
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertMapsEmpty()


class Baseline(DirectTestCase):
    def test_holds_for_every_container(self):
        """Without annotations, with others' annotations, for the sandbox of a pod; a session too."""
        for runtime in self.each_runtime():
            with baseline(entry(name="base")):
                for annotations in ({}, {"com.example": "x"}, SANDBOX):
                    bundle = self.bundle()
                    bundle.config["annotations"] = annotations
                    result = bundle.run(runtime, "/bin/probe", "read", "/etc/secret", "+", "read", "/allowed/file")
                    self.assertEqual(result.stdout, DENIED + "read /allowed/file: allowed\n", (annotations, result.stderr))
                bundle = self.bundle()
                with bundle.running(runtime, "/bin/sleep", "600") as container:
                    self.assertEqual(container.code, 0, container.output())
                    self.assertEqual(container.exec("/bin/probe", "read", "/etc/secret").stdout, DENIED)
        self.assertMapsEmpty()

    def test_is_not_loosened(self):
        """What annotations ask for comes on top: it narrows, and cannot allow, select or replace anything of it."""
        everything = {"abi": 6, "ruleset": [{"handledAccessFs": ["abi.all"]}],
                      "pathBeneath": [{"allowedAccess": ["abi.all"], "parent": ["/"]}]}
        narrow = policy(read=["/bin", "/lib"], write=["/dev"])
        asked = (({"io.landlock.profile": json.dumps(everything)}, "allowed"),
                 ({"io.landlock.profile": json.dumps(profile(entry(rules=everything, name="base")))}, "allowed"),
                 ({"io.landlock.profile": json.dumps(profile(program("/bin/absent", rules=everything)))}, "allowed"),
                 ({"io.landlock.profile": json.dumps(everything), "io.landlock.program": "/bin/absent"}, "allowed"),
                 ({"io.landlock.profile": json.dumps(narrow)}, "Permission denied"))
        with baseline(entry(name="base")) as path:
            for annotations, verdict in asked:
                bundle = self.bundle()
                bundle.config["annotations"] = annotations
                result = bundle.run("crun", "/bin/probe", "read", "/etc/secret", "+", "read", "/allowed/file")
                self.assertEqual(result.stdout, DENIED + f"read /allowed/file: {verdict}\n", (annotations, result.stderr))
            bundle = self.bundle()
            bundle.annotate(profile(program("/bin/target", name="own")))
            with bundle.running("crun", "/bin/sleep", "600") as container:
                self.assertEqual(container.code, 0, container.output())
                found = status()["containers"][0]
                self.assertEqual([item["name"] for item in found["entries"]], ["base", "own"])
                self.assertEqual(found["profile"], f"{path} + annotation io.landlock.profile")
        self.assertMapsEmpty()

    def test_sixteen(self):
        """Together they have 16 entries at most; a profile that leaves no room for the baseline is refused, not the
        baseline."""
        every = [entry(name=f"e{number}", rules=policy(read=["/"], write=["/dev"])) for number in range(16)]
        bundle = self.bundle()
        with baseline(entry(name="base")), gate(bundle) as held:
            bundle.annotate(profile(*every))
            self.assertRefused(held.hook(), bundle.id)
            bundle.annotate(profile(*every[:15]))
            self.assertEqual(held.hook().returncode, 0)
            self.assertEqual(len(status()["containers"][0]["entries"]), 16)
        with baseline(*every):
            bundle = self.bundle()
            result = bundle.run("crun", "/bin/probe", "read", "/etc/secret", "+", "write", "/allowed/file")
            self.assertEqual(result.stdout, "read /etc/secret: allowed\nwrite /allowed/file: Permission denied\n",
                             result.stderr)
            bundle = self.bundle()
            with gate(bundle) as held:
                bundle.annotate(profile(*every))
                self.assertRefused(held.hook(), bundle.id)
        self.assertMapsEmpty()

    def test_excepts_nothing(self):
        bundle = self.bundle()
        with baseline(entry({"except": ["/sbin/tini"]}, name="base")) as path, gate(bundle) as held:
            self.assertRefused(held.hook(), path, "entry base", "cannot except programs", "select the entrypoint")
        self.assertMapsEmpty()

    def test_links_of_the_image(self):
        """A link of the image does not widen it: the policy must list itself what the link leads to."""
        rules = policy(read=["/bin", "/tmp"], write=["/dev"])
        for target in ("/", "/etc", "../etc", "allowed/../etc"):
            bundle = self.bundle()
            os.rmdir(bundle.path("tmp"))
            os.symlink(target, bundle.path("tmp"))
            leads = "/" if target == "/" else "/etc"
            with baseline(entry(rules=rules)), gate(bundle) as held:
                self.assertRefused(held.hook(), "/entries/0/policy/pathBeneath/0/parent/1", f"/tmp leads to {leads} ",
                                   "list it there")
        bundle = self.bundle()
        os.symlink("allowed/deeper", bundle.path("data"))
        os.mkdir(bundle.path("allowed/deeper"))
        os.link(bundle.path("allowed/file"), bundle.path("allowed/deeper/file"))
        with baseline(entry(rules=policy(read=["/bin", "/data", "/allowed"], write=["/dev"]))):
            result = bundle.run("crun", "/bin/probe", "read", "/data/file", "+", "read", "/etc/secret")
            self.assertEqual(result.stdout, "read /data/file: allowed\n" + DENIED, result.stderr)
        self.assertMapsEmpty()

    def test_relative_paths(self):
        """They start at the root, not at the image's working directory."""
        bundle = self.bundle()
        bundle.config["process"]["cwd"] = "/etc"
        os.mkdir(bundle.path("etc/allowed"))
        bundle.write("etc/allowed/file", "x")
        with baseline(entry(rules=policy(read=["/bin", "allowed"], write=["/dev"]))):
            result = bundle.run("crun", "/bin/probe", "read", "/allowed/file", "+", "read", "/etc/allowed/file")
            self.assertEqual(result.stdout, "read /allowed/file: allowed\nread /etc/allowed/file: Permission denied\n",
                             result.stderr)
        self.assertMapsEmpty()


class Own(DirectTestCase):
    def test_links_are_followed_and_told(self):
        """In a tenant's own profile; and what the node prints of it does nothing to the terminal."""
        bundle = self.bundle()
        os.symlink("/etc", bundle.path("data"))
        name = "web\x1b[2J"
        bundle.annotate(profile(entry(name="own", missingPaths="skip",
                                      rules=policy(read=["/bin", "/data", "/\x1b]0;x\x07"], write=["/dev"]))))
        asked = bundle.config["annotations"].pop("io.landlock.profile")
        bundle.config["annotations"].update({f"io.landlock.profile/{name}": asked,
                                             "io.kubernetes.cri.container-name": name})
        with bundle.running("crun", "/bin/sleep", "600") as container:
            self.assertEqual(container.code, 0, container.output())
            self.assertEqual(status()["containers"][0]["entries"][0]["links"], ["/data leads to /etc"])
            text = oci_landlock("status").stdout
            self.assertIn("  link     /data leads to /etc\n", text)
            self.assertIn("web\\x1b[2J", text)
            self.assertNotRegex(text, "[\x1b\x07]")
        checked = oci_landlock("check", "--abi", "6", "--bundle", bundle.directory)
        self.assertIn("    link: /data leads to /etc (/entries/0/policy/pathBeneath/0/parent/1)\n", checked.stdout)
        self.assertNotRegex(checked.stdout, "[\x1b\x07]")
        self.assertMapsEmpty()

    def test_except_is_strict_or_refused(self):
        """Also where only the image shows that it is not: by a link, or by a script's interpreter."""
        bundle = self.bundle()
        os.symlink("/bin", bundle.path("data"))
        os.mkdir(bundle.path("opt"))
        os.symlink("/bin/busybox", bundle.path("opt/sh"))
        bundle.write("allowed/script", "#!/opt/sh\n", 0o755)
        with gate(bundle) as held:
            for listed, rules, words in (
                    ("/bin/target", {"scoped": ["abi.all"]}, ["/bin/target is open to them, because no layer denies", "handledAccessFs"]),
                    ("/bin/target", policy(read=["/"], write=["/bin"]), ["/entries/0/select", "on /bin;"]),
                    ("/bin/target", policy(read=["/"], write=["/data"]), ["entry entry-0", "/bin/target is open", "on /bin;"]),
                    ("/allowed/script", policy(read=["/"], write=["/opt"]), ["entry entry-0", "/opt/sh is open"])):
                with self.subTest(words=words):
                    if "scoped" in rules:
                        rules = {"abi": 6, "ruleset": [rules]}
                    bundle.annotate(profile(entry({"except": [listed]}, rules=rules)))
                    self.assertRefused(held.hook(), *words)
            bundle.annotate(profile(entry({"except": ["/allowed/script"]}, rules=policy(read=["/"], write=["/tmp"]))))
            self.assertEqual(held.hook().returncode, 0)
        self.assertMapsEmpty()


class HangingServer:
    """A FUSE server that answers what concerns its root, and reads all else without an answer: whoever asks it then
    cannot even be killed."""

    def __init__(self, place):
        self.asked = threading.Event()
        self.fd = os.open("/dev/fuse", os.O_RDWR)
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other"
        if libc.mount(b"hang", place.encode(), b"fuse", 0, options.encode()) != 0:
            raise OSError(ctypes.get_errno(), "mount fuse")
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        attributes = struct.pack("QIIQQQQQQIIIIIIIIII", 60, 0, 0, 1, 4096, 8, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
        answers = {26: struct.pack("IIIIHHI", 7, 31, 65536, 0, 0, 0, 65536) + bytes(40), 3: attributes,
                   17: bytes(80), 27: struct.pack("QII", 1, 0, 0), 29: b""}
        while not self.done.is_set():
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                request = os.read(self.fd, 1 << 17)
            except OSError:
                return
            _, operation, unique = struct.unpack_from("IIQ", request)
            if operation == 1:
                self.asked.set()
            elif operation in answers:
                body = answers[operation]
                os.write(self.fd, struct.pack("IiQ", 16 + len(body), 0, unique) + body)
            elif operation not in (2, 36, 42):
                os.write(self.fd, struct.pack("IiQ", 16, -38, unique))

    def close(self):
        """Closing it is what lets go of everybody."""
        self.done.set()
        self.thread.join()
        os.close(self.fd)


class Volumes(DirectTestCase):
    def test_one_that_hangs(self):
        """Its container does not start, in bounded time and with a word; others do meanwhile."""
        place = "/run/hanging"
        os.makedirs(place, exist_ok=True)
        server = HangingServer(place)
        self.addCleanup(os.system, f"umount -l {place}")
        bundle = self.bundle()
        bundle.annotate(profile(program("/bin/target", rules=policy(read=["/bin", "/volume/file"]))))
        os.mkdir(bundle.path("volume"))
        bundle.config["mounts"].append({"destination": "/volume", "type": "bind", "source": place, "options": ["bind"]})
        try:
            with gate(bundle) as held:
                result = []
                waiting = threading.Thread(target=lambda: result.append(held.hook(timeout=100)))
                waiting.start()
                wait_for(server.asked.is_set, "the volume was asked", 60)
                other = self.bundle()
                other.annotate(profile(program("/bin/target")))
                self.assertEqual(other.run("crun", "/bin/target", "read", "/etc/secret").stdout, DENIED)
                self.assertEqual(result, [])
                waiting.join()
                self.assertRefused(result[0], bundle.id, "within 20 s", "a volume of the container does not answer")
        finally:
            server.close()
        self.assertMapsEmpty()
