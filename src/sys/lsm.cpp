// SPDX-License-Identifier: Apache-2.0
#include "sys/lsm.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"

namespace sys {

namespace {

constexpr const char* listFile = "/sys/kernel/security/lsm";
constexpr long listCall = 461;  // lsm_list_modules, on every architecture

// LSM_ID_*, from 100 on.
constexpr std::array names{"capability", "selinux",  "smack", "tomoyo",   "apparmor", "yama", "loadpin",
                           "safesetid",  "lockdown", "bpf",   "landlock", "ima",      "evm",  "ipe"};

std::string askKernel()
{
    std::array<std::uint64_t, 64> ids{};
    std::uint32_t size = sizeof ids;
    const long count = syscall(listCall, ids.data(), &size, 0);
    if (count < 0) {
        if (errno == ENOSYS) {
            return "";
        }
        throw errnoError("list the security modules");
    }
    std::string list;
    for (std::size_t i = 0; i < static_cast<std::size_t>(count) && i < ids.size(); ++i) {
        const std::uint64_t index = ids[i] - 100;
        list += (list.empty() ? "" : ",") + (index < names.size() ? names[index] : "module-" + std::to_string(ids[i]));
    }
    return list;
}

}  // namespace

std::string securityModules()
{
    const Fd file(open(listFile, O_RDONLY | O_CLOEXEC));
    if (!file) {
        return askKernel();
    }
    std::string list = readAll(file.get(), 4096, listFile);
    if (list.ends_with('\n')) {
        list.pop_back();
    }
    return list;
}

std::string listToBootWith(std::string_view modules)
{
    std::string list(modules);
    if (!lists(list, "landlock")) {
        list = "landlock" + (list.empty() ? "" : "," + list);
    }
    return lists(list, "bpf") ? list : list + ",bpf";
}

bool lists(std::string_view modules, std::string_view name)
{
    for (;;) {
        const std::size_t end = modules.find(',');
        if (modules.substr(0, end) == name) {
            return true;
        }
        if (end == std::string_view::npos) {
            return false;
        }
        modules.remove_prefix(end + 1);
    }
}

}  // namespace sys
