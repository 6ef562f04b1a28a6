// SPDX-License-Identifier: Apache-2.0
// Makes a recording of what is seen. What a run makes itself is not kept by its name: the next run may call it
// otherwise, and no rule can be about a file that is not there yet.
#pragma once

#include <set>
#include <string>
#include <unordered_map>

#include "bpf/seen.h"
#include "learn/recording.hpp"

namespace learn {

class Learner {
public:
    // What earlier runs have shown, to which this one is added.
    explicit Learner(Recording before = {}) : all_(std::move(before)) {}

    // Of the containers that it is about.
    void take(const oll_seen& event);

    Run& run() { return run_; }
    const Run& run() const { return run_; }
    std::size_t facts() const { return facts_; }

    // With the run at its end.
    Recording finish();

private:
    void note(const std::string& path, const Used& used);
    void noteFile(const std::string& path, std::uint64_t rights);
    void noteMade(const std::string& path, bool directory);
    void takePath(const oll_seen& event);
    void takeOpened(const std::string& path, std::uint64_t rights);
    // What the run had made, or what comes and goes by itself: the directory that it is in. "": neither.
    std::string homeOf(const std::string& path) const;
    void count(std::optional<std::uint64_t> added);

    Recording all_;
    Run run_;
    std::size_t facts_ = 0;
    std::unordered_map<std::string, std::set<std::string>> made_;  // names, by the directory that was there before
    std::size_t names_ = 0;
    std::unordered_map<std::string, std::uint64_t> inherited_;  // rights that count once the file is opened, by path
};

}  // namespace learn
