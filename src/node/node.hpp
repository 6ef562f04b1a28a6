// SPDX-License-Identifier: Apache-2.0
// What is pinned on this node under /sys/fs/bpf/oci-landlock: the selector, the slots and the containers' entries.
// bpf/abi.h says what is in them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "applier/keeper.hpp"
#include "bpf/abi.h"
#include "node/lock.hpp"
#include "sys/digest.hpp"
#include "sys/fd.hpp"

namespace node {

struct Entry {
    oll_selector selector = OLL_SELECT_ENTRYPOINT;
    bool sessions = true;
    bool audited = false;  // nothing of it is applied
};

struct Program {
    std::string path;
    int file = -1;  // borrowed, O_PATH; -1: not there yet
    std::uint32_t entries = 0;
};

struct Container {
    std::string id;
    std::string label;        // for messages: its id and what people call it
    sys::Digest digest{};     // of all that its entry is made from
    std::string report;       // JSON for `status`
    std::string about;        // JSON: what people call it, and the digests of its documents
    std::string policy;       // JSON for `inspect`
    int init = -1;            // pidfd, borrowed
    int mountNamespace = -1;  // of the init, /proc/PID/ns/mnt, borrowed
    int cgroup = -1;          // directory, borrowed
    std::uint64_t cgroupId = 0;
    std::vector<Entry> entries;
    std::vector<applier::Layer> layers;
    std::vector<Program> programs;
};

// A container as it stands in the pinned maps.
struct Standing {
    std::uint64_t cgroupId = 0;
    oll_container entry{};
    bool alive = false;   // its cgroup exists, or its init does, which may have left it
    bool intact = false;  // each program that it lists is there; else its execs are denied
    bool held = true;     // somebody has its rulesets, as far as anybody is in it; else its targets are denied

    // Whether its init has executed anything inside. One that never does (restored from a checkpoint, a handler inside
    // of the runtime) is never restricted.
    bool started() const { return entry.started != 0; }
};

// How much is taken of what containers share.
struct Usage {
    std::string what;
    unsigned used = 0;
    unsigned total = 0;
};

// What has to be there before a container's entry is written, and takes time that other processes decide about: with
// inject, the supervisor and its tracer. Made and confirmed without the lock; given back unless it was confirmed.
class Reservation {
public:
    // Takes the lock for a moment. Throws sys::Error. What the container borrows must outlive this.
    explicit Reservation(const Container& container);
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;

    // The entry is written. Throws sys::Error; the entry is taken back then.
    void confirm() const;

private:
    friend class Node;
    std::uint64_t cgroupId_ = 0;
    std::uint64_t generation_ = 0;
    std::uint32_t loaded_ = 0;  // of which node: it may be loaded anew meanwhile
    std::unique_ptr<applier::Keeper> keeper_;
    std::unique_ptr<applier::Kept> kept_;  // null: nothing is enforced
};

// The pinned objects, opened. Throws sys::Error when they are not there or of another version.
class Node {
public:
    static bool loaded();
    explicit Node(const Lock&);

    oll_applier applier() const { return applier_; }
    std::string version() const { return version_; }
    // With kfunc: whether an exec can have more than one layer. Where it cannot, one that needs more is denied.
    bool stacks() const { return stacks_; }

    // From the confirmation of the reservation on, the container's targets are restricted; before, they are denied.
    // Throws sys::Error, and then nothing is left.
    void install(const Container& container, const Reservation& reservation) const;

    // The entry for this cgroup, if any.
    std::optional<Standing> find(std::uint64_t cgroupId) const;
    // Whether this process was marked as the init of that entry.
    bool marked(int init, std::uint64_t generation) const;
    // What the selector knows of a process, by pidfd; std::nullopt: nothing, it has executed nothing in a container,
    // and neither has what it comes from. Needs no lock. Throws sys::Error when that cannot be told.
    std::optional<oll_task> task(int pidfd) const;
    // What was recorded of a container's policy; std::nullopt: it is not there.
    static std::optional<std::string> policyOf(const oll_container& entry);

    std::vector<Standing> containers() const;
    std::vector<Usage> usage() const;
    // Execs that were denied where there is no container to count them for.
    oll_denials strays() const;

    // Takes the entry with its slots away. The container must not run any more.
    void forget(std::uint64_t cgroupId) const;
    // The same for containers with this id whose cgroup nobody is in.
    void forgetDead(const std::string& id) const;

    // Takes away what belongs to no living cgroup: after kill -9 of a hook, or a cgroup removed before its entry.
    // Spares the generation of the container that is being installed. Returns how much that was. Walks over everything
    // there is.
    unsigned collectGarbage(std::uint64_t beingInstalled = 0) const;

private:
    friend class Reservation;
    oll_survey survey(const Container& container) const;
    std::uint64_t nextGeneration() const;
    std::uint32_t loadedAs() const;
    void put(const Container& container, const Reservation& reservation, const oll_survey& where) const;
    void writePrograms(const Container& container, std::uint64_t generation) const;
    void mark(const Container& container, std::uint64_t generation, const oll_task& before) const;
    void writeEntry(const Container& container, std::uint64_t generation, const oll_survey& where,
                    const std::vector<std::uint32_t>& slots) const;
    bool lives(const oll_container& entry) const;
    bool isAlive(std::uint32_t tgid, std::uint64_t startTime) const;
    bool held(const Standing& standing) const;
    void takeAway(const oll_container& entry) const;
    std::set<std::uint64_t> generations() const;

    sys::Fd node_, containers_, namespaces_, programs_, tasks_, strays_, tracers_;  // maps
    sys::Fd identifyProgram_, surveyProgram_, lookForInitProgram_;
    std::unique_ptr<applier::Keeper> keeper_;
    oll_applier applier_ = OLL_APPLIER_KFUNC;
    std::string version_;
    bool stacks_ = false;
};

}  // namespace node
