// SPDX-License-Identifier: Apache-2.0
// What `doctor` looks at itself; engines are looked at in engine/.
#pragma once

#include <optional>
#include <string>

#include "cli/settings.hpp"
#include "engine/files.hpp"
#include "sys/finding.hpp"

namespace cli {

// `launch`: why that applier is used, as reasonForLaunch() says.
sys::Findings kernelFindings(const std::optional<std::string>& launch);
// The boot loader's files: a list of security modules that the next boot takes instead of the kernel's own.
sys::Findings bootFindings(const engine::Files& files, const std::optional<std::string>& launch);
sys::Findings settingsFindings(const Settings& settings);
sys::Findings nodeFindings(const Settings& settings, const std::optional<std::string>& launch);

}  // namespace cli
