// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/stored.hpp"

#include <cstdio>

namespace applier::inject {

std::string storedName(std::uint64_t generation, char which)
{
    char name[32];
    std::snprintf(name, sizeof name, "c%llx-%c", static_cast<unsigned long long>(generation), which);
    return name;
}

std::vector<std::string> storedNames(const Held& held)
{
    std::vector<std::string> names;
    for (const char which : {storedDescription, storedCgroup}) {
        names.push_back(storedName(held.generation, which));
    }
    for (std::size_t i = 0; i < held.layers.size(); ++i) {
        names.push_back(storedName(held.generation, storedRulesets[i]));
    }
    return names;
}

std::optional<std::pair<std::uint64_t, char>> parseStoredName(const std::string& name)
{
    unsigned long long generation = 0;
    char which = 0;
    if (std::sscanf(name.c_str(), "c%llx-%c", &generation, &which) == 2 && storedName(generation, which) == name) {
        return std::pair{std::uint64_t{generation}, which};
    }
    return std::nullopt;
}

}  // namespace applier::inject
