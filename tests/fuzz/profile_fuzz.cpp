// SPDX-License-Identifier: Apache-2.0
// Profiles, as they come in annotations, and fragments: whatever the text, load() gives a profile within its bounds or
// an error whose every message is one short line; and ours agrees with the library's validator.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "../unit/validator.hpp"
#include "landlock/access.hpp"
#include "profile/document.hpp"
#include "profile/load.hpp"
#include "profile/schema.hpp"

namespace {

void expect(bool condition)
{
    if (!condition) {
        std::abort();
    }
}

void checkProfile(const profile::Profile& loaded)
{
    std::size_t layers = 0;
    std::size_t paths = 0;
    std::size_t ports = 0;
    expect(loaded.entries.empty() != loaded.uses.empty() && loaded.uses.size() <= profile::maxFragments);
    for (const profile::Entry& entry : loaded.entries) {
        expect(!entry.layers.empty() && entry.noNewPrivileges);
        expect(entry.select.programs.empty() == (entry.select.kind == profile::Selector::entrypoint));
        layers += entry.layers.size();
        for (const profile::Layer& layer : entry.layers) {
            expect((layer.handledFs | layer.handledNet | layer.scoped) != 0);
            for (const profile::PathRule& rule : layer.paths) {
                expect((rule.access & ~layer.handledFs) == 0 && (rule.access != 0 || rule.quiet));
                expect(!rule.path.empty() && rule.path.size() <= profile::maxPathBytes);
                expect(rule.path.find('\0') == std::string::npos);
            }
            for (const profile::PortRule& rule : layer.ports) {
                expect((rule.access & ~layer.handledNet) == 0 && rule.port <= 65535);
            }
            paths += layer.paths.size();
            ports += layer.ports.size();
        }
    }
    expect(layers <= profile::maxLayers && paths <= profile::maxPaths && ports <= profile::maxPorts);
}

void checkMessages(const profile::Invalid& error)
{
    expect(!error.problems().empty() && error.problems().size() <= 65);
    for (const profile::Problem& problem : error.problems()) {
        expect(!problem.message.empty() && problem.message.size() < 4096);
        expect(problem.message.find('\n') == std::string::npos);
    }
}

void checkSchema(std::string_view text)
{
    try {
        const nlohmann::json document = profile::parseJson(text, "fuzz");
        profile::Problems problems;
        profile::validate(document, problems);
        expect(matchesSchema(document, profile::profileSchema()) == problems.empty());
    } catch (const profile::Invalid&) {
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0) {
        return 0;
    }
    // The first byte picks the ABI.
    const unsigned abi = 1 + data[0] % (landlock::latestAbi + 1);
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    try {
        checkProfile(profile::load(text, "fuzz", profile::Origin::inlined, abi));
    } catch (const profile::Invalid& error) {
        checkMessages(error);
    }
    // The same as a fragment, alone and with one that uses it.
    const profile::Fragment fragment{"f", "f.json", std::string(text)};
    try {
        std::vector<profile::Fragment> fragments{fragment, {"g", "g.json", R"({"use":["f"],"abi":6})"}};
        for (const profile::Use& use : profile::usesOf(fragment)) {
            if (use.fragment != "f" && use.fragment != "g") {
                fragments.push_back({use.fragment, "u.json", R"({"variable":[{"name":"v","literal":["/v"]}]})"});
            }
        }
        checkProfile(profile::load(R"({"use":["g"],"abi":6,"ruleset":[{"scoped":["abi.all"]}]})", "fuzz",
                                   profile::Origin::inlined, abi, fragments));
    } catch (const profile::Invalid& error) {
        checkMessages(error);
    }
    checkSchema(text);
    return 0;
}
