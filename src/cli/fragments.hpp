// SPDX-License-Identifier: Apache-2.0
// The fragments that a profile uses, from the node's directories.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/settings.hpp"
#include "profile/load.hpp"

namespace cli {

using FindFragment = std::function<ProfileFile(const std::string& name)>;

// Loads a document that was read from `source`: first without fragments, and where it uses some, once more with all of
// them, each read once. `load` and `usesOf` do what the functions in profile/ do. Throws sys::Error, also for what goes
// round in a circle or beyond the bounds; it names the way from the document to the fragment.
profile::Profile loadWithFragments(const FindFragment& find, const std::string& source, const std::string& text,
                                   const std::function<profile::Profile(const std::vector<profile::Fragment>&)>& load,
                                   const std::function<std::vector<profile::Use>(const profile::Fragment&)>& usesOf);

// Of the document's bytes. With fragments: of a text, "DIGEST\n" of the document, then "DIGEST NAME\n" of each fragment
// in the order of their names.
sys::Digest digestOf(const std::string& text, const std::vector<profile::UsedFragment>& fragments);

}  // namespace cli
