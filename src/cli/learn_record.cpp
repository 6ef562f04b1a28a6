// SPDX-License-Identifier: Apache-2.0
// `oci-landlock learn record`, `start` and `stop`: what watches one run.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <set>

#include "cli/event.hpp"
#include "cli/learn.hpp"
#include "cli/options.hpp"
#include "cli/settings.hpp"
#include "cli/watching.hpp"
#include "learn/background.hpp"
#include "learn/learner.hpp"
#include "node/pins.hpp"
#include "sys/clock.hpp"
#include "sys/file.hpp"
#include "watch/watcher.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using Clock = std::chrono::steady_clock;

// Accesses that are new, of each container in a second.
constexpr std::uint32_t share = 50'000;
constexpr unsigned mostLastLooks = 20;
// Containers that are told by their ids.
constexpr std::size_t mostTold = 100;
// What a run adds to the file, before anybody can know it: a recording of a large program.
constexpr std::size_t roomForRun = 1024UL * 1024;
// After which a recorder that was told to end has not: the last looks, and all of a full recording written.
constexpr std::chrono::seconds stopPatience{180};

class Recorder {
public:
    // Watches from here on.
    Recorder(learn::Subject subject, learn::Recording before, oll_applier applier)
        : subject_(std::move(subject)),
          learner_(std::move(before)),
          watcher_({.applier = applier, .share = share, .sight = watch::Sight::accesses},
                   {.event =
                        [this](const oll_seen& event) {
                            if (chosen_.contains(event.cgroup_id)) {
                                learner_.take(event);
                            }
                        },
                    .container = [this](const oll_seen_container& told) { meet(told.cgroup_id, told.record); }})
    {
        learner_.run().began = timeText(sys::now(CLOCK_REALTIME));
        learner_.run().unseen = watcher_.blind();
    }

