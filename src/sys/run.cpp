// SPDX-License-Identifier: Apache-2.0
#include "sys/run.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include "sys/error.hpp"
#include "sys/fd.hpp"

namespace sys {

namespace {

using Clock = std::chrono::steady_clock;

// False: not by then.
bool await(int fd, Clock::time_point end)
{
    pollfd event{fd, POLLIN, 0};
    for (;;) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
        const int ready = poll(&event, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
        if (ready >= 0) {
            return ready > 0;
        }
        if (errno != EINTR) {
            throw errnoError("wait for a program");
        }
    }
}

// Ends with its owner, however that ends.
class Child {
public:
    Child(const std::vector<std::string>& words, bool complaints)
    {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) {
            throw errnoError("make a pipe");
        }
        reader_ = Fd(ends[0]);
        const Fd writer(ends[1]);
        std::vector<char*> arguments;
        for (const std::string& word : words) {
            arguments.push_back(const_cast<char*>(word.c_str()));
        }
        arguments.push_back(nullptr);
        std::array<char*, 2> environment{const_cast<char*>("LC_ALL=C"), nullptr};
        posix_spawn_file_actions_t actions{};
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, writer.get(), STDOUT_FILENO);
        if (complaints) {
            posix_spawn_file_actions_adddup2(&actions, writer.get(), STDERR_FILENO);
        } else {
            posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        }
        const int error = posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), environment.data());
        posix_spawn_file_actions_destroy(&actions);
        if (error != 0) {
            throw errnoError("run " + words[0], error);
        }
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child()
    {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            static_cast<void>(wait());
        }
    }

    // What it prints; at its end, when nobody has that open any more.
    int output() const { return reader_.get(); }

    bool awaitEnd(Clock::time_point end) const
    {
        const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
        if (!pidfd) {
            throw errnoError("wait for a program");
        }
        return await(pidfd.get(), end);
    }

    int wait()
    {
        int status = 0;
        while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }

private:
    Fd reader_;
    pid_t pid_ = -1;
};

}  // namespace

int runForLines(const std::vector<std::string>& words, std::size_t longest,
                const std::function<void(std::string_view line)>& each)
{
    Child child(words, true);
    std::string text;
    std::array<char, 65536> buffer{};
    for (ssize_t count = 1; count != 0;) {
        count = read(child.output(), buffer.data(), buffer.size());
        if (count < 0) {
            if (errno != EINTR) {
                throw errnoError("read what " + words[0] + " says");
            }
            continue;
        }
        text.append(buffer.data(), static_cast<std::size_t>(count));
        std::size_t at = 0;
        for (std::size_t end = 0; end != std::string::npos;) {
            end = text.find('\n', at);
            const std::string_view line = std::string_view(text).substr(at, end - at);
            if (line.size() > longest) {
                throw Error(words[0] + " says a line of more than " + std::to_string(longest) + " bytes");
            }
            if (end != std::string::npos) {
                each(line);
                at = end + 1;
            }
        }
        text.erase(0, at);
    }
    if (!text.empty()) {
        each(text);
    }
    return child.wait();
}

Answer run(const std::vector<std::string>& words, std::size_t limit, std::chrono::seconds patience, bool complaints)
{
    Child child(words, complaints);
    Answer answer;
    const Clock::time_point end = Clock::now() + patience;
    std::array<char, 4096> buffer{};
    const auto tooLong = [&] {
        return Error(words[0] + " has not ended within " + std::to_string(patience.count()) + " s");
    };
    for (ssize_t count = 1; count != 0;) {
        if (!await(child.output(), end)) {
            throw tooLong();
        }
        count = read(child.output(), buffer.data(), buffer.size());
        if (count < 0 && errno != EINTR) {
            throw errnoError("read what " + words[0] + " says");
        }
        answer.output.append(buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        if (answer.output.size() > limit) {
            throw Error(words[0] + " says more than " + std::to_string(limit) + " bytes");
        }
    }
    if (!child.awaitEnd(end)) {
        throw tooLong();
    }
    answer.status = child.wait();
    return answer;
}

}  // namespace sys
