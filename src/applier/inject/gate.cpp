// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/gate.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "applier/layout.hpp"
#include "bpf/abi.h"
#include "sys/bpf.hpp"
#include "sys/error.hpp"
#include "sys/places.hpp"

namespace applier::inject {

namespace {

// As in the kernel's Documentation/bpf/ringbuf.rst: a page for the reader, one for the writers, the data twice.
std::size_t pageSize()
{
    return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

std::uint32_t idOf(const sys::Fd& map)
{
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(map.get(), &info, &size) != 0) {
        throw sys::errnoError(sys::pinned("calls"));
    }
    return info.id;
}

std::vector<std::uint64_t> keysOf(const sys::Fd& map, const char* what)
{
    std::vector<std::uint64_t> keys;
    std::uint64_t key = 0;
    std::uint64_t next = 0;
    const void* previous = nullptr;
    while (bpf_map_get_next_key(map.get(), previous, &next) == 0) {
        keys.push_back(next);
        key = next;
        previous = &key;
    }
    if (errno != ENOENT) {
        throw sys::errnoError(what);
    }
    return keys;
}

}  // namespace

PinnedGate::PinnedGate()
{
    open();
}

PinnedGate::~PinnedGate()
{
    close();
}

// By hand: libbpf's reader needs an epoll watch, of which a container whose root is root can leave us none.
void PinnedGate::open()
{
    // Another version may have loaded it since.
    requireLayout(sys::openPin(sys::pinned("node")),
                  "restart the supervisor with `systemctl restart oci-landlock-supervisor`");
    ring_ = sys::openPin(sys::pinned("calls"));
    id_ = idOf(ring_);
    tracers_ = sys::openPin(sys::pinned("tracers"));
    guarded_ = sys::openPin(sys::pinned("guarded"));
    findHeldProgram_ = sys::openPin(sys::pinned("find_held"));
    guardProgram_ = sys::openPin(sys::pinned("guard"));
    const std::size_t page = pageSize();
    void* const reader = mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_SHARED, ring_.get(), 0);
    if (reader == MAP_FAILED) {
        throw sys::errnoError(sys::pinned("calls"));
    }
    consumed_ = static_cast<unsigned long*>(reader);
    void* const writers =
        mmap(nullptr, page + 2UL * OLL_RING_SIZE, PROT_READ, MAP_SHARED, ring_.get(), static_cast<off_t>(page));
    if (writers == MAP_FAILED) {
        const sys::Error error = sys::errnoError(sys::pinned("calls"));
        close();
        throw error;
    }
    produced_ = static_cast<const unsigned long*>(writers);
    data_ = static_cast<const char*>(writers) + page;
}

void PinnedGate::close() noexcept
{
    if (consumed_ != nullptr) {
        munmap(consumed_, pageSize());
    }
    if (produced_ != nullptr) {
        munmap(const_cast<unsigned long*>(produced_), pageSize() + 2UL * OLL_RING_SIZE);
    }
    consumed_ = nullptr;
    produced_ = nullptr;
}

bool PinnedGate::renew()
{
    const sys::Fd now = sys::openPin(sys::pinned("calls"));
    if (idOf(now) == id_) {
        return false;
    }
    PinnedGate fresh;  // what it throws leaves this one as it is
    std::swap(ring_, fresh.ring_);
    std::swap(tracers_, fresh.tracers_);
    std::swap(guarded_, fresh.guarded_);
    std::swap(findHeldProgram_, fresh.findHeldProgram_);
    std::swap(guardProgram_, fresh.guardProgram_);
    std::swap(id_, fresh.id_);
    std::swap(consumed_, fresh.consumed_);
    std::swap(produced_, fresh.produced_);
    std::swap(data_, fresh.data_);
    return true;
}

void PinnedGate::takeCalls(const std::function<void(const Call&)>& take)
{
    unsigned long position = *consumed_;
    // Those that come meanwhile make the descriptor readable again.
    const unsigned long end = std::atomic_ref(*const_cast<unsigned long*>(produced_)).load(std::memory_order_acquire);
    while (position < end) {
        const char* const record = data_ + (position & (OLL_RING_SIZE - 1));
        const std::uint32_t header = std::atomic_ref(*reinterpret_cast<std::uint32_t*>(const_cast<char*>(record)))
                                         .load(std::memory_order_acquire);
        if ((header & BPF_RINGBUF_BUSY_BIT) != 0) {
            break;  // it is being written; the descriptor becomes readable again
        }
        const std::uint32_t size = header & ~BPF_RINGBUF_DISCARD_BIT;
        const bool whole = (header & BPF_RINGBUF_DISCARD_BIT) == 0 && size == sizeof(oll_call);
        oll_call call{};
        if (whole) {
            std::memcpy(&call, record + BPF_RINGBUF_HDR_SZ, sizeof call);
        }
        position += (size + BPF_RINGBUF_HDR_SZ + 7UL) & ~7UL;
        std::atomic_ref(*consumed_).store(position, std::memory_order_release);
        const Call made{call.generation, static_cast<pid_t>(call.thread)};
        if (whole && isHeld(made)) {
            take(made);
        }
    }
}

// Afterwards there is room for its container's next one. Who is not held any more need not be looked after.
bool PinnedGate::isHeld(const Call& call)
{
    oll_find_held context{};
    context.generation = call.generation;
    context.thread = static_cast<std::uint32_t>(call.thread);
    context.taken = 1;
    sys::runProgram(findHeldProgram_.get(), context, "take a call");
    return context.error != 0 || context.held != 0;
}

void PinnedGate::guard(int ruleset)
{
    oll_guard context{};
    context.ruleset = ruleset;
    sys::runProgram(guardProgram_.get(), context, "guard a ruleset");
    if (context.error != 0) {
        throw sys::errnoError("guard a ruleset", -context.error);
    }
}

void PinnedGate::release(int ruleset) noexcept
{
    try {
        oll_guard context{};
        context.ruleset = ruleset;
        context.release = 1;
        sys::runProgram(guardProgram_.get(), context, "release a ruleset");
    } catch (const sys::Error&) {
        // The node is gone, and the guard with it.
    }
}

void PinnedGate::forget(std::uint64_t generation) noexcept
{
    bpf_map_delete_elem(tracers_.get(), &generation);
}

void PinnedGate::clear()
{
    for (const std::uint64_t ruleset : keysOf(guarded_, "rulesets of a predecessor")) {
        bpf_map_delete_elem(guarded_.get(), &ruleset);
    }
}

void PinnedGate::forgetAllBut(const std::set<std::uint64_t>& generations)
{
    for (const std::uint64_t generation : keysOf(tracers_, "tracers of a predecessor")) {
        if (!generations.contains(generation)) {
            forget(generation);
        }
    }
}

}  // namespace applier::inject
