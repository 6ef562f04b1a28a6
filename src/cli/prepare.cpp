// SPDX-License-Identifier: Apache-2.0
#include "cli/prepare.hpp"

#include "container/rootfs.hpp"
#include "sys/error.hpp"

namespace cli {

namespace {

landlock::Ruleset buildRuleset(const profile::Layer& layer, const profile::Entry& entry,
                               const container::Rootfs& rootfs, const std::string& cwd,
                               std::vector<std::string>& skipped)
{
    landlock::Ruleset ruleset({layer.handledFs, layer.handledNet, layer.scoped, layer.quietFs, layer.quietNet,
                               layer.quietScoped});
    for (const profile::PathRule& rule : layer.paths) {
        try {
            const sys::Fd path = rootfs.resolve(rule.path, cwd);
            ruleset.allowPath(path.get(), rule.access, rule.quiet);
        } catch (const container::NotFound& error) {
            if (entry.missingPaths == profile::MissingPaths::error) {
                throw sys::Error(rule.pointer + ": " + error.what() + "; mend the path, or set \"missingPaths\": "
                                 "\"skip\"");
            }
            skipped.push_back(rule.path);
        } catch (const sys::Error& error) {
            throw sys::Error(rule.pointer + ": " + sys::printable(rule.path) + ": " + error.what());
        }
    }
    for (const profile::PortRule& rule : layer.ports) {
        try {
            ruleset.allowPort(rule.port, rule.access, rule.quiet);
        } catch (const sys::Error& error) {
            throw sys::Error(rule.pointer + ": " + error.what());
        }
    }
    return ruleset;
}

void addProgram(Prepared& prepared, const std::string& path, int file, std::uint32_t entries)
{
    for (node::Program& known : prepared.programs) {
        if (known.path == path) {
            known.entries |= entries;
            return;
        }
    }
    prepared.programs.push_back({path, file, entries});
}

// A program counts by the name that the profile gives it and by the one that this leads to.
void resolveProgram(Prepared& prepared, const container::Rootfs& rootfs, const std::string& path, std::uint32_t entries)
{
    try {
        sys::Fd file = rootfs.resolve(path, "/");
        const std::string resolved = rootfs.nameOf(file.get());
        prepared.files.push_back(std::move(file));
        addProgram(prepared, path, prepared.files.back().get(), entries);
        addProgram(prepared, resolved, prepared.files.back().get(), entries);
    } catch (const container::NotFound&) {
        addProgram(prepared, path, -1, entries);  // it may appear later
    }
}

oll_selector selectorOf(profile::Selector kind)
{
    switch (kind) {
        case profile::Selector::entrypoint:
            return OLL_SELECT_ENTRYPOINT;
        case profile::Selector::program:
            return OLL_SELECT_PROGRAM;
        case profile::Selector::except:
            return OLL_SELECT_EXCEPT;
    }
    throw sys::Error("unknown selection");
}

}  // namespace

Prepared prepare(const profile::Profile& profile, const container::Process& init, const oci::Bundle& bundle)
{
    const container::Rootfs rootfs = container::Rootfs::of(init, bundle.rootPath);
    Prepared prepared;
    for (const profile::Entry& entry : profile.entries) {
        const auto index = static_cast<std::uint32_t>(prepared.entries.size());
        prepared.skipped.emplace_back();
        prepared.entries.push_back({selectorOf(entry.select.kind), entry.select.sessions});
        for (const profile::Layer& layer : entry.layers) {
            prepared.rulesets.push_back(buildRuleset(layer, entry, rootfs, bundle.cwd, prepared.skipped.back()));
            prepared.layers.push_back({prepared.rulesets.back().fd(), index,
                                       entry.restrictFlags | (entry.noNewPrivileges ? OLL_RESTRICT_NO_NEW_PRIVS : 0)});
        }
        for (const std::string& program : entry.select.programs) {
            resolveProgram(prepared, rootfs, program, 1U << index);
        }
    }
    return prepared;
}

}  // namespace cli
