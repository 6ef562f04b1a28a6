// SPDX-License-Identifier: Apache-2.0
#include "sys/user.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"

namespace sys {

namespace {

constexpr const char* mapFile = "/proc/self/uid_map";

// Lines of: first inside, first outside, how many.
std::string readMap()
{
    const Fd map(open(mapFile, O_RDONLY | O_CLOEXEC));
    if (!map) {
        throw errnoError(mapFile);
    }
    return readAll(map.get(), 64UL * 1024, mapFile);
}

}  // namespace

bool inInitialUserNamespace()
{
    unsigned inside = 1;
    unsigned outside = 1;
    unsigned count = 0;
    return std::sscanf(readMap().c_str(), "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 && outside == 0 &&
           count == 4294967295U;
}

bool inInitialPidNamespace()
{
    constexpr ino_t initial = 0xEFFFFFFC;  // the kernel's own constant, include/linux/proc_ns.h
    struct stat st {};
    if (stat("/proc/self/ns/pid", &st) != 0) {
        throw errnoError("/proc/self/ns/pid");
    }
    return st.st_ino == initial;
}

uid_t outerUser()
{
    std::istringstream map(readMap());
    unsigned long inside = 0;
    unsigned long outside = 0;
    unsigned long count = 0;
    const unsigned long own = geteuid();
    while (map >> inside >> outside >> count) {
        if (own >= inside && own - inside < count) {
            return static_cast<uid_t>(outside + (own - inside));
        }
    }
    throw Error(std::string(mapFile) + ": does not have the user of this process");
}

std::string pathInEnvironment(const char* name)
{
    const char* const value = std::getenv(name);
    return value != nullptr && value[0] == '/' ? value : "";
}

// Without getpwuid(3), which loads libraries.
std::string homeDirectory()
{
    const std::string home = pathInEnvironment("HOME");
    if (!home.empty()) {
        return home;
    }
    const std::string user = std::to_string(outerUser());
    std::ifstream users("/etc/passwd");
    for (std::string line; std::getline(users, line);) {
        std::istringstream fields(line);
        std::string field[6];
        for (std::string& text : field) {
            std::getline(fields, text, ':');
        }
        if (field[2] == user && field[5].starts_with('/')) {
            return field[5];
        }
    }
    throw Error("no home directory of user " + user + "; set HOME for the hook");
}

}  // namespace sys
