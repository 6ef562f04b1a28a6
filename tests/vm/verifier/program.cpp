// SPDX-License-Identifier: Apache-2.0
#include "program.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "harness.hpp"

namespace {

void copySelf(const char* to, mode_t mode)
{
    const int in = open("/proc/self/exe", O_RDONLY);
    const int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    if (in < 0 || out < 0) {
        die(to);
    }
    std::array<char, 65536> buffer;
    for (ssize_t n; (n = read(in, buffer.data(), buffer.size())) > 0;) {
        if (write(out, buffer.data(), n) != n) {
            die("write");
        }
    }
    close(in);
    close(out);
    chmod(to, mode);
}

void writeFile(const char* path, const std::string& text, mode_t mode)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
        die(path);
    }
    close(fd);
    chmod(path, mode);
}

int selfRestrict()
{
    const int ruleset = usualRuleset();
    if (syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
        return errno == E2BIG ? 32 : 33;
    }
    return state();
}

// Denies to read all but what allow() allows.
int emptyRuleset()
{
    landlock_ruleset_attr attributes = {};
    attributes.handled_access_fs = LANDLOCK_ACCESS_FS_READ_FILE;
    const int ruleset = static_cast<int>(syscall(SYS_landlock_create_ruleset, &attributes, sizeof(attributes), 0));
    if (ruleset < 0) {
        die("landlock_create_ruleset");
    }
    return ruleset;
}

}  // namespace

int state()
{
    int result = 0;
    if (open(secret, O_RDONLY) < 0 && errno == EACCES) {
        result |= restricted;
    }
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
        result |= noNewPrivs;
    }
    if (geteuid() == 0) {
        result |= isRoot;
    }
    return result;
}

void makeFiles()
{
    mkdir("/tmp", 0777);
    mkdir("/tmp/bridge", 0755);
    mkdir("/tmp/bridge/bin", 0755);
    writeFile(secret, "x", 0644);
    writeFile(allowed, "x", 0644);
    copySelf(probe, 0755);
    copySelf(setuidProbe, 04755);
    writeFile(badScript, "#!/nonexistent\n", 0755);
    writeFile(script, std::string("#!") + probe + " state\n", 0755);
}

void allow(int ruleset, const char* path)
{
    landlock_path_beneath_attr rule = {};
    rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd < 0 || syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0) {
        die("landlock_add_rule");
    }
    close(rule.parent_fd);
}

int usualRuleset()
{
    const int ruleset = emptyRuleset();
    allow(ruleset, "/tmp/bridge/bin");
    // This program is linked with libraries where the archives of all of them are not whole.
    for (const char* library : {"/lib", "/lib64", "/etc/ld.so.cache"}) {
        allow(ruleset, library);
    }
    return ruleset;
}

int runProgram(int argc, char** argv)
{
    const std::string command = argc > 1 ? argv[1] : "";
    if (command == "state") {
        return state();
    }
    if (command == "reads") {
        // What there is of the two: 1 the secret, 2 what is allowed.
        return (open(secret, O_RDONLY) < 0 ? 0 : 1) | (open(allowed, O_RDONLY) < 0 ? 0 : 2);
    }
    if (command == "self-restrict") {
        return selfRestrict();
    }
    if (command == "read" && argc > 2) {
        return open(argv[2], O_RDONLY) < 0 ? errno : 0;
    }
    if (command == "exec" && argc > 2) {
        execl(argv[2], argv[2], "state", nullptr);
        return 127;
    }
    return -1;
}
