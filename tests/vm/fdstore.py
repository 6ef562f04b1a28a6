# SPDX-License-Identifier: Apache-2.0
"""Stands in for systemd, as far as a service with Type=notify and FileDescriptorStoreMax= sees it: there is no systemd
in the VM. Keeps what the service stores, and hands it to the next start."""

import array
import itertools
import os
import resource
import socket
import threading

from cases import wait_for

HANDED_FROM = 3  # SD_LISTEN_FDS_START
MOST = 253  # SCM_MAX_FD
AWAY = 20000  # where nobody else has descriptors


class FdStore:
    """A notification socket, and the descriptors that came over it with FDSTORE=1, by FDNAME."""

    def __init__(self, path="/run/test-notify", most=4096):
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * AWAY, 2 * AWAY))
        self.path = path
        self.most = most
        self.kept = []  # (name, descriptor)
        self.said = []  # every other line
        self.marks = itertools.count()
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.thread = threading.Thread(target=self._receive)
        self.thread.start()

    def _receive(self):
        while True:
            data, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(4 * MOST), socket.MSG_CMSG_CLOEXEC)
            got = array.array("i")
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    got.frombytes(payload[:len(payload) - len(payload) % got.itemsize])
            if data == b"the end":
                return
            self._take(data.decode().splitlines(), list(got))

    def _take(self, lines, got):
        fields = dict(line.partition("=")[::2] for line in lines)
        name = fields.get("FDNAME", "stored")
        with self.lock:
            if "FDSTOREREMOVE" in fields:
                for item in [item for item in self.kept if item[0] == name]:
                    os.close(item[1])
                    self.kept.remove(item)
            elif "FDSTORE" in fields:
                while got and len(self.kept) < self.most:
                    self.kept.append((name, got.pop(0)))
            self.said += [line for line in lines if not line.startswith("FD")]
        # What is not kept is closed: that is what a barrier waits for, too.
        for descriptor in got:
            os.close(descriptor)

    def read_on(self):
        """Until all that has been sent by now is in `said`."""
        mark = f"MARK={next(self.marks)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(mark.encode(), self.path)
        wait_for(lambda: mark in self.said, "the mark is read")

    def count(self):
        with self.lock:
            return len(self.kept)

    def start(self, supervisor, environment=None, **options):
        """Starts the supervisor as systemd would, with what is kept."""
        with self.lock:
            names = [name for name, _ in self.kept]
            copies = [os.dup(descriptor) for _, descriptor in self.kept]

        def hand_over():
            # Out of the way first: the places may be taken by others of them.
            high = [os.dup2(descriptor, AWAY + i) for i, descriptor in enumerate(copies)]
            for i, descriptor in enumerate(high):
                os.dup2(descriptor, HANDED_FROM + i)
            os.closerange(HANDED_FROM + len(high), AWAY + len(high))

        more = {"NOTIFY_SOCKET": self.path, **(environment or {})}
        prefix = []
        if names:
            more.update(LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
            prefix = ["/bin/sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh"]
        try:
            supervisor.start(*prefix, environment=more, close_fds=False, preexec_fn=hand_over, **options)
        finally:
            for descriptor in copies:
                os.close(descriptor)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"the end", self.path)
        self.thread.join()
        self.socket.close()
        os.unlink(self.path)
        for _, descriptor in self.kept:
            os.close(descriptor)
