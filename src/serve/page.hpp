// SPDX-License-Identifier: Apache-2.0
// One text, for whoever asks over HTTP.
#pragma once

#include <sys/types.h>

#include <string>

#include "sys/fd.hpp"

namespace serve {

// Where and as what it is served.
struct Form {
    std::string path;  // "/metrics"
    std::string type;  // of its content
};

// Answers are given by a process of its own, which has no more than the listening socket and what it was shown: who
// asks is nobody that is trusted. Nothing here waits for it, or for them.
class Page {
public:
    // `address`: "127.0.0.1:9464" or "[::1]:9464", of digits. Throws sys::Error.
    Page(const std::string& address, const Form& form);
    ~Page();
    Page(const Page&) = delete;
    Page& operator=(const Page&) = delete;

    // What is served from here on, at most maxText bytes: a text of that form, or why there is none (503). False: the
    // one before has not been taken yet, and this one is dropped. Throws sys::Error, also when the process has ended.
    bool show(const std::string& text);
    bool showObstacle(const std::string& why);

    // The port that is listened at.
    unsigned port() const;

private:
    bool put(const std::string& text, bool sound);

    sys::Fd listener_, channel_;
    pid_t process_ = -1;
    bool taken_ = true;
};

inline constexpr std::size_t maxText = 32UL << 20;

}  // namespace serve
