# SPDX-License-Identifier: Apache-2.0
"""podman of an ordinary user, whom only this mount namespace knows: tests/native, or a VM."""

import json
import os
import subprocess

from containers import OCI_LANDLOCK, command, copy_program

USER = 61234
FIRST_SUBORDINATE = 700000
NAMES = (("passwd", f"demo:x:{USER}:{USER}::{{}}:/bin/sh"), ("group", f"demo:x:{USER}:"),
         ("subuid", f"demo:{FIRST_SUBORDINATE}:131072"), ("subgid", f"demo:{FIRST_SUBORDINATE}:131072"))


class User:
    """With a home in `directory`, and hooks and profiles of his own there."""

    def __init__(self, directory):
        self.home = directory
        self.profiles = os.path.join(directory, ".config/oci-landlock/profiles")
        self.hooks = os.path.join(directory, "hooks")
        self.program = copy_program(OCI_LANDLOCK, os.path.join(directory, "oci-landlock"))
        # Where systemd has it: podman gives some hooks no environment that would name another.
        os.makedirs("/run/user", exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run/user"], check=True)
        self.state = f"/run/user/{USER}"
        for name in (self.profiles, self.hooks, self.state):
            os.makedirs(name)
        for name, line in NAMES:
            self._become_known(name, line.format(directory))
        for stage in ("createRuntime", "poststart", "poststop"):
            with open(os.path.join(self.hooks, stage + ".json"), "w", encoding="utf-8") as file:
                json.dump({"version": "1.0.0", "when": {"annotations": {r"^io\.landlock\.": ".*"}}, "stages": [stage],
                           "hook": {"path": self.program, "args": ["oci-landlock", "hook", stage]}}, file)
        os.chmod(self.state, 0o700)
        os.chown(self.state, USER, USER)
        os.chmod(directory, 0o711)
        self.owns()

    def path(self, name):
        return os.path.join(self.home, name)

    def _become_known(self, name, line):
        own = self.path(name)
        with open(own, "w", encoding="utf-8") as file, open(f"/etc/{name}", encoding="utf-8") as old:
            file.write(old.read() + line + "\n")
        os.chmod(own, 0o644)
        subprocess.run(["mount", "--bind", own, f"/etc/{name}"], check=True)

    def forgotten(self):
        """podman leaves a process that keeps the user's namespaces: it ends, too."""
        self.run("podman", "system", "migrate")
        for name, _ in NAMES:
            subprocess.run(["umount", f"/etc/{name}"], check=True)
        subprocess.run(["umount", "-l", "/run/user"], check=True)

    def owns(self):
        """Takes what was put into the home meanwhile."""
        subprocess.run(["chown", "-R", f"{USER}:{USER}", self.home], check=True)

    def write_profile(self, name, profile):
        with open(os.path.join(self.profiles, name + ".json"), "w", encoding="utf-8") as file:
            json.dump(profile, file)
        self.owns()

    def words(self, *words):
        """The command, as the user runs it."""
        return ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", "-i", "-C", self.home,
                f"HOME={self.home}", f"XDG_RUNTIME_DIR={self.state}", "USER=demo", "PATH=" + os.environ["PATH"], *words)

    def run(self, *words, **options):
        return command(*self.words(*words), **options)

    def podman(self, runtime, *words, **options):
        """podman with `runtime`. A machine without a systemd of the user's has cgroups by files alone."""
        return self.run("podman", "--runtime", runtime, "--cgroup-manager=cgroupfs", "--hooks-dir", self.hooks, *words,
                        **options)
