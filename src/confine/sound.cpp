// SPDX-License-Identifier: Apache-2.0
#include "confine/sound.hpp"

#include <climits>

#include <algorithm>

#include "landlock/access.hpp"
#include "sys/error.hpp"

namespace confine {

namespace {

void require(bool sound)
{
    if (!sound) {
        throw sys::Error("the parser's answer makes no sense");
    }
}

bool isText(const std::string& text, std::size_t limit)
{
    return !text.empty() && text.size() <= limit && text.find('\0') == std::string::npos;
}

constexpr std::size_t maxNameBytes = 4 * profile::maxFragmentName;  // its bound counts characters

bool isAbsolute(const std::string& path, std::size_t limit)
{
    return isText(path, limit) && path.starts_with('/');
}

void requireSound(const profile::Layer& layer)
{
    require((layer.handledFs | layer.handledNet | layer.scoped) != 0);
    require((layer.quietFs & ~layer.handledFs) == 0 && (layer.quietNet & ~layer.handledNet) == 0 &&
            (layer.quietScoped & ~layer.scoped) == 0);
    for (const profile::PathRule& rule : layer.paths) {
        require(isText(rule.path, profile::maxPathBytes));
        require((rule.access & ~layer.handledFs) == 0 && (rule.access != 0 || rule.quiet));
    }
    for (const profile::PortRule& rule : layer.ports) {
        require(rule.port <= 0xffff);
        require((rule.access & ~layer.handledNet) == 0 && (rule.access != 0 || rule.quiet));
    }
}

}  // namespace

void requireSound(const oci::State& state)
{
    require(isText(state.id, oci::maxIdBytes) && isAbsolute(state.bundle, PATH_MAX - 1) && state.pid >= 0);
}

void requireSound(const oci::Bundle& bundle)
{
    require(isAbsolute(bundle.rootPath, oci::maxConfigBytes) && isAbsolute(bundle.cwd, oci::maxConfigBytes));
}

void requireSound(const profile::Profile& profile)
{
    // It is whole, or says what is to be read first.
    require(profile.uses.empty() != profile.entries.empty() && profile.entries.size() <= profile::maxEntries);
    requireSound(profile.uses);
    std::size_t layers = 0;
    std::size_t paths = 0;
    std::size_t pathBytes = 0;
    std::size_t ports = 0;
    std::size_t programs = 0;
    for (const profile::Entry& entry : profile.entries) {
        require(isText(entry.name, profile::maxDocumentBytes) && !entry.layers.empty());
        require(entry.noNewPrivileges || entry.origin == profile::Origin::nodeFile);
        constexpr std::uint32_t flags = landlock::logSameExecOff | landlock::logNewExecOn | landlock::logSubdomainsOff;
        require((entry.restrictFlags & ~flags) == 0);
        layers += entry.layers.size();
        for (const profile::Layer& layer : entry.layers) {
            requireSound(layer);
            paths += layer.paths.size();
            ports += layer.ports.size();
            for (const profile::PathRule& rule : layer.paths) {
                pathBytes += rule.path.size();
            }
        }
        require(entry.select.programs.empty() == (entry.select.kind == profile::Selector::entrypoint));
        if (!entry.select.programs.empty()) {
            requireSound(entry.select.programs);
        }
        programs += entry.select.programs.size();
    }
    require(layers <= profile::maxLayers && paths <= profile::maxPaths && pathBytes <= profile::maxExpandedBytes &&
            ports <= profile::maxPorts && programs <= profile::maxPrograms);
}

void requireSound(const std::vector<profile::Use>& uses)
{
    require(uses.size() <= profile::maxFragments);
    for (const profile::Use& use : uses) {
        require(isText(use.fragment, maxNameBytes) && isText(use.entry, profile::maxDocumentBytes) &&
                isText(use.pointer, profile::maxDocumentBytes));
    }
}

void requireSound(const std::vector<std::string>& programs)
{
    require(!programs.empty() && programs.size() <= profile::maxPrograms &&
            std::ranges::all_of(programs,
                                [](const std::string& path) { return isAbsolute(path, profile::maxProgramBytes); }));
}

}  // namespace confine
