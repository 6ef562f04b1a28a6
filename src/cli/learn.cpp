// SPDX-License-Identifier: Apache-2.0
// `oci-landlock learn`: from what a program does to a profile.
#include "cli/learn.hpp"

#include <array>
#include <cstdio>
#include <limits>
#include <string_view>

#include "cli/options.hpp"
#include "cli/request.hpp"
#include "learn/draft.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using nlohmann::ordered_json;

void requirePaths(const Arguments& paths, const char* option)
{
    for (const std::string& path : paths) {
        if (!path.starts_with('/')) {
            throw UsageError(std::string("learn profile: ") + option + " wants an absolute path");
        }
    }
}

learn::Recording merged(const Arguments& names, bool explain)
{
    learn::Recording all;
    for (const std::string& name : names) {
        const std::uint64_t added = learn::merge(all, learn::readFile(name));
        if (explain) {
            std::fprintf(stderr, "%s: adds %llu facts\n", sys::printable(name).c_str(),
                         static_cast<unsigned long long>(added));
        }
    }
    return all;
}

void requireWhole(const learn::Recording& recording)
{
    const std::vector<std::string> gaps = learn::gapsOf(recording);
    for (const std::string& gap : gaps) {
        std::fprintf(stderr, "oci-landlock: not whole: %s\n", gap.c_str());
    }
    if (!gaps.empty()) {
        throw sys::Error(
            "the recording is not whole, and a profile from it would deny what is missing; record again, or make one "
            "nevertheless with --incomplete");
    }
}

std::string namesOf(std::uint64_t rights)
{
    std::string out;
    for (const ordered_json& name : learn::rightNames(landlock::Kind::fs, rights)) {
        out += (out.empty() ? "" : ", ") + name.get<std::string>();
    }
    return out;
}

// What each fragment of the node comes to. One that comes to nothing alone, as with variables of others, is no offer.
std::vector<learn::Offer> fragmentsOf(const Settings& settings, bool explain)
{
    std::vector<learn::Offer> offers;
    for (const std::string& name : fragmentNames(settings)) {
        try {
            profile::Profile profile = readProfile(settings, {"learn", R"({"use":[")" + name + "\"]}"},
                                                   profile::Origin::nodeFile, parseHere(landlock::latestAbi));
            offers.push_back({name, std::move(profile.entries.at(0).layers.at(0))});
        } catch (const sys::Error& error) {
            if (explain) {
                std::fprintf(stderr, "not using fragment %s: %s\n", name.c_str(), error.what());
            }
        }
    }
    return offers;
}

void decide(const learn::Draft& draft, bool omit)
{
    std::string options;
    for (const learn::Withheld& one : draft.withheld) {
        std::fprintf(stderr, "oci-landlock: %s %s: %s\n", sys::printable(one.path).c_str(), namesOf(one.rights).c_str(),
                     one.why.c_str());
        options += " " + learn::optionFor(one);
    }
    if (!draft.withheld.empty() && !omit) {
        throw sys::Error("a rule on " +
                         std::string(draft.withheld.size() == 1 ? "this directory" : "these directories") +
                         " is for you to decide: allow it with" + options + ", or leave it out with --omit");
    }
}

int makeProfile(const Arguments& arguments)
{
    po::options_description options;
    auto add = options.add_options();
    const learn::Style usual;
    add("collapse", po::value<std::size_t>()->value_name("N")->default_value(usual.collapse),
        "N used files of a directory stand for all of it; 0: none do");
    add("into", po::value<Arguments>()->composing()->value_name("DIR")->default_value({}, ""),
        "allow rules on this protected directory; may be given several times");
    add("omit", "leave out what would want a rule on a protected directory");
    add("program", po::value<Arguments>()->composing()->value_name("PATH")->default_value({}, "the entrypoint"),
        "select this program; may be given several times");
    add("no-use", "write all rules out, without fragments of the node's");
    add("toml", "write TOML");
    add("incomplete", "also from a recording that is not whole");
    add("explain", "say on standard error why each rule is there");
    const auto given = parseOptions(
        "learn profile",
        "Writes a profile that allows what recordings show, to standard output.\n"
        "Exit status: 0 it is written; 1 a recording is not whole, a protected directory is to be decided on, or\n"
        "another error.",
        options, arguments, "RECORDING");
    if (!given) {
        return exitOk;
    }
    const auto names = (*given)["RECORDING"].as<Arguments>();
    if (names.empty()) {
        throw UsageError("learn profile: name at least one recording");
    }
    learn::Style style{.programs = (*given)["program"].as<Arguments>(),
                       .collapse = (*given)["collapse"].as<std::size_t>(),
                       .into = (*given)["into"].as<Arguments>(),
                       .toml = given->contains("toml")};
    if (style.collapse > std::numeric_limits<std::size_t>::max() / 2) {
        throw UsageError("learn profile: --collapse wants a number from 0 on");  // -1 was taken for a large one
    }
    requirePaths(style.into, "--into");
    requirePaths(style.programs, "--program");
    const bool explain = given->contains("explain");
    Settings settings;
    if (!given->contains("no-use")) {
        try {
            settings = readSettings();
            style.fragments = fragmentsOf(settings, explain);
        } catch (const sys::Error& error) {
            throw sys::Error(std::string(error.what()) + "; or write all rules out, with --no-use");
        }
    }
    const learn::Recording recording = merged(names, explain);
    if (!given->contains("incomplete")) {
        requireWhole(recording);
    }
    const learn::Draft draft = learn::draft(recording, style);
    decide(draft, given->contains("omit"));
    if (explain) {
        for (const std::string& reason : draft.reasons) {
            std::fprintf(stderr, "%s\n", reason.c_str());
        }
    }
    // What is written must be one.
    readProfile(settings, {std::string("the profile that was made") + (style.toml ? ".toml" : ""), draft.profile},
                profile::Origin::nodeFile, parseHere(landlock::latestAbi));
    std::fputs(draft.profile.c_str(), stdout);
    return exitOk;
}

struct Part {
    std::string_view word;
    int (*run)(const Arguments&);
};

constexpr std::array parts = {Part{"record", recordRun}, Part{"start", startRecorder}, Part{"stop", stopRecorder},
                              Part{"profile", makeProfile}};

void printHelp()
{
    std::puts(
        "Usage: oci-landlock learn record [OPTION]... CONTAINER\n"
        "       oci-landlock learn start [OPTION]... CONTAINER\n"
        "       oci-landlock learn stop [OPTION]... CONTAINER\n"
        "       oci-landlock learn profile [OPTION]... RECORDING...\n\n"
        "From what a program does to a profile that allows it.");
    for (const Part& part : parts) {
        std::puts("");
        part.run({"--help"});
    }
}

}  // namespace

int runLearn(const Arguments& arguments)
{
    const std::string word = arguments.empty() ? "" : arguments[0];
    if (word == "--help" || word == "-h") {
        printHelp();
        return exitOk;
    }
    for (const Part& part : parts) {
        if (word == part.word) {
            return part.run({arguments.begin() + 1, arguments.end()});
        }
    }
    throw UsageError("learn: say record, start, stop or profile; `oci-landlock learn --help` says what they do");
}

}  // namespace cli
