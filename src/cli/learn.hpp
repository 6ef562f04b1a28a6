// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/commands.hpp"

namespace cli {

// `learn record`, without these words.
int recordRun(const Arguments& arguments);

}  // namespace cli
