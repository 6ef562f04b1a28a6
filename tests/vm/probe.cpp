// SPDX-License-Identifier: Apache-2.0
// The program that containers in the tests run: says what it may do, and reaches other programs in unusual ways.
// Static, so that it is the only file it needs. Many commands can follow each other, separated by "+".
#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

using Words = std::vector<std::string>;

// "read PATH": opened for reading?
int tryRead(const Words& words)
{
    const int fd = open(words.at(1).c_str(), O_RDONLY | O_CLOEXEC);
    std::printf("read %s: %s\n", words[1].c_str(), fd >= 0 ? "allowed" : std::strerror(errno));
    close(fd);
    return 0;
}

// "write PATH": created or opened for writing?
int tryWrite(const Words& words)
{
    const int fd = open(words.at(1).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    std::printf("write %s: %s\n", words[1].c_str(), fd >= 0 ? "allowed" : std::strerror(errno));
    close(fd);
    return 0;
}

int printNoNewPrivileges(const Words&)
{
    std::printf("no_new_privs: %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    return 0;
}

// "exec PATH WORD...": becomes another program.
int execute(const Words& words)
{
    std::vector<char*> argv;
    for (std::size_t i = 1; i < words.size(); ++i) {
        argv.push_back(const_cast<char*>(words[i].c_str()));
    }
    argv.push_back(nullptr);
    std::fflush(stdout);
    execv(argv[0], argv.data());
    std::printf("exec %s: %s\n", words.at(1).c_str(), std::strerror(errno));
    return 1;
}

struct Command {
    const char* name;
    int (*run)(const Words&);
};

constexpr Command commands[] = {
    {"read", tryRead},
    {"write", tryWrite},
    {"nnp", printNoNewPrivileges},
    {"exec", execute},
};

int run(const Words& words)
{
    for (const Command& command : commands) {
        if (words.at(0) == command.name) {
            return command.run(words);
        }
    }
    std::printf("probe: unknown command %s\n", words[0].c_str());
    return 2;
}

}  // namespace

int main(int argc, char** argv)
{
    int result = 0;
    Words words;
    for (int i = 1; i <= argc; ++i) {
        if (i < argc && std::strcmp(argv[i], "+") != 0) {
            words.emplace_back(argv[i]);
            continue;
        }
        if (!words.empty()) {
            result = run(words);
        }
        words.clear();
    }
    return result;
}
