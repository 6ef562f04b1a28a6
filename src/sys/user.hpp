// SPDX-License-Identifier: Apache-2.0
// Who we are, and where: in which namespaces, and who outside of them.
#pragma once

#include <sys/types.h>

#include <string>

namespace sys {

// Throws Error when that cannot be told.
bool inInitialUserNamespace();

// From there each process has a number. Throws Error when it cannot be told.
bool inInitialPidNamespace();

// The user outside of this user namespace who stands behind our effective one, one level up. Throws Error.
uid_t outerUser();

// $`name` when it is an absolute path, else "".
std::string pathInEnvironment(const char* name);

// $HOME, or what the system's list of users says of outerUser(). Throws Error.
std::string homeDirectory();

}  // namespace sys
