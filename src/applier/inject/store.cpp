// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/store.hpp"

#include <syslog.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "applier/inject/description.hpp"
#include "bpf/abi.h"
#include "sys/error.hpp"
#include "sys/log.hpp"

namespace applier::inject {

namespace {

// All names together come back in one environment variable, which may have 128 KiB.
constexpr std::size_t maxNames = 120000;

// Each descriptor of a container has a name of its own: "c", the generation in hexadecimal, "-", and one of these.
// Short, because all names together are bounded.
constexpr char ofDescription = 'm';
constexpr char ofCgroup = 'c';
constexpr char ofRulesets[] = "0123456789abdfgh";
static_assert(sizeof ofRulesets == OLL_MAX_LAYERS + 1);

std::string nameOf(std::uint64_t generation, char which)
{
    char name[32];
    std::snprintf(name, sizeof name, "c%llx-%c", static_cast<unsigned long long>(generation), which);
    return name;
}

// The other way round. Empty: not one of ours.
std::optional<std::pair<std::uint64_t, char>> parseName(const std::string& name)
{
    unsigned long long generation = 0;
    char which = 0;
    if (std::sscanf(name.c_str(), "c%llx-%c", &generation, &which) == 2 && nameOf(generation, which) == name) {
        return std::pair{std::uint64_t{generation}, which};
    }
    return std::nullopt;
}

std::vector<std::string> namesOf(const Held& held)
{
    std::vector<std::string> names;
    for (const char which : {ofDescription, ofCgroup}) {
        names.push_back(nameOf(held.generation, which));
    }
    for (std::size_t i = 0; i < held.layers.size(); ++i) {
        names.push_back(nameOf(held.generation, ofRulesets[i]));
    }
    return names;
}

using Descriptors = std::map<char, sys::Fd>;

sys::Fd pick(Descriptors& descriptors, char which)
{
    const auto found = descriptors.find(which);
    if (found == descriptors.end()) {
        throw sys::Error("incomplete");
    }
    return std::move(found->second);
}

// With its description. Throws sys::Error unless they are all there.
std::pair<Held, sys::Fd> assemble(std::uint64_t generation, Descriptors descriptors)
{
    sys::Fd memfd = pick(descriptors, ofDescription);
    const Description description = unseal(memfd.get());
    if (description.generation != generation || descriptors.size() != 2U + description.layerCount) {
        throw sys::Error("descriptors and description do not match");
    }
    std::vector<sys::Fd> ordered;
    ordered.push_back(pick(descriptors, ofCgroup));
    for (std::uint32_t i = 0; i < description.layerCount; ++i) {
        ordered.push_back(pick(descriptors, ofRulesets[i]));
    }
    return {hold(description, std::move(ordered)), std::move(memfd)};
}

}  // namespace

Store::Store(Service& service) : service_(service)
{
    // systemd 254 and later says how much it keeps.
    if (const char* limit = std::getenv("FDSTORE")) {
        limit_ = std::min<std::size_t>(maxStored, std::strtoul(limit, nullptr, 10));
    }
}

bool Store::hasRoom(const Held& held) const
{
    const std::vector<std::string> names = namesOf(held);
    std::size_t bytes = nameBytes_;
    for (const std::string& name : names) {
        bytes += name.size() + 1;
    }
    return !service_.present() || (names_.size() + leaving_.size() + names.size() <= limit_ && bytes <= maxNames);
}

sys::Fd Store::put(const Held& held, int description)
{
    if (!service_.present()) {
        return {};
    }
    put(nameOf(held.generation, ofDescription), description);
    put(nameOf(held.generation, ofCgroup), held.cgroup.get());
    for (std::size_t i = 0; i < held.layers.size(); ++i) {
        put(nameOf(held.generation, ofRulesets[i]), held.layers[i].ruleset.get());
    }
    return service_.barrier();
}

void Store::put(const std::string& name, int descriptor)
{
    // The node numbers containers anew when it is loaded again.
    if (leaving_.contains(name)) {
        if (!service_.removeDescriptor(name)) {
            throw sys::errnoError("take a descriptor from systemd");
        }
        leaving_.erase(name);
    }
    names_.insert(name);
    nameBytes_ += name.size() + 1;
    service_.storeDescriptor(name, descriptor);
}

void Store::remove(const Held& held)
{
    for (const std::string& name : namesOf(held)) {
        remove(name);
    }
}

void Store::remove(const std::string& name) noexcept
{
    nameBytes_ -= names_.count(name) * (name.size() + 1);
    names_.erase(name);
    try {
        if (!service_.removeDescriptor(name)) {
            leaving_.insert(name);
        }
    } catch (const std::bad_alloc&) {
        // It stays until the next start, which drops what has no living cgroup.
    }
}

void Store::removeAgain()
{
    while (!leaving_.empty() && service_.removeDescriptor(*leaving_.begin())) {
        leaving_.erase(leaving_.begin());
    }
}

void Store::takeBack(const Take& take)
{
    std::map<std::uint64_t, Descriptors> groups;
    std::set<std::uint64_t> broken;
    std::vector<NamedDescriptor> found = service_.takeDescriptors();
    for (const NamedDescriptor& one : found) {
        names_.insert(one.name);
        nameBytes_ += one.name.size() + 1;
    }
    for (NamedDescriptor& one : found) {
        const auto parsed = parseName(one.name);
        if (!parsed) {
            sys::tell(LOG_WARNING, "descriptor " + sys::printable(one.name) + " from systemd is none of ours");
            remove(one.name);
        } else if (!groups[parsed->first].emplace(parsed->second, std::move(one.descriptor)).second) {
            broken.insert(parsed->first);
        }
    }
    for (auto& [generation, descriptors] : groups) {
        std::vector<std::string> names;
        for (const auto& [which, descriptor] : descriptors) {
            names.push_back(nameOf(generation, which));
        }
        try {
            if (broken.contains(generation)) {
                throw sys::Error("descriptors of the same name");
            }
            auto [held, description] = assemble(generation, std::move(descriptors));
            take(std::move(held), std::move(description));
        } catch (const sys::Error& error) {
            sys::tell(LOG_ERR,
                      "container of generation " + std::to_string(generation) +
                          ": cannot be taken back from systemd, its targets are denied from now on: " + error.what());
            std::ranges::for_each(names, [this](const std::string& name) { remove(name); });
        }
    }
}

}  // namespace applier::inject
