// SPDX-License-Identifier: Apache-2.0
// The containers of this node as commands see them, whichever applier they have.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "applier/launch/records.hpp"
#include "bpf/abi.h"
#include "node/node.hpp"

namespace cli {

// One of the two is there.
struct Known {
    std::string id;
    nlohmann::json report;  // in short: "profile", "entries"
    nlohmann::json about;   // "names", "digest", "baselineDigest"
    std::optional<node::Standing> standing;
    std::optional<applier::launch::Record> launched;
};

struct AllKnown {
    std::string applier;
    std::optional<node::Node> node;  // not with launch
    std::vector<Known> containers;
};

// All that live. Throws sys::Error, also when there is nobody who could know of any.
AllKnown knownContainers();

// The one that `wanted` says: its id, the beginning of it, or what people call it, as the container alone
// ("web"), with its pod, or with that and the namespace ("default/shop/web"). Throws sys::Error when that is none or
// several: names are claims, and what one container claims must not hide another.
Known& find(std::vector<Known>& containers, const std::string& wanted);

// Puts what the record says about a container into its description.
void addAbout(nlohmann::json& item, std::string_view about);

// "namespace/pod/container" of a description, as far as they are known.
std::string nameOf(const nlohmann::json& item);

// The name of an entry by its place, as the report has it.
std::string entryName(const nlohmann::json& report, unsigned index);

// Those of several: bit i of `mask` is entry i.
nlohmann::ordered_json entryNames(const nlohmann::json& report, std::uint32_t mask);

// Which entries of a container are audited, a bit each.
std::uint32_t auditedOf(const oll_container& entry);

}  // namespace cli
