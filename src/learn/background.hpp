// SPDX-License-Identifier: Apache-2.0
// Recorders that nobody waits for. Each has a file, for root alone: it holds a lock on it, which ends with it however
// that happens, writes there what it has to say, and ends when the file is taken away.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "sys/fd.hpp"

namespace learn {

// Whom a recorder is for.
struct Subject {
    std::string name;
    bool annotation = false;  // the containers that say so with io.landlock.learn; else one, as people call it
};

// For messages: "web", "io.landlock.learn: web".
std::string textOf(const Subject& subject);

// What an ended recorder has left.
struct Left {
    std::string said;
    std::optional<int> status;  // that it ended with; none: it was killed, or could not even say it
};

// The file of this process, as a recorder.
class Background {
public:
    // Throws sys::Error, also when there is such a recorder. What one before it has left, and nobody has asked for, is
    // in before() then.
    explicit Background(const Subject& subject);

    const std::optional<Left>& before() const { return before_; }
    // From here on it is watching: containers that are to be recorded may come. False: it has been stopped meanwhile.
    bool tell(const std::string& line) const;
    // Leaves this process behind, in a session of its own, where all that it says goes into the file; false: this is
    // who has to end now. Throws sys::Error.
    bool leave() const;
    bool stopped() const;
    // The last that it says.
    void conclude(int status) const;

private:
    std::optional<Left> before_;
    sys::Fd file_;
};

// Whether there is such a recorder, and it is watching. Throws sys::Error.
bool watched(const Subject& subject);

// Ends such a recorder, waits until it has ended, for so long at most, and takes away what it has left. std::nullopt:
// there is none, and none has left anything. Throws sys::Error.
std::optional<Left> stop(const Subject& subject, std::chrono::seconds patience);

}  // namespace learn
