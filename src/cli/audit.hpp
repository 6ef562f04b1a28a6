// SPDX-License-Identifier: Apache-2.0
// What the audited entries of a container would deny, for `events`: its accesses, judged by the rules that the node has
// recorded, as `check --against` judges those of a recording.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bpf/seen.h"
#include "learn/against.hpp"
#include "profile/model.hpp"

namespace cli {

class Audit {
public:
    // `policy`: as policyOf() has written it. Throws sys::Error when it cannot be judged by.
    explicit Audit(const std::string& policy);

    // The access, for each entry that would deny something of it: OLL_SEEN_WOULD_DENY. Throws sys::Error when that
    // cannot be told.
    std::vector<oll_seen> judge(const oll_seen& used);

private:
    struct Entry {
        std::uint32_t bit;
        profile::Entry entry;  // its paths are where those of the profile lead
        std::optional<learn::Judge> judge;
    };

    void judgeNow(const oll_seen& used, std::vector<oll_seen>& found) const;
    // Whether the file was opened by who is audited, so that Landlock would have been asked for it.
    bool isOpened(const oll_seen& used, const std::string& path);

    std::list<Entry> entries_;               // which stay where they are: the judges know them
    std::set<std::size_t> opened_;           // hashes of paths: there can be many containers
    std::map<std::string, oll_seen> early_;  // by path
};

}  // namespace cli
