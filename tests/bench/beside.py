# SPDX-License-Identifier: Apache-2.0
"""What a container costs whose program is confined by this or by that, with policies of the same meaning: it may read
and execute what is in the image, and write where nginx does. All of one kernel, in one run."""

import contextlib
import dataclasses
import json
import os
import shutil

from containers import BUILD, OCI_LANDLOCK, Bundle, command, entry, policy, profile

READS = ["/bin", "/usr", "/lib", "/lib64", "/etc", "/proc"]
WRITES = ["/dev", "/run", "/tmp", "/var"]
NGINX = """daemon off; user root; worker_processes 1; pid /run/nginx.pid; error_log stderr; events {}
http { access_log off; server { listen 127.0.0.1:80; root /usr/share/bench; } }
"""
APPARMOR = "bench-beside"
APPARMOR_RULES = f"""abi <kernel>,
profile {APPARMOR} flags=(attach_disconnected,mediate_deleted) {{
  capability, network, unix, signal,
  / r, /{{bin,usr,lib,lib64,etc,proc}}/** mrix, /{{dev,run,tmp,var}}/** rwk,
}}
"""
# All that is called here, and some: engines allow some 300, and how many does not matter to a filter that is a tree.
CALLS = """accept accept4 access arch_prctl bind brk capget capset chdir chmod chown clock_gettime clone clone3 close
connect dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 execve exit exit_group
faccessat faccessat2 fchmod fchown fchownat fcntl fstat fstatfs futex getcwd getdents64 getegid geteuid getgid getgroups
getpgrp getpid getppid getrandom getrlimit getsockname getsockopt getuid io_setup ioctl kill listen lseek lstat madvise
mkdir mmap mprotect munmap newfstatat open openat pipe pipe2 poll prctl pread64 prlimit64 pwrite64 read readlink
readlinkat recvfrom recvmsg rename restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn rt_sigsuspend
sched_getaffinity sched_yield select sendfile sendmsg sendto set_robust_list set_tid_address setgid setgroups
setitimer setpgid setresgid setresuid setsid setsockopt setuid socket socketpair stat statfs statx sysinfo tgkill umask
uname unlink unlinkat vfork wait4 write writev""".split()
LAYERS = (1, 4, 16)
FREE = "unconfined"


def container(directory, name):
    path = os.path.join(directory, f"beside-{name}")
    os.mkdir(path)
    made = Bundle(path, base="/images/base")
    made.config["hooks"] = {}
    for program in ("nothing", "exec-loop"):
        shutil.copy(os.path.join(BUILD, "tests", "bench", program), made.path("usr/bin", program))
    os.makedirs(made.path("usr/share/bench"))
    made.write("usr/share/bench/index.html", "a page\n")
    made.write("etc/bench.conf", NGINX)
    for place in ("run", "tmp"):
        made.config["mounts"].append({"destination": "/" + place, "type": "tmpfs", "source": "tmpfs"})
    return made


def rules():
    return policy(read=READS, write=WRITES, ruleset=[{"handledAccessFs": ["abi.all"], "handledAccessNet": ["abi.all"]}],
                  netPort=[{"allowedAccess": ["abi.all"], "port": [80, 81]}])


def landlocked(made, layers):
    made.hooks("createRuntime")
    made.annotate(profile(entry(rules=[rules()] * layers)))


def launcher(made):
    """What an image does that restricts itself: a program as the entrypoint that executes the real one."""
    shutil.copy(OCI_LANDLOCK, made.path("usr/bin/oci-landlock"))
    os.makedirs(made.path("etc/oci-landlock/profiles"))
    made.write("etc/oci-landlock/profiles/own.json", json.dumps(profile(entry(rules=rules()))))
    return ["/usr/bin/oci-landlock", "run", "--profile", "own", "--"]


@dataclasses.dataclass
class Kind:
    name: str
    made: Bundle
    before: list = dataclasses.field(default_factory=list)  # the program's own words
    denied: str = "echo > /usr/denied"


def kinds(directory):
    yield Kind(FREE, container(directory, "free"), denied="false")
    made = container(directory, "seccomp")
    made.config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO",
                                       "syscalls": [{"names": CALLS, "action": "SCMP_ACT_ALLOW"}]}
    yield Kind(f"a seccomp filter of {len(CALLS)} calls", made, denied="mkfifo /tmp/denied")
    made = container(directory, "apparmor")
    made.config["process"]["apparmorProfile"] = APPARMOR
    yield Kind("an AppArmor profile", made)
    made = container(directory, "launcher")
    yield Kind("a launcher in the image (`oci-landlock run`)", made, launcher(made))
    for layers in LAYERS:
        made = container(directory, f"layers-{layers}")
        landlocked(made, layers)
        yield Kind(f"this hook, {layers} layer{'s' * (layers > 1)}", made)


STEADY = """exec-loop cost 200 /usr/bin/nothing || exit
exec-loop calls 200 open /etc/bench.conf || exit
exec-loop calls 200 connect 81 || exit
nginx -c /etc/bench.conf &
until exec-loop calls 1 get 80 >/dev/null 2>&1; do sleep 0.1; done
exec-loop calls 40 get 80 || exit
kill $!
"""
PHASES = ("exec", "open of a file", "TCP connect", "page from nginx")


def steady(kind):
    """The nanoseconds of each phase."""
    script = f"if ({kind.denied}) 2>/dev/null; then echo it is not confined; exit 1; fi\n{STEADY}"
    kind.made.write("etc/bench.sh", script, 0o755)
    answer = kind.made.run("crun", *kind.before, "/bin/sh", "/etc/bench.sh", timeout=1800)
    if answer.returncode:
        raise SystemExit(f"{kind.name}: {answer.stdout}{answer.stderr}")
    return dict(zip(PHASES, map(int, answer.stdout.split()), strict=True))


def measure(directory, costs, row, repetitions):
    """`costs` and `row`: as in measure."""
    loaded = command("apparmor_parser", "-r", "-K", input=APPARMOR_RULES)
    if loaded.returncode:
        raise SystemExit(loaded.stderr)
    with contextlib.ExitStack() as at_end:
        tried = []
        for kind in kinds(directory):
            tried.append(kind)
            at_end.callback(command, "umount", "-l", kind.made.rootfs, check=True)
        found = {kind.name: steady(kind) for kind in tried}
        for kind in tried:
            kind.made.config["process"]["args"] = [*kind.before, "/usr/bin/nothing"]
            kind.made.save()
        # In turn: what is ready from the start before helps each of them alike.
        starts = costs(repetitions, *(("crun", "run", "--bundle", kind.made.directory, kind.made.id) for kind in tried))
    for name, start in zip(found, starts, strict=True):
        found[name]["`crun run`"] = start
    free = found.pop(FREE)
    for what, baseline in free.items():
        for name, cost in found.items():
            row(f"{what}: {name}", FREE, cost[what], baseline)
