// SPDX-License-Identifier: Apache-2.0
// stage-exec PATH… -- PROGRAM [ARGUMENT…]: a launcher, restricted to nothing itself, that stages a ruleset for the
// program it executes: of all files, it can read only those beneath the paths. Says itself whether it can still read
// /etc/secret. Exit status 77: the kernel does not have this.
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace {

// Of the series in packaging/kernel: no released header has them.
constexpr unsigned execVersion = 1U << 31;
constexpr unsigned onExec = 1U << 30;

int fail(const char* what)
{
    std::fprintf(stderr, "stage-exec: %s: %s\n", what, std::strerror(errno));
    return 1;
}

}  // namespace

int main(int argc, char** argv)
{
    if (syscall(SYS_landlock_create_ruleset, nullptr, 0, execVersion) < 1) {
        return 77;
    }
    landlock_ruleset_attr attributes = {};
    attributes.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE;
    const int ruleset = static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0));
    if (ruleset < 0) {
        return fail("landlock_create_ruleset");
    }
    int next = 1;
    for (; next < argc && std::string_view(argv[next]) != "--"; next++) {
        landlock_path_beneath_attr rule = {};
        rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
        rule.parent_fd = open(argv[next], O_PATH | O_CLOEXEC);
        if (rule.parent_fd < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
            return fail(argv[next]);
        }
        close(rule.parent_fd);
    }
    if (next + 1 >= argc) {
        std::fprintf(stderr, "usage: stage-exec PATH... -- PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(SYS_landlock_restrict_self, ruleset, onExec) != 0) {
        return fail("landlock_restrict_self");
    }
    const int secret = open("/etc/secret", O_RDONLY | O_CLOEXEC);
    std::printf("launcher: read /etc/secret: %s\n", secret < 0 ? std::strerror(errno) : "allowed");
    std::fflush(stdout);
    execv(argv[next + 1], argv + next + 1);
    return fail(argv[next + 1]);
}
