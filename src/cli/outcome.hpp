// SPDX-License-Identifier: Apache-2.0
// What became of a profile in one container, as it is recorded when the container is created: three texts in JSON, each
// with room of its own, so that none can displace another.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/prepare.hpp"
#include "oci/bundle.hpp"
#include "profile/model.hpp"

namespace cli {

// The report: the entries in short, for `status`; the long lists are left out when they do not fit.
std::string outcomeOf(const profile::Profile& profile, const Prepared& prepared);

// About the container: what people call it, the digests of the profile's documents, and what recorders know it by (its
// name is one of a recording). Other names are cut, visibly, until it fits.
std::string aboutOf(const oci::Names& names, const profile::Profile& profile,
                    const std::optional<std::string>& learn = std::nullopt);

// The policy as it is enforced, for `inspect`: maxPolicyBytes at most; rules that do not fit are counted.
std::string policyOf(const profile::Profile& profile, const Prepared& prepared, unsigned abi);
inline constexpr std::size_t maxPolicyBytes = 64UL * 1024;

// For messages: the id, and what people call the container. Shorter than OLL_ID_SIZE.
std::string labelOf(const std::string& id, const oci::Names& names);

// What of an entry best effort or missingPaths: skip left out: "entry web is enforced partially, without ...". Empty:
// nothing.
std::string partialLine(const profile::Entry& entry, const std::vector<std::string>& skipped);

// "entry web is NOT ENFORCED (audit): ..."; empty: it is no audited one.
std::string auditLine(const profile::Entry& entry);

// What is not enforced, or was left out by best effort or missingPaths: skip, must not go unnoticed, nor where an
// image's links lead: lines in the log for each entry, cut, for how much there is to say is the annotation's.
void tellPartial(const std::string& label, const profile::Profile& profile, const Prepared& prepared);

}  // namespace cli
