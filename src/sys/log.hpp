// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

namespace sys {

// One line on standard error and in the system log; on standard error alone where that is the system's journal
// (systemd.exec(5), JOURNAL_STREAM). `priority` as for syslog(3). Never fails, changes no errno.
void tell(int priority, const std::string& message);

// The same, about a container: its id and what people call it. The label may be hostile.
void tell(int priority, const std::string& label, const std::string& message);

// Lines about one container that it can bring about itself: a few a minute, and how many were left out.
class LimitedLog {
public:
    explicit LimitedLog(std::string label) : label_(std::move(label)) {}
    LimitedLog(const LimitedLog&) = delete;
    LimitedLog& operator=(const LimitedLog&) = delete;
    ~LimitedLog() { sayLeftOut(); }

    void tell(int priority, const std::string& message);

private:
    using Clock = std::chrono::steady_clock;
    void sayLeftOut();

    std::string label_;
    Clock::time_point begin_;  // of the period
    unsigned said_ = 0;        // in it
    unsigned long leftOut_ = 0;
};

}  // namespace sys
