// SPDX-License-Identifier: Apache-2.0
#include "cli/request.hpp"

#include <algorithm>
#include <iterator>

#include "sys/error.hpp"

namespace cli {

namespace {

// A document, not the name of one.
bool isInline(const std::string& value)
{
    const std::size_t start = value.find_first_not_of(" \t\r\n");
    return start != std::string::npos && value[start] == '{';
}

profile::Profile fromNode(const Settings& settings, const std::string& name, const Parse& parse)
{
    const ProfileFile file = findProfile(settings, name);
    return parse.profile(file.text, file.path, profile::Origin::nodeFile);
}

}  // namespace

profile::Profile baselineOf(const Settings& settings, const Parse& parse)
{
    if (!settings.baseline) {
        return {};
    }
    profile::Profile baseline = fromNode(settings, *settings.baseline, parse);
    for (const profile::Entry& entry : baseline.entries) {
        // Each image brings its own file of an excepted name, whatever that does.
        if (entry.select.kind == profile::Selector::except) {
            throw sys::Error(baseline.source + ": entry " + sys::printable(entry.name) +
                             ": a baseline cannot except programs, because the image says what they are; select the "
                             "entrypoint");
        }
    }
    return baseline;
}

profile::Profile profileAskedFor(const Settings& settings, const oci::Request& request, const Parse& parse)
{
    if (!request.profile) {
        throw sys::Error("annotation io.landlock.program: needs io.landlock.profile, whose selection it replaces");
    }
    const bool inlined = isInline(*request.profile);
    if (inlined && !settings.allowInline) {
        throw sys::Error("annotation " + request.profileKey +
                         ": inline profiles are switched off on this node; name a "
                         "profile from its profile directories");
    }
    profile::Profile own =
        inlined ? parse.profile(*request.profile, "annotation " + request.profileKey, profile::Origin::inlined)
                : fromNode(settings, *request.profile, parse);
    if (request.program) {
        profile::selectPrograms(own, parse.programs(*request.program));
    }
    return own;
}

profile::Profile stacked(profile::Profile baseline, profile::Profile own)
{
    baseline.source += (baseline.source.empty() ? "" : " + ") + own.source;
    std::ranges::move(own.entries, std::back_inserter(baseline.entries));
    return baseline;
}

}  // namespace cli