    // Until it is told to end, or the last of the chosen containers is gone; of those that say so by annotation, more
    // may come.
    learn::Recording run(const std::function<bool()>& toEnd)
    {
        lookAtContainers();
        Clock::time_point last = Clock::now();
        while (!toEnd() && !gone_) {
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
            throw sys::Error((subject_.annotation ? "no container with the annotation "
                                                  : "no container that has a profile and is called ") +
                             textOf(subject_) + " was there, so that nothing is recorded");
        }
        learn::Run& run = learner_.run();
        run.ended = timeText(sys::now(CLOCK_REALTIME));
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
        if (!(subject_.annotation ? container.learn == subject_.name : isNamed(container.name, subject_.name))) {
            return;
        }
        chosen_.insert(cgroupId);
        if (names_.size() < mostTold) {
            const std::string id = container.name["container"].get<std::string>();
            names_.insert(id);
            std::fprintf(stderr, "recording %s\n", id.c_str());
        } else if (!toldOfMore_) {
            toldOfMore_ = true;
            std::fputs("recording more than these\n", stderr);
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
        // What was told of the last may be on its way still: it is over one look later.
        std::set<std::uint64_t> left;
        std::ranges::set_difference(chosen_, there, std::inserter(left, left.end()));
        if (subject_.annotation) {
            std::erase_if(chosen_, [&](std::uint64_t id) { return left.contains(id) && left_.contains(id); });
        } else {
            gone_ = !chosen_.empty() && left == chosen_ && left_ == chosen_;
        }
        std::erase_if(met_, [&](std::uint64_t id) { return !there.contains(id) && !chosen_.contains(id); });
        left_ = std::move(left);
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

    learn::Subject subject_;
    learn::Learner learner_;
    std::set<std::uint64_t> met_, chosen_, left_;  // cgroup ids; those of the last look that were gone
    std::set<std::string> names_;
    bool toldOfMore_ = false, gone_ = false;
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

struct Plan {
    learn::Subject subject;
    std::string output;
    learn::Recording before;
    oll_applier applier{};
};

// All that can fail fails before a run that cannot be repeated.
void prepare(Plan& plan)
{
    plan.before = earlier(plan.output);
    sys::requireRoom(plan.output, learn::textOf(plan.before).size() + roomForRun);
    plan.applier = requireSelector();
}

std::string watchingText(const learn::Subject& subject)
{
    return "watching for " + textOf(subject);
}

// The exit status.
int record(Plan plan, Recorder& recorder, const std::function<bool()>& toEnd)
{
    const learn::Recording recording = recorder.run(toEnd);
    sys::replaceFile(plan.output, learn::textOf(recording), {.mode = 0600});
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

void addAnnotation(po::options_description& options, const char* description)
{
    options.add_options()("annotation", po::value<std::string>()->value_name("NAME"), description);
}

void addOutput(po::options_description& options)
{
    options.add_options()("output", po::value<std::string>()->value_name("FILE"),
                          "the recording; to one that is there, this run is added");
}

// Throws UsageError. `command`: for messages.
learn::Subject subjectIn(const po::variables_map& given, const std::string& command)
{
    const auto names = given["CONTAINER"].as<Arguments>();
    learn::Subject subject;
    if (given.contains("annotation")) {
        subject = {.name = given["annotation"].as<std::string>(), .annotation = true};
        requireName(subject.name, "recording");
    } else if (!names.empty()) {
        subject.name = names[0];
    }
    if (subject.name.empty() || (subject.annotation && !names.empty())) {
        throw UsageError(command + ": name a container" + (command == "learn record" ? "" : ", or --annotation NAME"));
    }
    return subject;
}

// Throws UsageError.
Plan planIn(const po::variables_map& given, const std::string& command)
{
    Plan plan{.subject = subjectIn(given, command), .output = {}, .before = {}};
    if (!given.contains("output")) {
        throw UsageError(command + ": name a file with --output");
    }
    plan.output = given["output"].as<std::string>();
    return plan;
}

// What a recorder has said, and how it ended.
int tellLeft(const learn::Left& left)
{
    std::fputs(left.said.c_str(), stderr);
    return left.status.value_or(exitFailed);
}

// Where nobody sees what main() would say.
int recordUnseen(const learn::Background& background, Plan plan, Recorder& recorder)
{
    int status = exitFailed;
    try {
        status = record(std::move(plan), recorder, [&] { return ended() || background.stopped(); });
    } catch (...) {
        std::fprintf(stderr, "oci-landlock: %s\n", sys::messageOf(std::current_exception()).c_str());
    }
    background.conclude(status);
    return status;
}

}  // namespace

int recordRun(const Arguments& arguments)
{
    po::options_description options;
    addOutput(options);
    const auto given = parseOptions(
        "learn record",
        "Records what the restricted programs of a container do, until it is gone or SIGINT or SIGTERM comes. Start\n"
        "it before the container, which wants a profile: `learn` allows everything.\n"
        "Exit status: 0 the recording is whole; 1 it is not, or an error.",
        options, arguments, "CONTAINER", 1);
    if (!given) {
        return exitOk;
    }
    Plan plan = planIn(*given, "learn record");
    prepare(plan);
    endOnSignals();
    Recorder recorder(plan.subject, std::move(plan.before), plan.applier);
    std::fprintf(stderr, "%s\n", watchingText(plan.subject).c_str());
    return record(std::move(plan), recorder, ended);
}

int startRecorder(const Arguments& arguments)
{
    po::options_description options;
    addOutput(options);
    addAnnotation(options, "in the place of CONTAINER: all whose annotation io.landlock.learn is NAME");
    const auto given = parseOptions(
        "learn start",
        "The same in the background. Returns once it watches, so that the container can be started. It ends with the\n"
        "container, or by `learn stop`; with --annotation only by that.",
        options, arguments, "CONTAINER", 1);
    if (!given) {
        return exitOk;
    }
    Plan plan = planIn(*given, "learn start");
    // Whoever waits for the end of what we were given would wait for the end of the container.
    if (!sys::closeAllBut({})) {
        throw sys::errnoError("close what was inherited");
    }
    prepare(plan);
    plan.output = std::filesystem::absolute(plan.output).string();
    const learn::Background background(plan.subject);
    if (const auto& before = background.before()) {
        std::fprintf(stderr, "the recorder before this one, which nobody has stopped, %s\n",
                     before->status ? "had said:" : "was killed, and had said:");
        tellLeft(*before);
    }
    endOnSignals();
    Recorder recorder(plan.subject, std::move(plan.before), plan.applier);
    const std::string text = watchingText(plan.subject);
    if (!background.tell(text)) {
        throw sys::Error(textOf(plan.subject) + ": stopped before it began");
    }
    std::fprintf(stderr, "%s\n", text.c_str());
    if (!background.leave()) {
        // What we have attached is the other one's now, and stays as it is.
        _exit(exitOk);
    }
    return recordUnseen(background, std::move(plan), recorder);
}

int stopRecorder(const Arguments& arguments)
{
    po::options_description options;
    addAnnotation(options, "in the place of CONTAINER, as `learn start` was told");
    const auto given = parseOptions(
        "learn stop",
        "Ends what `learn start` began, waits until the recording is written, and says what there is to say of it.\n"
        "Exit status: 0 the recording is whole; 1 it is not, or an error.",
        options, arguments, "CONTAINER", 1);
    if (!given) {
        return exitOk;
    }
    const learn::Subject subject = subjectIn(*given, "learn stop");
    node::requireAccess();
    const auto left = learn::stop(subject, stopPatience);
    if (!left) {
        throw sys::Error("nothing records " + textOf(subject) + "; name it as `learn start` was told to");
    }
    const int status = tellLeft(*left);
    if (!left->status) {
        throw sys::Error("the recorder of " + textOf(subject) +
                         " was killed, and this run is in no recording; record again");
    }
    return status;
}

}  // namespace cli
