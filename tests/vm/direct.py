# SPDX-License-Identifier: Apache-2.0
"""The hook run by hand, and what is pinned seen and changed by hand: for tests of what no runtime does."""

import contextlib
import ctypes
import json
import os
import re
import struct
import subprocess

from cases import PATIENCE, wait_for
from containers import OCI_LANDLOCK, PINS, Running, TestCase, command

FULL = os.environ.get("FULL") == "1"
CGROUPS = "/sys/fs/cgroup"
# Of this kernel, the first two numbers.
KERNEL = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])
SYS_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
SLOTS = 65536


class PinnedMap:
    """A map in PINS; keys and values are bytes."""

    def __init__(self, name, value_size):
        self.value_size = value_size
        path = ctypes.create_string_buffer(os.path.join(PINS, name).encode())
        self.fd = self._bpf(7, struct.pack("QII", ctypes.addressof(path), 0, 0))

    libc = ctypes.CDLL(None, use_errno=True)

    @classmethod
    def _bpf(cls, operation, attributes):
        buffer = ctypes.create_string_buffer(attributes, 128)
        result = cls.libc.syscall(SYS_BPF, operation, buffer, 128)
        if result < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return result

    def _element(self, operation, key, value):
        self._bpf(operation, struct.pack("IIQQQ", self.fd, 0, ctypes.addressof(key) if key else 0,
                                         ctypes.addressof(value) if value else 0, 0))

    def lookup(self, key):
        value = ctypes.create_string_buffer(self.value_size)
        self._element(1, ctypes.create_string_buffer(key, len(key)), value)
        return value.raw

    def update(self, key, value):
        self._element(2, ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value)))

    def delete(self, key):
        self._element(3, ctypes.create_string_buffer(key, len(key)), None)

    def _batch(self, operation, keys, values, count):
        out = ctypes.create_string_buffer(8)
        try:
            self._bpf(operation, struct.pack("QQQQIIQQ", 0, ctypes.addressof(out), ctypes.addressof(keys),
                                             ctypes.addressof(values), count, self.fd, 0, 0))
        except FileNotFoundError:
            pass  # the end of the map

    def all(self, count):
        """The values of an array of `count` elements."""
        values = ctypes.create_string_buffer(count * self.value_size)
        self._batch(24, ctypes.create_string_buffer(count * 4), values, count)
        raw = values.raw
        return [raw[i:i + self.value_size] for i in range(0, len(raw), self.value_size)]

    def update_all(self, indices, value):
        """Writes the same value to these elements of an array."""
        keys = b"".join(struct.pack("I", index) for index in indices)
        self._batch(26, ctypes.create_string_buffer(keys, len(keys)),
                    ctypes.create_string_buffer(value * len(indices), len(value) * len(indices)), len(indices))

    def first(self, key_size):
        """The first key."""
        key = ctypes.create_string_buffer(key_size)
        self._element(4, None, key)
        return key.raw

    def empty(self):
        try:
            self._element(4, None, ctypes.create_string_buffer(64))
            return False
        except FileNotFoundError:
            return True

    def close(self):
        os.close(self.fd)


@contextlib.contextmanager
def pinned(name, value_size):
    opened = PinnedMap(name, value_size)
    try:
        yield opened
    finally:
        opened.close()


NODE_SIZE = 56
SLOT_SIZE = 40
CONTAINER_SIZE = 3384
PLACE_SIZE = 16
PROGRAM_SIZE = 568
STRAYS_SIZE = 48
ROOM_SIZE = 2312  # of each processor
ROOM_IN_USE = 2304


def patch_node(offset, number):
    """Changes one 32-bit field of the map `node`; returns what it was."""
    with pinned("node", NODE_SIZE) as node:
        value = bytearray(node.lookup(bytes(4)))
        before = struct.unpack_from("I", value, offset)[0]
        struct.pack_into("I", value, offset, number)
        node.update(bytes(4), bytes(value))
        return before


def next_slot(index):
    """The next ruleset goes into this slot if it is free."""
    patch_node(16, index)


