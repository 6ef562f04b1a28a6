// SPDX-License-Identifier: Apache-2.0
// `doctor`: what the next boot is told.
#include <string_view>
#include <vector>

#include "cli/doctor.hpp"
#include "sys/error.hpp"
#include "sys/lsm.hpp"

namespace cli {

namespace {

using sys::Findings;
using sys::Severity;

// The values of all lsm= in a command line, or in a file that makes one.
std::vector<std::string> listsIn(const std::string& text)
{
    std::vector<std::string> lists;
    for (std::size_t at = 0; (at = text.find("lsm=", at)) != std::string::npos; ++at) {
        const std::size_t line = text.rfind('\n', at) + 1;
        const bool word = at == 0 || std::string_view(" \t\n\"'=").find(text[at - 1]) != std::string_view::npos;
        if (word && text.find_first_not_of(" \t", line) != text.find('#', line)) {
            lists.push_back(text.substr(at + 4, text.find_first_of(" \t\n\"'", at + 4) - at - 4));
        }
    }
    return lists;
}

}  // namespace

Findings bootFindings(const engine::Files& files, const std::optional<std::string>& launch)
{
    Findings found;
    try {
        std::vector<std::string> names{"/etc/default/grub", "/etc/kernel/cmdline"};
        for (const char* more : {"/etc/default/grub.d/*.cfg", "/boot/loader/entries/*.conf"}) {
            const std::vector<std::string> matching = files.matching(more);
            names.insert(names.end(), matching.begin(), matching.end());
        }
        for (const std::string& name : names) {
            for (const std::string& list : listsIn(files.read(name).value_or(""))) {
                std::string missing = sys::lists(list, "landlock") ? "" : "landlock";
                if (!sys::lists(list, "bpf")) {
                    missing += missing.empty() ? "bpf" : " and bpf";
                }
                if (!missing.empty()) {
                    const bool worse = !launch || !sys::lists(list, "landlock");
                    found.push_back(
                        {"kernel.boot", worse ? Severity::problem : Severity::note,
                         sys::printable(name) + " boots with lsm=" + sys::printable(list, 1000) +
                             ", which takes the place of the kernel's own list and leaves out " + missing,
                         "lsm=" + sys::printable(sys::listToBootWith(list), 1000) + " in " + sys::printable(name)});
                }
            }
        }
    } catch (...) {
        found.push_back(sys::notLookedAt("kernel.boot", "the next boot's command line", std::current_exception()));
    }
    return found;
}

}  // namespace cli
