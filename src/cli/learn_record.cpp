// SPDX-License-Identifier: Apache-2.0
// `oci-landlock learn record`: watches one run.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>
#include <set>

#include "cli/event.hpp"
#include "cli/learn.hpp"
#include "cli/options.hpp"
#include "cli/watching.hpp"
#include "learn/learner.hpp"
#include "sys/file.hpp"
#include "watch/watcher.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using Clock = std::chrono::steady_clock;

// Accesses that are new, of each container in a second.
constexpr std::uint32_t share = 50'000;
constexpr unsigned mostLastLooks = 20;

class Recorder {
public:
    Recorder(std::string wanted, learn::Recording before, oll_applier applier)
        : wanted_(std::move(wanted)),
          learner_(std::move(before)),
          watcher_(applier, share,
                   {.event =
                        [this](const oll_seen& event) {
                            if (chosen_.contains(event.cgroup_id)) {
                                learner_.take(event);
                            }
                        },
                    .container = [this](const oll_seen_container& told) { meet(told.cgroup_id, told.record); }},
                   watch::Sight::accesses)
    {
        learner_.run().began = timeText(now(CLOCK_REALTIME));
        learner_.run().unseen = watcher_.blind();
    }

    // Until it is told to end, or the last of the chosen containers is gone.
    learn::Recording run()
    {
        lookAtContainers();
        std::fprintf(stderr, "watching for %s\n", sys::printable(wanted_).c_str());
        Clock::time_point last = Clock::now();
        while (!ended() && !gone_) {
            watcher_.wait(lookAround);
            if (Clock::now() - last >= lookAround) {
                last = Clock::now();
                lookAtContainers();
                countLost();
            }
        }
        // What is on its way still. A program that goes on may do more than can be read, for ever.
        unsigned looks = 0;
        while (watcher_.wait(lookAround) && ++looks < mostLastLooks) {
        }
        learner_.run().lost += looks == mostLastLooks ? 1 : 0;
        countLost();
        if (names_.empty()) {
            throw sys::Error("no container that has a profile and is called " + sys::printable(wanted_) +
                             " was there, so that nothing is recorded");
        }
        learn::Run& run = learner_.run();
        run.ended = timeText(now(CLOCK_REALTIME));
        for (const std::string& name : names_) {
            const std::string more = (run.container.empty() ? "" : ", ") + name;
            if (run.container.size() + more.size() <= 200) {
                run.container += more;
            }
        }
        return learner_.finish();
    }

private:
    void meet(std::uint64_t cgroupId, const oll_record& record)
    {
        if (!met_.insert(cgroupId).second) {
            return;
        }
        const Named container = named(record);
        if (isNamed(container.name, wanted_)) {
            chosen_.insert(cgroupId);
            const std::string id = container.name["container"].get<std::string>();
            names_.insert(id);
            std::fprintf(stderr, "recording %s\n", id.c_str());
        }
    }

    void lookAtContainers()
    {
        if (!watcher_.current()) {
            throw sys::Error(
                "the selector was unloaded, and nothing is seen any more; start this again once it is loaded");
        }
        const std::set<std::uint64_t> there = watcher_.containers();
        for (const std::uint64_t id : there) {
            oll_seen_container container{};
            if (!met_.contains(id) && watcher_.describe(id, container)) {
                meet(id, container.record);
            }
        }
        std::erase_if(met_, [&](std::uint64_t id) { return !there.contains(id) && !chosen_.contains(id); });
        // What was told of the last may be on its way still: it is over one look later.
        const bool empty =
            !chosen_.empty() && std::ranges::none_of(chosen_, [&](std::uint64_t id) { return there.contains(id); });
        gone_ = empty && leaving_;
        leaving_ = empty;
    }

    void countLost()
    {
        // What of another container was left out is nothing to this recording.
        for (const watch::Lost& lost : watcher_.lost(met_)) {
            if (lost.cgroupId == 0 || chosen_.contains(lost.cgroupId)) {
                learner_.run().lost += lost.count;
            }
        }
    }

    std::string wanted_;
    learn::Learner learner_;
    std::set<std::uint64_t> met_, chosen_;  // cgroup ids
    std::set<std::string> names_;
    bool leaving_ = false, gone_ = false;
    watch::Watcher watcher_;
};

learn::Recording earlier(const std::string& path)
{
    if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
        return {};
    }
    learn::Recording before = learn::readFile(path);
    if (before.runs.size() >= learn::maxRuns) {
        throw sys::Error(sys::printable(path) + " has " + std::to_string(learn::maxRuns) +
                         " runs, and no room for another");
    }
    return before;
}

// Before a run that cannot be repeated.
void requireWritable(const std::string& path)
{
    const std::size_t end = path.rfind('/');
    const std::string directory = end == std::string::npos ? "." : path.substr(0, std::max<std::size_t>(end, 1));
    if (access(directory.c_str(), W_OK) != 0) {
        throw sys::errnoError("cannot write to " + sys::printable(directory));
    }
}

}  // namespace

int recordRun(const Arguments& arguments)
{
    po::options_description options;
    options.add_options()("output", po::value<std::string>()->value_name("FILE"),
                          "the recording; to one that is there, this run is added");
    const auto given = parseOptions(
        "learn record",
        "Records what the restricted programs of a container do, until it is gone or SIGINT or SIGTERM comes. Start\n"
        "it before the container, which wants a profile: `learn` allows everything.\n"
        "Exit status: 0 the recording is whole; 1 it is not, or an error.",
        options, arguments, "CONTAINER", 1);
    if (!given) {
        return exitOk;
    }
    const auto names = (*given)["CONTAINER"].as<Arguments>();
    if (names.empty() || names[0].empty() || !given->contains("output")) {
        throw UsageError("learn record: name a container, and a file with --output");
    }
    const std::string output = (*given)["output"].as<std::string>();
    requireWritable(output);
    learn::Recording before = earlier(output);
    const oll_applier applier = requireSelector();
    endOnSignals();
    const learn::Recording recording = Recorder(names[0], std::move(before), applier).run();
    sys::replaceFile(output, learn::textOf(recording), {.mode = 0600});
    const learn::Run& run = recording.runs.back();
    std::fprintf(stderr, "%zu facts; this run has added %llu\n", learn::factsOf(recording),
                 static_cast<unsigned long long>(run.added));
    if (run.refused != 0) {
        std::fprintf(stderr, "%llu accesses were refused to the program: it may have done less than it would\n",
                     static_cast<unsigned long long>(run.refused));
    }
    const std::vector<std::string> gaps = learn::gapsOf(recording);
    for (const std::string& gap : gaps) {
        std::fprintf(stderr, "not whole: %s\n", gap.c_str());
    }
    return gaps.empty() ? exitOk : exitFailed;
}

}  // namespace cli
