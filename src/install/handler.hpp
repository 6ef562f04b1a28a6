// SPDX-License-Identifier: Apache-2.0
// containerd's runtime handler of ours, in containerd's own settings.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace install {

constexpr const char* handlerName = "landlock";

// What containerd makes of such settings, in TOML (`containerd config dump`). Throws sys::Error.
using Dump = std::function<std::string(const std::string& settings)>;

// The same settings without what `withHandler` has added. Throws sys::Error when only a part of that is there.
std::string withoutHandler(std::string_view settings);

// With a handler `landlock` that executes `runtime`, at the end; what was added before is replaced. It makes cgroups as
// containerd's usual handler does. Throws sys::Error where there is such a handler that is not of our making, and where
// containerd would then know the new one otherwise, or any other one no more.
std::string withHandler(std::string_view settings, const std::string& runtime, const Dump& dump);

}  // namespace install
