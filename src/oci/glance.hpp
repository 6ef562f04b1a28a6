// SPDX-License-Identifier: Apache-2.0
// Most containers on a node ask for nothing. That shows in the bytes of their documents, so that nobody has to parse
// them. What is seen here is only ever that nothing is there: whatever is not plain is for the parser.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace oci {

// The bundle of a state (oci/state.hpp) that says so in one place and escapes nothing: an absolute path.
std::optional<std::string> bundleAtAGlance(std::string_view state);

// Whether an annotation of ours may be in a config.json. JSON can spell a letter in one other way, by its number.
bool mayAsk(std::string_view config);

}  // namespace oci
