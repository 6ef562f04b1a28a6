// SPDX-License-Identifier: Apache-2.0
#include "sys/finding.hpp"

#include <iterator>

#include "sys/error.hpp"

namespace sys {

void append(Findings& all, Findings some)
{
    all.insert(all.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
}

Finding findingOf(const std::string& name, const std::exception_ptr& thrown, const std::string& otherwise)
{
    const std::string message = messageOf(thrown);
    const std::size_t end = message.rfind("; ");
    return {name, Severity::problem, message.substr(0, end),
            end == std::string::npos ? otherwise : message.substr(end + 2)};
}

Finding notLookedAt(const std::string& name, const std::string& what, const std::exception_ptr& thrown)
{
    Finding finding = findingOf(name, thrown, "");
    finding.severity = Severity::note;
    finding.message = what + " cannot be looked at: " + finding.message;
    return finding;
}

}  // namespace sys
