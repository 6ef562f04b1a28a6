// SPDX-License-Identifier: Apache-2.0
// Built in several ways, to be executed as targets of several kinds: says whether /etc/secret can be read.
#include <cerrno>
#include <cstdio>
#include <cstring>

int main()
{
    std::FILE* file = std::fopen("/etc/secret", "re");
    std::printf("read /etc/secret: %s\n", file != nullptr ? "allowed" : std::strerror(errno));
    return 0;
}
