// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/commands.hpp"

namespace cli {

// `learn record`, `learn start` and `learn stop`, without these words.
int recordRun(const Arguments& arguments);
int startRecorder(const Arguments& arguments);
int stopRecorder(const Arguments& arguments);

}  // namespace cli
