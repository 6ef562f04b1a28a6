// SPDX-License-Identifier: Apache-2.0
// What is known of the containers of this boot that got their sandbox at their start: a file each, gone with the
// container. Its tracer holds a lock on it, which ends with the tracer however that ends.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sys/fd.hpp"

namespace applier::launch {

// A process, once and for all: pids are used again.
struct Identity {
    pid_t pid = -1;
    std::uint64_t startTime = 0;  // in ticks since boot

    bool operator==(const Identity&) const = default;
    // Throw sys::Error; std::nullopt: there is no such process.
    static std::optional<Identity> of(pid_t pid);
    bool alive() const;  // and no zombie
};

struct Record {
    Identity init;
    std::string id;  // of the container; others have chosen it
    std::uint64_t created = 0;
    std::string report;   // JSON for `status`
    std::string about;    // JSON: what people call it, and the digests of its documents
    std::string policy;   // JSON for `inspect`
    bool traced = false;  // its tracer is there
    bool applied = false;
    std::string failure;  // why not
};

class Records {
public:
    // Makes the directory, which others cannot write. Throws sys::Error.
    Records();

    // Of a container that is about to start, locked; add() is for its tracer. Throws sys::Error.
    sys::Fd create(const Record& record) const;
    // Throw sys::Error.
    std::optional<Record> find(const Identity& init) const;
    std::vector<Record> all() const;  // of living containers
    // Of containers whose process is gone.
    void collectGarbage() const;

private:
    std::map<std::string, Identity> names() const;

    sys::Fd directory_;
};

// Of living containers, for who only looks: what is not there is not made. Throws sys::Error.
std::vector<Record> livingRecords();

// Whose record has this name. std::nullopt: it is none's, or a draft's.
std::optional<Identity> initOfRecord(std::string_view name);

// The end of the tracer's work; "": applied. False: it could not be written.
bool conclude(int record, const std::string& failure);

// root's is /run/oci-landlock/launch, a user's $XDG_RUNTIME_DIR/oci-landlock/launch. Throws sys::Error.
std::string recordDirectory();

}  // namespace applier::launch
