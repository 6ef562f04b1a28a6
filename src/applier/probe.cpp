// SPDX-License-Identifier: Apache-2.0
#include "applier/probe.hpp"

#include <bpf/btf.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"

namespace applier {

bool kernelHasBridge()
{
    const std::unique_ptr<btf, decltype(&btf__free)> kernel(btf__load_vmlinux_btf(), btf__free);
    if (!kernel) {
        throw sys::Error("the running kernel has no BTF (/sys/kernel/btf/vmlinux); it needs CONFIG_DEBUG_INFO_BTF=y");
    }
    return btf__find_by_name_kind(kernel.get(), "bpf_lsm_policy_apply_bprm", BTF_KIND_FUNC) > 0;
}

std::string tracingObstacle()
{
    const sys::Fd yama(open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC));
    if (yama && sys::readAll(yama.get(), 64, "/proc/sys/kernel/yama/ptrace_scope").starts_with('3')) {
        return "Yama lets nobody trace a program (kernel.yama.ptrace_scope=3), which the appliers inject and launch must; "
               "boot with another value (2 will do)";
    }
    return "";
}

std::string injectObstacle()
{
    utsname name{};
    unsigned major = 0;
    unsigned minor = 0;
    if (uname(&name) != 0 || std::sscanf(name.release, "%u.%u", &major, &minor) != 2 || major < 6 ||
        (major == 6 && minor < 8)) {
        return std::string("Linux ") + name.release + " is too old for the inject applier; it needs 6.8";
    }
    if (std::string obstacle = tracingObstacle(); !obstacle.empty()) {
        return obstacle;
    }
    const sys::Fd lockdown(open("/sys/kernel/security/lockdown", O_RDONLY | O_CLOEXEC));
    if (lockdown && sys::readAll(lockdown.get(), 64, "lockdown").find("[confidentiality]") != std::string::npos) {
        return "the kernel is locked down for confidentiality, so that no BPF program may look at what is executed; boot "
               "with lockdown=integrity, or without";
    }
    if (syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, STDERR_FILENO, STDERR_FILENO) != 0 && errno == ENOSYS) {
        return "this kernel lacks kcmp(2) (CONFIG_KCMP), by which the inject applier makes sure of the rulesets that a "
               "program has received";
    }
    if (access("/proc/sys/kernel/ns_last_pid", F_OK) != 0) {
        return "this kernel cannot suspend a program's seccomp filter (CONFIG_CHECKPOINT_RESTORE), which the inject "
               "applier must while the program restricts itself";
    }
    return "";
}

}  // namespace applier
