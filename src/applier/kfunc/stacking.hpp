// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace applier {

// Whether the running kernel, which has the bridge, stacks the rulesets that one exec is given, or the last one
// replaces the others. Tries it, with an exec of a child that is denied. Throws sys::Error when that cannot be told.
bool kernelStacks();

}  // namespace applier
