// SPDX-License-Identifier: Apache-2.0
#include "sys/log.hpp"

#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "sys/error.hpp"

namespace sys {

namespace {

// JOURNAL_STREAM is inherited by what has its standard error elsewhere: only the same device and inode count.
bool stderrIsJournal()
{
    const char* stream = std::getenv("JOURNAL_STREAM");
    struct stat st {};
    unsigned long long device = 0;
    unsigned long long inode = 0;
    return stream != nullptr && std::sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

}  // namespace

void tell(int priority, const std::string& message)
{
    const int before = errno;
    if (stderrIsJournal()) {
        std::fprintf(stderr, "<%d>oci-landlock: %s\n", LOG_PRI(priority), message.c_str());
    } else {
        // The log first: who has read the line on stderr finds it there, and the descriptor that it took.
        openlog("oci-landlock", LOG_PID, LOG_DAEMON);
        syslog(priority, "%s", message.c_str());
        std::fprintf(stderr, "oci-landlock: %s\n", message.c_str());
    }
    errno = before;
}

void tell(int priority, const std::string& label, const std::string& message)
{
    tell(priority, "container " + printable(label) + ": " + message);
}

void LimitedLog::tell(int priority, const std::string& message)
{
    constexpr unsigned mostInPeriod = 10;
    constexpr auto period = std::chrono::minutes(1);
    const Clock::time_point now = Clock::now();
    if (now - begin_ >= period) {
        sayLeftOut();
        begin_ = now;
        said_ = 0;
    }
    if (said_ == mostInPeriod) {
        ++leftOut_;
        return;
    }
    ++said_;
    sys::tell(priority, label_, message);
}

void LimitedLog::sayLeftOut()
{
    if (leftOut_ > 0) {
        sys::tell(LOG_WARNING, label_, std::to_string(leftOut_) + " more such messages were left out");
        leftOut_ = 0;
    }
}

}  // namespace sys
