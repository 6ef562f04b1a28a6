// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <utility>
#include <vector>

namespace sys {

// Owns one file descriptor.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept
    {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }
    // The caller owns it from here on.
    int release() { return std::exchange(fd_, -1); }
    void reset()
    {
        if (fd_ >= 0) {
            close(fd_);
        }
        fd_ = -1;
    }

private:
    int fd_ = -1;
};

// A descriptor that we open must not become the standard input, output or error that somebody closed. Reading from what
// takes the place of the input fails, as it did before, and so does writing to that of the output; what we execute
// finds them closed again. False when that cannot be had.
bool openStandardDescriptors();

// Leaves standard input, output and error, and `kept`. close_range(2), Linux 5.9.
bool closeAllBut(std::vector<int> kept);

}  // namespace sys
