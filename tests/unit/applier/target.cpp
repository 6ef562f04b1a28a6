// SPDX-License-Identifier: Apache-2.0
// What the injection tests execute, built static and dynamic, position-independent and not. Each argument is a
// question; the answers go to standard output, one a line.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

namespace {

// "0" or the error's number.
std::string tryOpen(const char* path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const int error = fd < 0 ? errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    return std::to_string(error);
}

void answer(std::string_view question, const char* argument)
{
    std::string line(question);
    line += ' ';
    if (question == "open") {
        line += tryOpen(argument);
    } else if (question == "open-in-thread") {
        std::thread([&] { line += tryOpen(argument); }).join();
    } else if (question == "open-in-child") {
        std::fflush(stdout);
        const pid_t child = fork();
        if (child == 0) {
            _exit(std::stoi(tryOpen(argument)));
        }
        int status = -1;
        waitpid(child, &status, 0);
        line += WIFEXITED(status) ? std::to_string(WEXITSTATUS(status)) : "killed";
    } else if (question == "no-new-privileges") {
        line += std::to_string(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    } else if (question == "dumpable") {
        line += std::to_string(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    } else if (question == "socketpair") {
        int pair[2];
        const int error = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0 ? 0 : errno;
        if (error == 0) {
            close(pair[0]);
            close(pair[1]);
        }
        line += std::to_string(error);
    } else if (question == "lowest-descriptor") {
        const int fd = dup(1);
        line += std::to_string(fd);
        close(fd);
    } else if (question == "input") {
        char byte;
        line += std::to_string(read(0, &byte, 1));
    } else if (question == "open-files") {
        rlimit limit{};
        getrlimit(RLIMIT_NOFILE, &limit);
        line += std::to_string(limit.rlim_cur) + " " + std::to_string(limit.rlim_max);
    } else if (question == "blocked") {
        sigset_t set;
        sigprocmask(SIG_BLOCK, nullptr, &set);
        for (int signal = 1; signal <= SIGRTMAX; ++signal) {
            line += sigismember(&set, signal) == 1 ? std::to_string(signal) + "," : "";
        }
    } else if (question == "user") {
        line += std::to_string(getuid()) + " " + std::to_string(geteuid());
    } else if (question == "pending") {
        // Takes what is pending of one signal, and says how often that was.
        const int signal = std::atoi(argument);
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, signal);
        const timespec now{};
        int count = 0;
        while (sigtimedwait(&set, nullptr, &now) == signal) {
            ++count;
        }
        line += std::to_string(count);
    } else {
        std::exit(2);
    }
    line += '\n';
    std::fputs(line.c_str(), stdout);
    std::fflush(stdout);
}

}  // namespace

// "question" or "question=argument"
int main(int count, char** arguments)
{
    for (int i = 1; i < count; ++i) {
        const std::string_view whole = arguments[i];
        const std::size_t equals = whole.find('=');
        answer(whole.substr(0, equals), equals == whole.npos ? "" : arguments[i] + equals + 1);
    }
    return 0;
}
