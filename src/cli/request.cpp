// SPDX-License-Identifier: Apache-2.0
#include "cli/request.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "cli/fragments.hpp"
#include "sys/error.hpp"

namespace cli {

namespace {

// A document, not the name of one.
bool isInline(const std::string& value)
{
    const std::size_t start = value.find_first_not_of(" \t\r\n");
    return start != std::string::npos && value[start] == '{';
}

// The digest is of the bytes that were read here. Who parses them has a say in which fragments belong to them, and in
// nothing else: a document or fragment that is another has another digest.
void requirePinned(const std::string& source, const sys::Digest& digest, const sys::Digest& wanted,
                   const std::string& digestKey)
{
    if (digest != wanted) {
        throw sys::Error(source + ": has the digest " + sys::toText(digest) + ", and annotation " +
                         sys::printable(digestKey) + " wants " + sys::toText(wanted) +
                         "; see what has changed, and pin what it is now or bring back what it was");
    }
}

// Whoever starts a container with another profile has not named this one.
ProfileFile findBaseline(const Settings& settings)
{
    try {
        return findProfile(settings, *settings.baseline);
    } catch (const sys::Error& error) {
        throw sys::Error(std::string("the baseline of this node (") + settingsFile + "): " + error.what());
    }
}

}  // namespace

Parse parseHere(unsigned abi)
{
    return {[abi](const std::string& text, std::string source, profile::Origin origin,
                  const std::vector<profile::Fragment>& fragments) {
                const auto load = origin == profile::Origin::nodeFile ? profile::loadFile : profile::load;
                return load(text, std::move(source), origin, abi, fragments);
            },
            [](const profile::Fragment& fragment, profile::Origin) { return profile::usesOf(fragment); },
            [](const std::string& value) { return profile::programsOf(value); }};
}

profile::Profile readProfile(const Settings& settings, const ProfileFile& file, profile::Origin origin,
                             const Parse& parse)
{
    return loadWithFragments([&](const std::string& name) { return findFragment(settings, name); }, file.path,
                             file.text,
                             [&](const std::vector<profile::Fragment>& fragments) {
                                 return parse.profile(file.text, file.path, origin, fragments);
                             },
                             [&](const profile::Fragment& fragment) { return parse.uses(fragment, origin); });
}

profile::Profile baselineOf(const Settings& settings, const Parse& parse)
{
    if (!settings.baseline) {
        return {};
    }
    profile::Profile baseline = readProfile(settings, findBaseline(settings), profile::Origin::nodeFile, parse);
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

void requireLearnName(const oci::Request& request)
{
    requireName(*request.learn, "annotation " + sys::printable(request.learnKey) + ": recording");
}

profile::Profile profileAskedFor(const Settings& settings, const oci::Request& request, const Parse& parse)
{
    if (!request.profile && request.digest) {
        throw sys::Error("annotation " + sys::printable(request.digestKey) +
                         ": needs io.landlock.profile, whose document it is of");
    }
    if (!request.profile && !request.learn) {
        throw sys::Error("annotation io.landlock.program: needs io.landlock.profile, whose selection it replaces");
    }
    if (request.learn) {
        requireLearnName(request);
    }
    const std::string wanted = request.profile.value_or(learnProfile);
    const bool inlined = isInline(wanted);
    const std::string where = "annotation " + sys::printable(request.profileKey);
    if (inlined && !settings.allowInline) {
        throw sys::Error(where +
                         ": inline profiles are switched off on this node; name a "
                         "profile from its profile directories");
    }
    const ProfileFile file = inlined ? ProfileFile{where, wanted} : findProfile(settings, wanted);
    profile::Profile own =
        readProfile(settings, file, inlined ? profile::Origin::inlined : profile::Origin::nodeFile, parse);
    if (request.digest) {
        requirePinned(file.path, *own.digest, *request.digest, request.digestKey);
    }
    if (request.program) {
        profile::selectPrograms(own, parse.programs(*request.program));
    }
    return own;
}

void auditAll(profile::Profile& profile)
{
    for (profile::Entry& entry : profile.entries) {
        entry.mode = profile::Mode::audit;
    }
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
