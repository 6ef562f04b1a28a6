// SPDX-License-Identifier: Apache-2.0
// What the running kernel can do, of what the appliers need.
#pragma once

#include <string>

namespace applier {

// Whether the running kernel offers the kfuncs of the bridge (packaging/kernel). Reads the kernel's BTF: slow, some
// ten milliseconds; for `load` only. Throws sys::Error without BTF.
bool kernelHasBridge();

// Why nobody can trace a program, as the appliers inject and launch must; "": one can.
std::string tracingObstacle();

// Why the inject applier cannot work on the running kernel; "" when it can: Linux 6.8 (an exec opens its file before it
// takes the mutex that attaching needs), CONFIG_KCMP and CONFIG_CHECKPOINT_RESTORE, no lockdown for confidentiality,
// and Yama lets root attach.
std::string injectObstacle();

}  // namespace applier
