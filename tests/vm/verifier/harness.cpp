// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int failures = 0;
int checks = 0;

}  // namespace

void check(bool good, const std::string& what)
{
    checks++;
    if (!good) {
        failures++;
    }
    std::printf("%s %d - %s\n", good ? "ok" : "not ok", checks, what.c_str());
    std::fflush(stdout);
}

[[noreturn]] void die(const char* what)
{
    std::printf("Bail out! %s: %s\n", what, std::strerror(errno));
    std::exit(2);
}

int finish()
{
    std::printf("1..%d\n# %d failed\n", checks, failures);
    return failures == 0 ? 0 : 1;
}
