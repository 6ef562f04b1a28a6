// SPDX-License-Identifier: Apache-2.0
#include "cli/request.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "sys/error.hpp"

namespace cli {

namespace {

// A document, not the name of one.
bool isInline(const std::string& value)
{
    const std::size_t start = value.find_first_not_of(" \t\r\n");
    return start != std::string::npos && value[start] == '{';
}

// The digest is of what is parsed, and compared before: nobody who reads the document has a say in it.
profile::Profile read(const ProfileFile& file, profile::Origin origin, const Parse& parse,
                      const std::optional<sys::Digest>& wanted = {}, const std::string& digestKey = {})
{
    const sys::Digest digest = sys::digest(file.text);
    if (wanted && digest != *wanted) {
        throw sys::Error(file.path + ": has the digest " + sys::toText(digest) + ", and annotation " +
                         sys::printable(digestKey) + " wants " + sys::toText(*wanted) +
                         "; see what has changed, and pin what it is now or bring back what it was");
    }
    profile::Profile profile = parse.profile(file.text, file.path, origin);
    profile.digest = digest;
    return profile;
}

}  // namespace

profile::Profile baselineOf(const Settings& settings, const Parse& parse)
{
    if (!settings.baseline) {
        return {};
    }
    profile::Profile baseline = read(findProfile(settings, *settings.baseline), profile::Origin::nodeFile, parse);
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
    if (!request.profile && request.digest) {
        throw sys::Error("annotation " + sys::printable(request.digestKey) +
                         ": needs io.landlock.profile, whose document it is of");
    }
    if (!request.profile) {
        throw sys::Error("annotation io.landlock.program: needs io.landlock.profile, whose selection it replaces");
    }
    const bool inlined = isInline(*request.profile);
    if (inlined && !settings.allowInline) {
        throw sys::Error("annotation " + request.profileKey +
                         ": inline profiles are switched off on this node; name a "
                         "profile from its profile directories");
    }
    const ProfileFile file = inlined ? ProfileFile{"annotation " + request.profileKey, *request.profile}
                                     : findProfile(settings, *request.profile);
    profile::Profile own = read(file, inlined ? profile::Origin::inlined : profile::Origin::nodeFile, parse,
                                request.digest, request.digestKey);
    if (request.program) {
        profile::selectPrograms(own, parse.programs(*request.program));
    }
    return own;
}

profile::Profile stacked(profile::Profile baseline, profile::Profile own)
{
    for (profile::Profile* part : {&baseline, &own}) {
        for (profile::Entry& entry : part->entries) {
            entry.source = part->source;
        }
    }
    baseline.source += (baseline.source.empty() || own.source.empty() ? "" : " + ") + own.source;
    baseline.baselineDigest = std::exchange(baseline.digest, own.digest);
    std::ranges::move(own.entries, std::back_inserter(baseline.entries));
    return baseline;
}

}  // namespace cli
