// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace sys {

// The active security modules, as in lsm= at boot: of securityfs, or else of lsm_list_modules(2), Linux 6.8. Empty when
// neither is to be had. Throws Error.
std::string securityModules();

// Whether `name` is in such a list.
bool lists(std::string_view modules, std::string_view name);

// The list to boot with: what is active, with landlock first and bpf last where they are missing.
std::string listToBootWith(std::string_view modules);

}  // namespace sys
