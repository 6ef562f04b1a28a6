# SPDX-License-Identifier: Apache-2.0
"""Many short cases in one container: who is restricted and who is not."""

import os
import re
import time

SECRET = "read /etc/secret"
FREE = SECRET + ": allowed"
RESTRICTED = SECRET + ": Permission denied"
# How much longer than where nothing else runs anything may take: the machine may be busy, and slower; the debug kernel
# is slow, and emulated.
PATIENCE = 15 if os.environ.get("VM_KERNEL", "").endswith("-debug") else 5


class Cases:
    """Steps of an entrypoint script, and what each must print.

    free() and restricted() take a command that ends with `read /etc/secret`; prints() takes the lines."""

    def __init__(self):
        self.text = ""
        self.expected = {}

    def setup(self, text):
        """Steps that must go well; their output does not matter."""
        self.text += f"{{ {text}\n}} >/dev/null || {{ echo '== setup failed'; exit 9; }}\n"

    def prints(self, label, command, *lines):
        assert label not in self.expected, label
        self.text += f"echo '== {label}'\n{command}\n"
        self.expected[label] = list(lines)

    def free(self, label, command):
        self.prints(label, command, FREE)

    def restricted(self, label, command):
        self.prints(label, command, RESTRICTED)

    def run(self, test, bundle, runtime, **options):
        """Runs them all in a new container of the bundle, which they must survive."""
        self.compare(test, bundle.shell(runtime, self.text, **options))

    def compare(self, test, result):
        found = {}
        for line in lines(result):
            if line.startswith("== "):
                case = found.setdefault(line[3:], [])
            elif not found:
                test.fail(f"before the first case: {line}")
            else:
                case.append(line)
        test.assertEqual(found, self.expected)


class Tally:
    """The sum of what swarms of the probe have said."""

    KINDS = ("restricted", "unrestricted", "denied", "unsure", "killed", "other")

    def __init__(self, text):
        self.text = text
        self.swarms = 0
        for kind in self.KINDS:
            setattr(self, kind, 0)
        for line in re.findall(r"^swarm: .*$", text, re.M):
            self.swarms += 1
            for number, kind in re.findall(r"(\d+) (\w+)", line):
                setattr(self, kind, getattr(self, kind) + int(number))


def lines(result):
    """What a command printed, errors too."""
    return (result.stdout + result.stderr).splitlines()


def kill(pid, number):
    """One process, and never our own group or everybody: who has ended is 0 in cgroup.procs, in a runtime's state and
    in what systemd shows."""
    if pid <= 0:
        raise ProcessLookupError(f"{pid} is no process")
    os.kill(pid, number)


def wait_for(condition, what, seconds=30, pause=0.02, said=None):
    """Until the condition is met. `said`: called for what a failure is to say besides."""
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}" + (f"; {said()}" if said else ""))
        time.sleep(pause)
