// SPDX-License-Identifier: Apache-2.0
#include "watch/sights.hpp"

#include <bpf/btf.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "sys/error.hpp"

namespace watch {

namespace {

// A program of denials.h, and the rights that nothing is seen of without it.
struct Hook {
    const char* program;
    const char* function;
    const char* sees;
    bool later = false;  // of a newer Landlock: where the kernel does not name it, there is nothing to be seen
};

constexpr std::array hooks = {
    Hook{"file_open", "hook_file_open", "execute, read_file, read_dir, write_file"},
    Hook{"path_truncate", "hook_path_truncate", "truncate"},
    Hook{"file_truncate", "hook_file_truncate", "truncate"},
    Hook{"file_ioctl", "hook_file_ioctl", "ioctl_dev"},
    Hook{"file_ioctl_compat", "hook_file_ioctl_compat", "ioctl_dev", true},
    Hook{"path_mkdir", "hook_path_mkdir", "make_dir"},
    Hook{"path_mknod", "hook_path_mknod", "make_reg and other make_*"},
    Hook{"path_symlink", "hook_path_symlink", "make_sym"},
    Hook{"path_unlink", "hook_path_unlink", "remove_file"},
    Hook{"path_rmdir", "hook_path_rmdir", "remove_dir"},
    Hook{"path_link", "hook_path_link", "links"},
    Hook{"path_rename", "hook_path_rename", "renames"},
    Hook{"socket_bind", "hook_socket_bind", "bind_tcp, bind_udp"},
    Hook{"socket_connect", "hook_socket_connect", "connect_tcp, connect_send_udp"},
    Hook{"socket_sendmsg", "hook_socket_sendmsg", "connect_tcp, connect_send_udp", true},
    Hook{"unix_find", "hook_unix_find", "resolve_unix", true},
    Hook{"unix_stream_connect", "hook_unix_stream_connect", "abstract_unix_socket"},
    Hook{"unix_may_send", "hook_unix_may_send", "abstract_unix_socket"},
    Hook{"task_kill", "hook_task_kill", "signal"},
    Hook{"ptrace_access_check", "hook_ptrace_access_check", "ptrace"},
    Hook{"sb_mount", "hook_sb_mount", "mounts"},
    Hook{"move_mount", "hook_move_mount", "mounts"},
    Hook{"sb_umount", "hook_sb_umount", "mounts"},
    Hook{"sb_remount", "hook_sb_remount", "mounts"},
    Hook{"sb_pivotroot", "hook_sb_pivotroot", "mounts"},
};

// Of uses.h, and the rights that nothing is seen of without it: two programs, at the hook and at its answer.
struct Use {
    const char* hook;
    const char* sees;
};

constexpr std::array uses = {
    Use{"file_open", "execute, read_file, read_dir, write_file"},
    Use{"path_truncate", "truncate"},
    Use{"file_truncate", "truncate"},
    Use{"file_ioctl", "ioctl_dev"},
    Use{"file_ioctl_compat", "ioctl_dev"},
    Use{"path_mkdir", "make_dir"},
    Use{"path_mknod", "make_reg and other make_*"},
    Use{"path_symlink", "make_sym"},
    Use{"path_unlink", "remove_file"},
    Use{"path_rmdir", "remove_dir"},
    Use{"path_link", "links"},
    Use{"path_rename", "renames"},
    Use{"socket_bind", "bind_tcp"},
    Use{"socket_connect", "connect_tcp"},
    Use{"socket_sendmsg", "connect_tcp"},
    Use{"unix_stream_connect", "abstract_unix_socket, resolve_unix"},
    Use{"unix_may_send", "abstract_unix_socket, resolve_unix"},
    Use{"task_kill", "signal"},
};
// Which children are in the same domain.
constexpr Use family = {"task_alloc", "children"};

constexpr std::array tracepoints = {"deny_access_fs", "deny_access_net", "deny_ptrace", "deny_scope_signal",
                                    "deny_scope_abstract_unix_socket"};
// In the place of file_open, where it cannot be attached.
constexpr std::array probes = {"file_open_begins", "file_open_ends"};

// Functions that are not in the type information may still be probed, by their name.
bool kernelNames(const std::string& function)
{
    std::ifstream symbols("/proc/kallsyms");
    const std::string wanted = " " + function;
    for (std::string line; std::getline(symbols, line);) {
        if (line.ends_with(wanted)) {
            return true;
        }
    }
    return false;
}

Sights accesses(const KernelTypes& types, bool ofAll)
{
    const std::string whose = ofAll ? "" : "audited ";
    const auto have = [&types](const char* before, const Use& use) {
        return types.haveFunction(before + std::string(use.hook));
    };
    Sights sights;
    const auto enable = [&sights](const char* before, const Use& use) {
        sights.programs.push_back(before + std::string(use.hook));
    };
    for (const Use& use : uses) {
        // What somebody else has refused, no audited entry had to deny.
        if (have("bpf_lsm_", use) && (!ofAll || have("security_", use))) {
            enable("use_", use);
            if (ofAll) {
                enable("refused_", use);
            }
        } else {
            sights.blind.push_back(whose + use.sees);
        }
    }
    if (have("bpf_lsm_", family)) {
        enable("use_", family);
    } else {
        sights.blind.push_back(whose + family.sees);
    }
    return sights;
}

}  // namespace

void KernelTypes::Free::operator()(btf* types) const
{
    btf__free(types);
}

KernelTypes::KernelTypes() : types_(btf__load_vmlinux_btf())
{
    if (!types_) {
        throw sys::errnoError("/sys/kernel/btf/vmlinux");
    }
}

bool KernelTypes::haveFunction(const std::string& name) const
{
    return btf__find_by_name_kind(types_.get(), name.c_str(), BTF_KIND_FUNC) > 0;
}

bool KernelTypes::haveTracepoint(const std::string& name) const
{
    return btf__find_by_name_kind(types_.get(), ("trace_event_raw_" + name).c_str(), BTF_KIND_STRUCT) > 0;
}

std::optional<Sights> denialsByTracepoints(const KernelTypes& types)
{
    const auto have = [&types](const std::string& name) { return types.haveTracepoint("landlock_" + name); };
    if (!std::ranges::all_of(tracepoints, have)) {
        return std::nullopt;
    }
    return Sights{.programs = {tracepoints.begin(), tracepoints.end()}, .blind = {}};
}

std::optional<Sights> denialsByHooks(const KernelTypes& types)
{
    Sights sights;
    bool any = false;
    for (const Hook& hook : hooks) {
        if (types.haveFunction(hook.function)) {
            any = true;
            sights.programs.emplace_back(hook.program);
        } else if (hook.program == std::string_view("file_open") && kernelNames(hook.function)) {
            std::ranges::copy(probes, std::back_inserter(sights.programs));
        } else if (!hook.later || kernelNames(hook.function)) {
            sights.blind.emplace_back(hook.sees);
        }
    }
    return any ? std::optional(std::move(sights)) : std::nullopt;
}

Sights accessesOfAll(const KernelTypes& types)
{
    return accesses(types, true);
}

Sights accessesOfAudited(const KernelTypes& types)
{
    return accesses(types, false);
}

}  // namespace watch
