// SPDX-License-Identifier: Apache-2.0
#include "landlock/access.hpp"

namespace landlock {

const Right* findRight(Kind kind, std::string_view name)
{
    for (const Right& right : rights) {
        if (right.kind == kind && right.name == name) {
            return &right;
        }
    }
    return nullptr;
}

const Right* findRight(Kind kind, std::uint64_t mask)
{
    for (const Right& right : rights) {
        if (right.kind == kind && right.mask() == mask) {
            return &right;
        }
    }
    return nullptr;
}

std::uint64_t maskOf(Kind kind, std::string_view name)
{
    return findRight(kind, name)->mask();
}

std::string_view kernelRelease(unsigned abi)
{
    for (const Abi& entry : abis) {
        if (entry.abi == abi) {
            return entry.kernel;
        }
    }
    return "";
}

std::string_view kindName(Kind kind)
{
    return kind == Kind::fs ? "fs" : kind == Kind::net ? "net" : "scope";
}

std::string describe(Kind kind, std::uint64_t mask)
{
    const Right* right = findRight(kind, mask);
    return std::string(kindName(kind)) + "." + (right != nullptr ? std::string(right->name) : std::to_string(mask));
}

}  // namespace landlock
