// SPDX-License-Identifier: Apache-2.0
// `oci-landlock check`: what is wrong with a profile, and what a right one comes to.
#include "cli/check_against.hpp"
#include "cli/check_bundle.hpp"
#include "cli/check_can.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <functional>
#include <optional>

#include "cli/commands.hpp"
#include "cli/fragments.hpp"
#include "cli/launch.hpp"
#include "cli/options.hpp"
#include "cli/report.hpp"
#include "cli/request.hpp"
#include "cli/settings.hpp"
#include "landlock/access.hpp"
#include "landlock/ruleset.hpp"
#include "oci/bundle.hpp"
#include "profile/document.hpp"
#include "sys/file.hpp"
#include "sys/json.hpp"

namespace cli {

namespace {

namespace po = boost::program_options;
using nlohmann::ordered_json;
using profile::Origin;

struct Wish {
    unsigned abi = landlock::latestAbi;
    std::string bundle;   // directory, or empty
    bool launch = false;  // with this applier
    Arguments profiles;   // directories in place of the node's, if there are any
};

std::string readText(const std::string& name)
{
    if (name == "-") {
        return sys::readAll(STDIN_FILENO, profile::maxDocumentBytes, "standard input");
    }
    const sys::Fd file(open(name.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        throw sys::errnoError(sys::printable(name));
    }
    return sys::readAll(file.get(), profile::maxDocumentBytes, sys::printable(name));
}

std::string sourceOf(const std::string& name)
{
    return name == "-" ? "standard input" : sys::printable(name);
}

// Only a document that uses fragments wants the node's settings.
ProfileFile fragmentFor(const Arguments& profiles, const std::string& name)
{
    if (profiles.empty()) {
        return findFragment(readSettings(), name);
    }
    Settings settings;
    settings.profileDirectories = profiles;
    return findFragment(settings, name);
}

profile::Profile profileIn(const std::string& name, const std::string& source, unsigned abi, const Arguments& profiles)
{
    const std::string text = readText(name);
    return loadWithFragments([&](const std::string& fragment) { return fragmentFor(profiles, fragment); }, source, text,
                             [&](const std::vector<profile::Fragment>& fragments) {
                                 return profile::loadFile(text, source, Origin::nodeFile, abi, fragments);
                             },
                             profile::usesOf);
}

// One report: {"source", "valid", then "digest" and "entries" or "problems", and what the bundle lacks}.
ordered_json check(const std::string& source, const Wish& wish, const std::function<profile::Profile()>& load)
{
    ordered_json out = {{"source", source}, {"abi", wish.abi}, {"valid", true}};
    try {
        profile::Profile profile = load();
        if (wish.launch) {
            limitToLaunch(profile, "see oci-landlock-profile(5)");
        }
        if (profile.digest) {
            out["digest"] = sys::toText(*profile.digest);
        }
        for (const profile::UsedFragment& fragment : profile.fragments) {
            out["fragments"].push_back({{"name", fragment.name},
                                        {"source", sys::printable(fragment.path)},
                                        {"digest", sys::toText(fragment.digest)}});
        }
        out["entries"] = reportOf(profile);
        if (!wish.bundle.empty()) {
            bool failed = false;
            out["bundle"] = compareWithBundle(profile, wish.bundle, wish.abi, failed);
            out["valid"] = !failed;
        }
    } catch (const profile::Invalid& error) {
        out["valid"] = false;
        out["problems"] = reportOf(error);
    } catch (const sys::Error& error) {
        out["valid"] = false;
        out["problems"] = ordered_json::array({{{"pointer", ""}, {"message", error.what()}}});
    }
    return out;
}

ordered_json checkFile(const std::string& name, const Wish& wish)
{
    const std::string source = sourceOf(name);
    return check(source, wish, [&] { return profileIn(name, source, wish.abi, wish.profiles); });
}

// One of several documents, so that what is wrong says in which.
nlohmann::json partIn(const std::string& name)
{
    const std::string source = sourceOf(name);
    try {
        nlohmann::json part = profile::parseFile(readText(name), source);
        if (part.is_object() && part.contains("entries")) {
            throw sys::Error(source + ": has entries, and --compose merges policies on their own");
        }
        return part;
    } catch (const profile::Invalid& error) {
        throw sys::Error(error.what());
    }
}

// All documents as one layer.
ordered_json checkComposed(const Arguments& names, const Wish& wish)
{
    std::string source;
    for (const std::string& name : names) {
        source += (source.empty() ? "" : " + ") + sourceOf(name);
    }
    return check(source, wish, [&] {
        nlohmann::json parts = nlohmann::json::array();
        for (const std::string& name : names) {
            parts.push_back(partIn(name));
        }
        const nlohmann::json policy = {{"compose", std::move(parts)}};
        profile::Profile profile =
            loadWithFragments([&](const std::string& fragment) { return fragmentFor(wish.profiles, fragment); }, source,
                              "",
                              [&](const std::vector<profile::Fragment>& fragments) {
                                  return profile::loadDocument({{"entries", {{{"policy", policy}}}}}, source,
                                                               Origin::nodeFile, wish.abi, fragments);
                              },
                              profile::usesOf);
        profile.digest.reset();
        return profile;
    });
}

ordered_json checkAnnotations(const Wish& wish)
{
    return check(sys::printable(wish.bundle) + "/config.json", wish, [&] {
        oci::Bundle bundle = oci::readBundle(wish.bundle);
        oci::keepWordOfEngine(bundle);
        const auto request = oci::requestOf(bundle);
        if (!request) {
            throw sys::Error(
                "no annotation asks for a profile; add io.landlock.profile, or name profile files to check");
        }
        oci::requireExec(bundle);
        Settings settings = readSettings();
        if (!wish.profiles.empty()) {
            settings.profileDirectories = wish.profiles;
        }
        return profileAskedFor(settings, *request, parseHere(wish.abi));
    });
}

std::string bundleText(const ordered_json& entry)
{
    std::string out;
    const auto add = [&](const char* list, const char* before, const char* after) {
        for (const ordered_json& item : entry[list]) {
            out += "    " + std::string(before) + sys::printable(item["path"].get<std::string>(), 8192) + after +
                   (item.contains("pointer") ? " (" + item["pointer"].get<std::string>() + ")" : "") + "\n";
        }
    };
    add("missingPaths", "missing: ", "");
    add("missingPrograms", "missing program: ", "");
    add("onMounts", "on a mount, known when the container starts: ", "");
    for (const ordered_json& link : entry["links"]) {
        out += "    link: " + sys::printable(link["path"].get<std::string>(), 8192) + " leads to " +
               sys::printable(link["to"].get<std::string>(), 8192) + " (" + link["pointer"].get<std::string>() + ")\n";
    }
    for (const ordered_json& problem : entry["problems"]) {
        out += "    problem: " + problem.get<std::string>() + "\n";
    }
    return out.empty() ? "" : "  bundle, entry " + entry["name"].get<std::string>() + "\n" + out;
}

void print(const ordered_json& result)
{
    const auto source = result["source"].get<std::string>();
    std::string out;
    for (const ordered_json& problem : result.value("problems", ordered_json::array())) {
        const std::string line = problem.contains("line") ? ":" + problem["line"].dump() : "";
        const auto pointer = problem["pointer"].get<std::string>();
        const auto message = problem["message"].get<std::string>();
        // What is said of a file that cannot be read names it already.
        const bool named = pointer.empty() && line.empty() && message.starts_with(source + ": ");
        out += (named ? "" : source + line + ": ") + (pointer.empty() ? "" : sys::printable(pointer, 8192) + ": ") +
               message + "\n";
    }
    if (!out.empty()) {
        std::fputs(out.c_str(), stderr);
        return;
    }
    out = source + (result["valid"] ? ": valid" : ": does not fit the bundle") + ", Landlock ABI " +
          result["abi"].dump() + "\n";
    if (result.contains("digest")) {
        out += "  digest " + result["digest"].get<std::string>() + "\n";
    }
    for (const ordered_json& fragment : result.value("fragments", ordered_json::array())) {
        out += "  uses " + fragment["name"].get<std::string>() + ": " + fragment["source"].get<std::string>() + ", " +
               fragment["digest"].get<std::string>() + "\n";
    }
    out += textOf(result["entries"]);
    for (const ordered_json& entry : result.value("bundle", ordered_json::array())) {
        out += bundleText(entry);
    }
    std::fputs(out.c_str(), result["valid"] ? stdout : stderr);
}

unsigned abiOf(const po::variables_map& given)
{
    if (given.contains("kernel")) {
        if (!given["abi"].defaulted()) {
            throw UsageError("check: --abi and --kernel do not go together");
        }
        const unsigned abi = landlock::kernelAbi();
        if (abi == 0) {
            throw sys::Error("this kernel has no Landlock, or it is not enabled; boot with landlock in lsm=");
        }
        return abi;
    }
    const int abi = given["abi"].as<int>();
    if (abi < 1) {
        throw UsageError("check: --abi wants a number from 1 on");
    }
    return static_cast<unsigned>(abi);
}

// `check --can`: the answer of one profile. Status 1 is for what is denied, and for that alone.
int answer(const po::variables_map& given, const std::string& name, const Access& access)
{
    try {
        const std::string source = sourceOf(name);
        const std::string bundle = given["bundle"].as<std::string>();
        const profile::Profile profile = profileIn(name, source, abiOf(given), given["profiles"].as<Arguments>());
        const container::Rootfs rootfs = bundle.empty() ? container::Rootfs::here() : rootfsOf(oci::readBundle(bundle));
        const ordered_json found = answerOf(profile, access, rootfs);
        const std::string text =
            given.contains("json") ? sys::prettyOf(found) + "\n" : source + ": " + answerText(found);
        std::fputs(text.c_str(), stdout);
        sys::flushOutput();
        return found["allowed"].get<bool>() ? exitOk : exitFailed;
    } catch (...) {
        std::fprintf(stderr, "oci-landlock: %s\n", sys::messageOf(std::current_exception()).c_str());
        return exitUsage;
    }
}

// `check --against`: what a profile would deny. Status 1 is for that alone, too.
int compare(const po::variables_map& given, const std::string& name)
{
    try {
        const std::string source = sourceOf(name);
        const std::string bundle = given["bundle"].as<std::string>();
        const profile::Profile profile = profileIn(name, source, abiOf(given), given["profiles"].as<Arguments>());
        const auto rootfs = bundle.empty() ? std::nullopt : std::optional(rootfsOf(oci::readBundle(bundle)));
        const std::string recording = given["against"].as<std::string>();
        const ordered_json found = comparisonOf(profile, learn::readFile(recording), rootfs ? &*rootfs : nullptr);
        const std::string text = given.contains("json") ? sys::prettyOf(found) + "\n" : comparisonText(found, source);
        std::fputs(text.c_str(), stdout);
        sys::flushOutput();
        return found["denied"].empty() ? exitOk : exitFailed;
    } catch (...) {
        std::fprintf(stderr, "oci-landlock: %s\n", sys::messageOf(std::current_exception()).c_str());
        return exitUsage;
    }
}

}  // namespace

int runCheck(const Arguments& arguments)
{
    po::options_description options;
    auto add = options.add_options();
    add("abi", po::value<int>()->value_name("N")->default_value(landlock::latestAbi), "resolve for Landlock ABI N");
    add("kernel", "resolve for the kernel that runs here");
    add("json", "print JSON");
    add("bundle", po::value<std::string>()->value_name("DIR")->default_value("", ""),
        "look for all paths in the root file system of this OCI bundle; without FILE, check the profile that its "
        "annotations ask for");
    add("compose", "merge the policies of all files into one layer");
    add("against", po::value<std::string>()->value_name("RECORDING"),
        "only say what of this recording (oci-landlock-learn(1)) the profile would deny");
    add("can", po::value<std::string>()->value_name("RIGHT"),
        "only say whether the profile allows this right (read_file, bind_tcp, ...) to what it restricts");
    add("path", po::value<std::string>()->value_name("PATH"),
        "the path that --can is about, on this machine or in the bundle's root file system");
    add("port", po::value<unsigned>()->value_name("N"), "the port that --can is about");
    add("profiles", po::value<Arguments>()->composing()->value_name("DIR")->default_value({}, ""),
        "look for fragments in this profile directory, not in the node's; may be given several times");
    add("applier", po::value<std::string>()->value_name("NAME")->default_value("", ""),
        "as this applier covers it: kfunc, inject or launch");
    const auto given = parseOptions(
        "check",
        "Checks profiles and policies (\"-\": standard input) and shows what they come to.\n"
        "Exit status: 0 all are valid, 1 at least one is not; with --can 0 allowed, 1 denied, 2 any error;\n"
        "with --against 0 it would deny nothing, 1 something, 2 any error.",
        options, arguments, "FILE");
    if (!given) {
        return exitOk;
    }
    const std::string applier = (*given)["applier"].as<std::string>();
    if (!applier.empty() && applier != "kfunc" && applier != "inject" && applier != "launch") {
        throw UsageError("check: --applier wants kfunc, inject or launch");
    }
    const auto names = (*given)["FILE"].as<Arguments>();
    const bool judges = given->contains("can");
    if (!judges && (given->contains("path") || given->contains("port"))) {
        throw UsageError("check: --path and --port want --can");
    }
    if (judges) {
        if (names.size() != 1 || given->contains("compose") || given->contains("against") || !applier.empty()) {
            throw UsageError("check: --can wants one file, and neither --against, --compose nor --applier");
        }
        const auto path = given->contains("path") ? std::optional((*given)["path"].as<std::string>()) : std::nullopt;
        const auto port = given->contains("port") ? std::optional((*given)["port"].as<unsigned>()) : std::nullopt;
        const Access access = accessOf((*given)["can"].as<std::string>(), path, port);
        return answer(*given, names[0], access);
    }
    if (given->contains("against")) {
        if (names.size() != 1 || given->contains("compose") || !applier.empty()) {
            throw UsageError("check: --against wants one file, and neither --can, --compose nor --applier");
        }
        return compare(*given, names[0]);
    }
    const Wish wish{abiOf(*given), (*given)["bundle"].as<std::string>(), applier == "launch",
                    (*given)["profiles"].as<Arguments>()};
    ordered_json results = ordered_json::array();
    if (names.empty() && wish.bundle.empty()) {
        throw UsageError("check: name at least one file, or a bundle with --bundle");
    }
    if (names.empty()) {
        results.push_back(checkAnnotations(wish));
    } else if (given->contains("compose")) {
        results.push_back(checkComposed(names, wish));
    } else {
        for (const std::string& name : names) {
            results.push_back(checkFile(name, wish));
        }
    }
    bool valid = true;
    for (const ordered_json& result : results) {
        valid = valid && result["valid"].get<bool>();
        if (!given->contains("json")) {
            print(result);
        }
    }
    if (given->contains("json")) {
        std::puts(sys::prettyOf(results).c_str());
    }
    return valid ? exitOk : exitFailed;
}

}  // namespace cli