def hook(state, stage="createRuntime", prefix=(), **options):
    """`state`: a dict, or a text."""
    text = state if isinstance(state, str) else json.dumps(state)
    return command(*prefix, OCI_LANDLOCK, "hook", stage, input=text, **options)


class Gate(Running):
    """A container whose createRuntime stage is under way, for as long as the test wants."""

    def __init__(self, bundle, runtime):
        super().__init__(bundle, runtime, None, os.path.join(bundle.directory, "log"))
        directory = bundle.directory
        self.gate = os.path.join(directory, "gate")
        state = os.path.join(directory, "state")
        for path in (self.gate, state):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        os.mkfifo(self.gate)
        text = f"cat >{state}.new; mv {state}.new {state}; read code <{self.gate}; exit $code"
        bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", text]}]}
        bundle.save()
        with open(self.log, "w", encoding="utf-8") as output:
            self.creator = subprocess.Popen([runtime, "create", "--bundle", directory, bundle.id],
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        wait_for(lambda: os.path.exists(state) or self.creator.poll() is not None, "the hook was called")
        if not os.path.exists(state):
            raise AssertionError(f"the hook was not called: {self.output()}")
        with open(state, encoding="utf-8") as file:
            self.oci_state = json.load(file)

    def hook(self, stage="createRuntime", **options):
        """Our hook, with what the bundle's config.json says by now."""
        self.bundle.save()
        return hook(self.oci_state, stage, **options)

    def open(self, code=0):
        """The stage ends with this exit status; the container starts if it is 0."""
        if self.creator.poll() is None:
            with open(self.gate, "w", encoding="utf-8") as file:
                file.write(f"{code}\n")
        self.code = self.creator.wait(timeout=60 * PATIENCE)
        if code == 0:
            self.start()


@contextlib.contextmanager
def gate(bundle, runtime="crun"):
    held = Gate(bundle, runtime)
    try:
        yield held
    finally:
        if held.code is None:
            held.open(1)
        command(runtime, "delete", "--force", bundle.id)


@contextlib.contextmanager
def fake_init(*cgroup, unshare=("--mount",)):
    """A process that could be a container's init but for what is missing: in a cgroup of these nested names (none: in
    that of the test), with these new namespaces. Yields its pid."""
    path = CGROUPS
    made = []
    for name in cgroup:
        path = os.path.join(path, name)
        os.mkdir(path)
        made.append(path)
    words = ["unshare", *unshare, "sleep", "600"] if unshare else ["sleep", "600"]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    try:
        def ready():
            with open(f"/proc/{process.pid}/comm", encoding="utf-8") as file:
                return file.read() == "sleep\n"
        wait_for(ready, "sleep runs")
        if cgroup:
            with open(os.path.join(path, "cgroup.procs"), "w", encoding="utf-8") as file:
                file.write(str(process.pid))
        yield process.pid
    finally:
        process.kill()
        process.wait()
        for directory in reversed(made):
            os.rmdir(directory)


class DirectTestCase(TestCase):
    def state_of(self, bundle, pid):
        bundle.save()
        return {"ociVersion": "1.0.2", "id": bundle.id, "pid": pid, "bundle": bundle.directory, "status": "creating"}

    def assertRefused(self, result, *words):
        """One line that says what, where and what to do."""
        self.assertEqual(result.returncode, 1, result)
        self.assertEqual(result.stdout, "")
        lines = result.stderr.splitlines()
        self.assertEqual(len(lines), 1, result.stderr)
        self.assertTrue(lines[0].startswith("oci-landlock: "), result.stderr)
        for word in words:
            self.assertIn(word, lines[0])

    def assertSaid(self, runtime, output, text):
        """crun tells of a hook's exit status only; its stderr is shown by runc."""
        self.assertIn("error executing hook" if runtime == "crun" else text, output)

    def assertMapsEmpty(self):
        """Not a ruleset, an entry, a program or a namespace is left."""
        self.assertNothingLeft()
        for name, size in (("containers", CONTAINER_SIZE), ("programs", PROGRAM_SIZE), ("namespaces", PLACE_SIZE)):
            with pinned(name, size) as opened:
                self.assertTrue(opened.empty(), name)
