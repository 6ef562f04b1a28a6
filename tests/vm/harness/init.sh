# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# PID 1 of the VM: makes the machine that a runtime expects, runs the command,
# reports its status. `run` puts vm_command() and vm_* settings in front and
# hands the whole over as the job disk. Busybox's shell is the interpreter: its
# commands cost a tenth of dynamic programs under emulation.

b=/bin/busybox

vm_mounts() {
    $b mount -t proc -o nosuid,nodev,noexec proc /proc
    $b mount -t sysfs -o nosuid,nodev,noexec sys /sys
    $b mkdir -p /dev/pts /dev/shm /dev/mqueue
    $b mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
    $b mount -t tmpfs -o nosuid,nodev shm /dev/shm
    $b mount -t mqueue mqueue /dev/mqueue
    $b mount -t tmpfs -o nosuid,nodev,mode=755 run /run
    $b mount -t tmpfs -o mode=1777 tmp /tmp
    $b mkdir -p /run/lock /run/user /run/vm
    $b ln -sfn /proc/self/fd /dev/fd
    $b ln -sf /proc/self/fd/0 /dev/stdin
    $b ln -sf /proc/self/fd/1 /dev/stdout
    $b ln -sf /proc/self/fd/2 /dev/stderr
    $b mount -t securityfs security /sys/kernel/security
    $b mount -t tracefs tracing /sys/kernel/tracing
    [ ! -d /sys/kernel/debug ] || $b mount -t debugfs debug /sys/kernel/debug
    $b mount -t bpf -o mode=700 bpf /sys/fs/bpf

    # Unified hierarchy; the command's cgroup is a sibling of those that
    # runtimes make.
    $b mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 /sys/fs/cgroup
    read -r controllers </sys/fs/cgroup/cgroup.controllers
    for c in $controllers; do
        echo "+$c" >/sys/fs/cgroup/cgroup.subtree_control
    done
    $b mkdir /sys/fs/cgroup/host

    # As systemd leaves it: what a mount namespace receives matters to runtimes.
    $b mount --make-rshared /
    # A whole Debian tree for containers, read-only and without what is mounted
    # on /: take it as an overlay's lower layer, with the upper one on a tmpfs.
    $b mount -o bind / /images/base
    $b mount --make-private /images/base
    $b mount -o remount,bind,ro /images/base

    $b mount -t ext4 -o noatime,noinit_itable /dev/vdb /src
    $b rmdir /src/lost+found
    $b hostname vm
    $b ip link set lo up
}

# Sets $control, $stdout and $stderr. Ports show up some time after their driver.
vm_ports() {
    n=0
    while [ $n -lt 1200 ]; do
        for p in /sys/class/virtio-ports/*/name; do
            [ -e "$p" ] || continue
            read -r name <"$p"
            p=${p%/name}
            p=/dev/${p##*/}
            [ ! -c "$p" ] || eval "$name=\$p"
        done
        [ -z "$control" ] || [ -z "$stdout" ] || [ -z "$stderr" ] || return 0
        $b sleep 0.05
        n=$((n + 1))
    done
    echo "vm: no ports" >/dev/console
    echo b >/proc/sysrq-trigger
}

# Two scans: the first counts only what is older than some seconds.
vm_leaks() {
    [ -e /sys/kernel/debug/kmemleak ] || return 0
    echo scan >/sys/kernel/debug/kmemleak
    $b sleep 6
    echo scan >/sys/kernel/debug/kmemleak
    $b cat /sys/kernel/debug/kmemleak >/dev/console
}

# systemd takes the place of this shell, and runs the job disk again as a service.
vm_systemd_init() {
    $b mkdir -p /run/systemd/system
    $b cat >/run/systemd/system/vm.service <<'UNIT'
[Unit]
DefaultDependencies=no
Wants=systemd-journald.service
After=systemd-journald.service
[Service]
ExecStart=/bin/busybox sh /dev/vdc
UNIT
    exec /lib/systemd/systemd --unit=vm.service
}

vm_main() {
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export PATH
    umask 022
    control='' stdout='' stderr=''
    if [ $$ = 1 ]; then
        vm_mounts
        # shellcheck disable=SC2154 # set by `run`
        [ -z "$vm_systemd" ] || vm_systemd_init
    else
        # Or the end would kill it with all the rest.
        echo 0 >/sys/fs/cgroup/cgroup.procs
    fi
    vm_ports
    exec 3>"$control"

    # A port can be opened only once, so the command writes to pipes that are
    # relayed: /dev/stdout then works inside.
    $b mkfifo -m 600 /run/vm/out /run/vm/err
    $b cat /run/vm/out 3>&- >"$stdout" &
    relay_out=$!
    $b cat /run/vm/err 3>&- >"$stderr" &
    relay_err=$!

    echo "vm: command starts" >/dev/kmsg
    read -r release </proc/sys/kernel/osrelease
    echo "started $release" >&3
    (
        exec 3>&-
        echo 0 >/sys/fs/cgroup/host/cgroup.procs
        vm_command
    ) </dev/null >/run/vm/out 2>/run/vm/err &
    wait $!
    status=$?
    # shellcheck disable=SC2154 # set by `run`
    if [ -n "$vm_reboots" ] && [ -e /run/vm/reboot ]; then
        echo "vm: boots again" >/dev/kmsg
        exec systemctl reboot
    fi
    echo "vm: command ended with $status" >/dev/kmsg
    echo "status $status" >&3

    # What the command left running holds the pipes open.
    $b find /sys/fs/cgroup -mindepth 2 -name cgroup.kill |
        while read -r f; do echo 1 >"$f"; done
    wait $relay_out $relay_err
    # shellcheck disable=SC2154 # set by `run`
    [ -z "$vm_kmemleak" ] || vm_leaks
    echo "done" >&3
    if [ -n "$vm_reboots" ]; then
        $b poweroff -f
    else
        # With -no-reboot, the quickest way out.
        echo b >/proc/sysrq-trigger
    fi
}

vm_main
