// SPDX-License-Identifier: Apache-2.0
// What the tests of the bridge say: the Test Anything Protocol.
#pragma once

#include <string>

void check(bool good, const std::string& what);

// With errno.
[[noreturn]] void die(const char* what);

// The exit status.
int finish();
