// SPDX-License-Identifier: Apache-2.0
// One policy in the landlockconfig format: read from a document that matches the schema, composed with others, and
// resolved for one kernel ABI.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "landlock/access.hpp"
#include "profile/model.hpp"
#include "profile/problems.hpp"
#include "profile/variable.hpp"

namespace profile {

using landlock::Kind;

struct Policy {
    struct Rule {
        std::uint64_t access = 0;
        bool quiet = false;
        std::string pointer;
        bool optional = false;  // see PathRule
        bool operator==(const Rule& other) const { return access == other.access && quiet == other.quiet; }
    };

    std::uint64_t& handledOf(Kind kind) { return handled[static_cast<std::size_t>(kind)]; }
    std::uint64_t handledOf(Kind kind) const { return handled[static_cast<std::size_t>(kind)]; }
    std::uint64_t& quietOf(Kind kind) { return quiet[static_cast<std::size_t>(kind)]; }
    std::uint64_t quietOf(Kind kind) const { return quiet[static_cast<std::size_t>(kind)]; }

    // Else it has variables alone, as far as it can be composed with others.
    bool restricts() const { return (handled[0] | handled[1] | handled[2]) != 0; }

    bool operator==(const Policy& other) const
    {
        return abi == other.abi && variables == other.variables && handled == other.handled && quiet == other.quiet &&
               paths == other.paths && ports == other.ports;
    }

    std::optional<unsigned> abi;
    Variables variables;
    std::array<std::uint64_t, 3> handled{};  // by Kind
    std::array<std::uint64_t, 3> quiet{};
    std::map<std::string, Rule> paths;  // by path, as written
    std::map<std::uint64_t, Rule> ports;
    std::map<std::pair<Kind, std::uint64_t>, std::string> asked;  // right -> where the document asks for it first
};

// What one profile may spend of something. More is counted, and said once, however many rules ask for it.
struct Allowance {
    std::size_t most = 0;
    std::size_t asked = 0;
    std::string over = {};   // the rule that was the first too many
    std::string entry = {};  // which has it

    // False: it is too much. Beyond counting, it is SIZE_MAX.
    bool spend(std::size_t count, const std::string& pointer);
};

// Shared by all layers of a profile.
struct Budget {
    Allowance paths{maxPaths};
    Allowance pathBytes{maxExpandedBytes};
    Allowance ports{maxPorts};
};

// `document` matches the schema of a policy; what the schema cannot say is checked here.
Policy readPolicy(const nlohmann::json& document, const std::string& pointer, Problems& problems);

// Merges the variables of `other` into those of `policy`.
void addVariables(Policy& policy, const Policy& other);

// Merges `other` into `policy`: what both handle stays handled; each rule of both stays as far as it is handled.
// Idempotent and commutative, like landlockconfig's.
void compose(Policy& policy, const Policy& other);

// Expands variables and takes out what `abi` lacks, noting it in `dropped`. What the budget has no room for is left
// out.
Layer resolve(Policy policy, const std::string& pointer, unsigned abi, Budget& budget, std::vector<Dropped>& dropped,
              Problems& problems);

}  // namespace profile
