// SPDX-License-Identifier: Apache-2.0
#include "landlock/ruleset.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "sys/error.hpp"

namespace landlock {

namespace {

constexpr unsigned createVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
constexpr unsigned addQuiet = 1;       // LANDLOCK_ADD_RULE_QUIET, ABI 10

enum RuleType { rulePathBeneath = 1, ruleNetPort = 2 };

struct __attribute__((packed)) PathBeneathAttributes {
    std::uint64_t access;
    std::int32_t parent;
};

struct NetPortAttributes {
    std::uint64_t access;
    std::uint64_t port;
};

void addRule(int ruleset, RuleType type, const void* attributes, bool quiet)
{
    if (syscall(SYS_landlock_add_rule, ruleset, type, attributes, quiet ? addQuiet : 0) != 0) {
        throw sys::errnoError("landlock_add_rule");
    }
}

}  // namespace

unsigned kernelAbi()
{
    const long abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, createVersion);
    return abi > 0 ? static_cast<unsigned>(abi) : 0;
}

void restrictSelf(int ruleset, std::uint32_t flags)
{
    if (syscall(SYS_landlock_restrict_self, ruleset, flags) == 0) {
        return;
    }
    const int code = errno;
    const sys::Error error = sys::errnoError("landlock_restrict_self", code);
    if (code == EPERM) {
        throw sys::Error(std::string(error.what()) + "; it takes no_new_privs or CAP_SYS_ADMIN");
    }
    if (code == E2BIG) {
        throw sys::Error(std::string(error.what()) +
                         "; a process can have 16 layers, and those that it is in already count");
    }
    throw error;
}

Ruleset::Ruleset(const RulesetAttributes& attributes)
    : fd_(static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)))
{
    if (!fd_) {
        throw sys::errnoError("landlock_create_ruleset");
    }
}

void Ruleset::allowPath(int path, std::uint64_t access, bool quiet)
{
    if (access == 0 && !quiet) {
        throw sys::Error("not a directory, and none of the rights allowed for it applies to files");
    }
    const PathBeneathAttributes attributes{access, path};
    addRule(fd_.get(), rulePathBeneath, &attributes, quiet);
}

void Ruleset::allowPort(std::uint64_t port, std::uint64_t access, bool quiet)
{
    const NetPortAttributes attributes{access, port};
    addRule(fd_.get(), ruleNetPort, &attributes, quiet);
}

}  // namespace landlock
