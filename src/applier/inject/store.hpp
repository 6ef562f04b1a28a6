// SPDX-License-Identifier: Apache-2.0
// Containers in systemd's store of descriptors, where the next supervisor finds them.
#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <string>

#include "applier/inject/held.hpp"
#include "applier/inject/service.hpp"
#include "sys/fd.hpp"

namespace applier::inject {

// As FileDescriptorStoreMax= in packaging/systemd/oci-landlock-supervisor.service: beyond that systemd drops what it
// is given, and says so to its log alone.
inline constexpr std::size_t maxStored = 16384;

// Without systemd there is none: what is put there is not, and there is room for everything.
class Store {
public:
    // Looks at $FDSTORE.
    explicit Store(Service& service);

    // Whether there is room for this one beside all others.
    bool hasRoom(const Held& held) const;
    // `description` is that of `held`, sealed. What is returned becomes readable (end of file) as soon as systemd has
    // it all; empty: no systemd. Throws sys::Error; what was put by then is to be removed.
    sys::Fd put(const Held& held, int description);
    void remove(const Held& held);
    // What systemd was too busy to hear of it is told again. To be called now and then.
    void removeAgain();

    // Gives to `take` each container that a predecessor has put here; once only. One that is incomplete, or at which
    // `take` throws sys::Error, is removed, and the log says so. Throws sys::Error.
    using Take = std::function<void(Held held, sys::Fd description)>;
    void takeBack(const Take& take);

private:
    void put(const std::string& name, int descriptor);
    void remove(const std::string& name) noexcept;

    Service& service_;
    std::multiset<std::string> names_;
    std::set<std::string> leaving_;  // systemd has not heard yet that they are to go
    std::size_t nameBytes_ = 0;
    std::size_t limit_ = maxStored;
};

}  // namespace applier::inject
