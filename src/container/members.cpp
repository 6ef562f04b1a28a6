// SPDX-License-Identifier: Apache-2.0
#include "container/members.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <utility>

#include "sys/directory.hpp"
#include "sys/error.hpp"
#include "sys/fd.hpp"
#include "sys/file.hpp"

namespace container {

namespace {

constexpr std::size_t maxPids = 32768;
constexpr std::size_t maxCgroups = 4096;
constexpr unsigned maxDepth = 32;
constexpr std::size_t maxListBytes = 1024 * 1024;

class Walk {
public:
    explicit Walk(bool allHaveNumbers) : allHaveNumbers_(allHaveNumbers) {}

    void look(int cgroup, unsigned depth)
    {
        struct stat st {};
        if (fstat(cgroup, &st) != 0) {
            return missed(sys::errnoError("a cgroup of the container").what());
        }
        if (depth > maxDepth || members_.cgroups.size() >= maxCgroups) {
            return missed("the container has too many cgroups, or too deep ones");
        }
        members_.cgroups.insert(st.st_ino);
        takePids(cgroup, depth);
        descend(cgroup, depth);
    }

    Members take() { return std::move(members_); }

private:
    void missed(const std::string& why)
    {
        if (members_.incomplete.empty()) {
            members_.incomplete = why;
        }
    }

    void takePids(int cgroup, unsigned depth)
    {
        const sys::Fd list(openat(cgroup, "cgroup.procs", O_RDONLY | O_CLOEXEC));
        char first = 0;
        if (!list || pread(list.get(), &first, 1, 0) < 0) {
            // ENODEV: it was removed since. EOPNOTSUPP: of threads, whose processes are listed further up.
            if (errno != ENOENT && errno != ENODEV && !(errno == EOPNOTSUPP && depth > 0)) {
                missed(sys::errnoError("the processes of a cgroup of the container").what());
            }
            return;
        }
        try {
            takeAll(sys::readAll(list.get(), maxListBytes, "cgroup.procs"));
        } catch (const sys::Error& error) {
            missed(error.what());
        }
    }

    void takeAll(std::string_view text)
    {
        while (!text.empty()) {
            const std::string_view line = text.substr(0, text.find('\n'));
            text.remove_prefix(std::min(line.size() + 1, text.size()));
            pid_t pid = 0;
            std::from_chars(line.data(), line.data() + line.size(), pid);
            if (pid <= 0 && allHaveNumbers_) {
                continue;
            }
            if (pid <= 0) {
                missed("some of its processes have no number in this pid namespace; look from the host's");
            } else if (members_.pids.size() >= maxPids) {
                missed("the container has more than " + std::to_string(maxPids) + " processes");
            } else {
                members_.pids.insert(pid);
            }
        }
    }

    void descend(int cgroup, unsigned depth)
    {
        sys::Fd again = sys::openAgain(cgroup);
        if (!again && (errno == ENOENT || errno == ENODEV)) {
            return;
        }
        try {
            sys::Directory children(std::move(again), "list a cgroup of the container");
            while (const dirent* entry = children.next()) {
                if (entry->d_type != DT_DIR) {
                    continue;
                }
                const sys::Fd child(openat(cgroup, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
                if (child) {
                    look(child.get(), depth + 1);
                } else if (errno != ENOENT && errno != ENODEV) {
                    missed(sys::errnoError("open a cgroup of the container").what());
                }
            }
        } catch (const sys::Error& error) {
            missed(error.what());
        }
    }

    bool allHaveNumbers_;
    Members members_;
};

}  // namespace

Members membersOf(int cgroup, bool allHaveNumbers)
{
    Walk walk(allHaveNumbers);
    walk.look(cgroup, 0);
    return walk.take();
}

}  // namespace container
