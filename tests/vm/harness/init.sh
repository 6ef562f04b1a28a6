# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# PID 1 of the VM: makes the machine that a runtime expects, runs the command,
# reports its status. `run` puts vm_command() and vm_* settings in front and
# hands the whole over as the job disk.

vm_mounts() {
    mount -t proc -o nosuid,nodev,noexec proc /proc
    mount -t sysfs -o nosuid,nodev,noexec sys /sys
    mkdir -p /dev/pts /dev/shm /dev/mqueue
    mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs -o nosuid,nodev shm /dev/shm
    mount -t mqueue mqueue /dev/mqueue
    mount -t tmpfs -o nosuid,nodev,mode=755 run /run
    mount -t tmpfs -o nosuid,nodev,mode=1777 tmp /tmp
    mkdir -p /run/lock /run/user /run/vm
    ln -sfn /proc/self/fd /dev/fd
    ln -sf /proc/self/fd/0 /dev/stdin
    ln -sf /proc/self/fd/1 /dev/stdout
    ln -sf /proc/self/fd/2 /dev/stderr
    mount -t securityfs security /sys/kernel/security
    mount -t tracefs tracing /sys/kernel/tracing
    [ ! -d /sys/kernel/debug ] || mount -t debugfs debug /sys/kernel/debug
    mount -t bpf -o mode=700 bpf /sys/fs/bpf

    # Unified hierarchy; the command's cgroup is a sibling of those that
    # runtimes make.
    mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 /sys/fs/cgroup
    # shellcheck disable=SC2013 # words are meant
    for c in $(cat /sys/fs/cgroup/cgroup.controllers); do
        echo "+$c" >/sys/fs/cgroup/cgroup.subtree_control
    done
    mkdir /sys/fs/cgroup/host

    # As systemd leaves it: what a mount namespace receives matters to runtimes.
    mount --make-rshared /
    # A whole Debian tree for containers, read-only and without what is mounted
    # on /: take it as an overlay's lower layer, with the upper one on a tmpfs.
    mount --bind / /images/base
    mount --make-private /images/base
    mount -o remount,bind,ro /images/base

    mount -t ext4 -o noatime /dev/vdb /src
    hostname vm
    ip link set lo up
}

# Ports show up some time after their driver.
vm_port() {
    n=0
    while [ $n -lt 200 ]; do
        for p in /sys/class/virtio-ports/*/name; do
            [ -e "$p" ] && read -r name <"$p" && [ "$name" = "$1" ] || continue
            p=${p%/name}
            [ -c "/dev/${p##*/}" ] && echo "/dev/${p##*/}" && return
        done
        sleep 0.05
        n=$((n + 1))
    done
    echo "vm: no port $1" >/dev/kmsg
    echo b >/proc/sysrq-trigger
}

# Two scans: the first counts only what is older than some seconds.
vm_leaks() {
    [ -e /sys/kernel/debug/kmemleak ] || return 0
    echo scan >/sys/kernel/debug/kmemleak
    sleep 6
    echo scan >/sys/kernel/debug/kmemleak
    cat /sys/kernel/debug/kmemleak >/dev/console
}

vm_main() {
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export PATH
    umask 022
    vm_mounts
    exec 3>"$(vm_port control)"
    out=$(vm_port stdout) err=$(vm_port stderr)

    # A port can be opened only once, so the command writes to pipes that are
    # relayed: /dev/stdout then works inside.
    mkfifo -m 600 /run/vm/out /run/vm/err
    cat /run/vm/out 3>&- >"$out" &
    relay_out=$!
    cat /run/vm/err 3>&- >"$err" &
    relay_err=$!

    echo "vm: command starts" >/dev/kmsg
    echo "started $(uname -r)" >&3
    (
        exec 3>&-
        echo 0 >/sys/fs/cgroup/host/cgroup.procs
        vm_command
    ) </dev/null >/run/vm/out 2>/run/vm/err &
    wait $!
    status=$?
    echo "vm: command ended with $status" >/dev/kmsg
    echo "status $status" >&3

    # What the command left running holds the pipes open.
    find /sys/fs/cgroup -mindepth 2 -name cgroup.kill |
        while read -r f; do echo 1 >"$f"; done
    wait $relay_out $relay_err
    # shellcheck disable=SC2154 # set by `run`
    [ -z "$vm_kmemleak" ] || vm_leaks
    echo "done" >&3
    # With -no-reboot, the quickest way out.
    echo b >/proc/sysrq-trigger
}

vm_main
