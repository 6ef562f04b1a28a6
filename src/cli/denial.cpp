// SPDX-License-Identifier: Apache-2.0
#include "cli/denial.hpp"

#include <cerrno>
#include <cstring>

#include "sys/error.hpp"

namespace cli {

namespace {

using nlohmann::json;

const char* reasonOf(const oll_denial& denial)
{
    switch (denial.reason) {
        case OLL_REASON_SLOT:
            return "the ruleset is not in its slot any more";
        case OLL_REASON_RESTRICT:
            return denial.error == -E2BIG ? "the task is in 16 Landlock layers already"
                                          : "the kernel refused the domain";
        case OLL_REASON_MEMORY:
            return "out of memory";
        case OLL_REASON_TRACER:
            return denial.error == -ETIMEDOUT ? "the supervisor did not attach to the program in time"
                                              : "somebody else traces the program";
        case OLL_REASON_NO_TRACER:
            return "no supervisor holds the container's rulesets; start the container anew";
        case OLL_REASON_INJECTION:
            return "the program could not be restricted, and was killed";
        case OLL_REASON_OWED:
            return "the program has not got the domain of its last exec";
        case OLL_REASON_GONE:
            return "a container that the task belongs to is gone";
        case OLL_REASON_MEMBERSHIPS:
            return "the task would belong to too many containers, one inside the other";
        case OLL_REASON_PROGRAMS:
            return "a program that the profile lists is missing on the node";
        case OLL_REASON_NAMESPACE:
            return "the container is in the mount namespace of another one";
        case OLL_REASON_REPLACES:
            return "the program needs several layers, of which this kernel would keep only the last";
    }
    return "unknown";
}

}  // namespace

json describeDenial(const oll_denial& denial)
{
    json out = {{"bootTimeNs", denial.time},
                {"pid", denial.tgid},
                {"comm", sys::printable({denial.comm, strnlen(denial.comm, sizeof denial.comm)})},
                {"reason", reasonOf(denial)},
                {"errno", -denial.error}};
    if (denial.entry < OLL_MAX_ENTRIES) {
        out["entry"] = denial.entry;
    }
    return out;
}

std::string denialText(const json& denial)
{
    return "denied " + sys::printable(denial["comm"].get<std::string>()) + " (pid " + denial["pid"].dump() +
           "): " + denial["reason"].get<std::string>() + " (" + std::strerror(denial["errno"].get<int>()) + ")";
}

}  // namespace cli
