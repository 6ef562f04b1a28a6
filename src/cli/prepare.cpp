// SPDX-License-Identifier: Apache-2.0
#include "cli/prepare.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "cli/lookup.hpp"
#include "confine/archive.hpp"
#include "confine/message.hpp"
#include "container/rootfs.hpp"
#include "landlock/ruleset.hpp"
#include "sys/error.hpp"

// What travels from the child that looks things up, member by member; descriptors go by their place among all.
template <>
inline constexpr auto confine::lastOf<oll_selector> = OLL_SELECT_EXCEPT;

namespace node {

template <typename Archive>
void fields(Archive& archive, Entry& entry)
{
    archive(entry.selector, entry.sessions, entry.audited);
}

template <typename Archive>
void fields(Archive& archive, Program& program)
{
    archive(program.path, program.file, program.entries);
}

}  // namespace node

namespace applier {

template <typename Archive>
void fields(Archive& archive, Layer& layer)
{
    archive(layer.ruleset, layer.entry, layer.restrictFlags);
}

}  // namespace applier

namespace cli {

namespace {

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

// One entry at a time: what its paths lead to.
class Preparation {
public:
    Preparation(Prepared& prepared, const container::Rootfs& rootfs, const profile::Entry& entry, std::string cwd)
        : prepared_(prepared),
          rootfs_(rootfs),
          entry_(entry),
          cwd_(std::move(cwd)),
          index_(static_cast<std::uint32_t>(prepared.entries.size()))
    {
    }

    void run(unsigned abi)
    {
        prepared_.skipped.emplace_back();
        prepared_.absent.emplace_back();
        prepared_.led.emplace_back();
        prepared_.leads.emplace_back();
        prepared_.obstacles.emplace_back();
        prepared_.entries.push_back({selectorOf(entry_.select.kind), entry_.select.sessions, audited()});
        std::vector<std::vector<Found>> layers;
        for (const profile::Layer& layer : entry_.layers) {
            layers.emplace_back();
            sys::Fd ruleset = build(layer, layers.back());
            if (audited()) {
                continue;
            }
            prepared_.rulesets.push_back(std::move(ruleset));
            prepared_.layers.push_back(
                {prepared_.rulesets.back().get(), index_,
                 entry_.restrictFlags | (entry_.noNewPrivileges ? OLL_RESTRICT_NO_NEW_PRIVS : 0)});
        }
        for (const std::string& program : entry_.select.programs) {
            resolveProgram(program);
        }
        if (entry_.select.kind == profile::Selector::except) {
            unlessAudited([&] { requireStrict(rootfs_, entry_, layers, abi); });
        }
    }

private:
    bool audited() const { return entry_.mode == profile::Mode::audit; }

    // What keeps a container from starting is only told where nothing would be applied.
    template <typename Step>
    void unlessAudited(Step step)
    {
        try {
            step();
        } catch (const sys::Error& error) {
            if (!audited()) {
                throw;
            }
            prepared_.obstacles.back().emplace_back(error.what());
        }
    }

    // As it will be enforced, also where it is not: so it is known that it could be.
    sys::Fd build(const profile::Layer& layer, std::vector<Found>& all)
    {
        landlock::Ruleset ruleset({.handledFs = layer.handledFs,
                                   .handledNet = layer.handledNet,
                                   .scoped = layer.scoped,
                                   .quietFs = layer.quietFs,
                                   .quietNet = layer.quietNet,
                                   .quietScoped = layer.quietScoped});
        for (const profile::PathRule& rule : layer.paths) {
            const std::size_t before = all.size();
            unlessAudited([&] { allowPath(ruleset, rule, all); });
            if (audited()) {
                prepared_.leads.back().push_back(all.size() > before ? all.back().name : "");
            }
        }
        if (entry_.origin == profile::Origin::nodeFile) {
            unlessAudited([&] { requireListed(all); });
        }
        for (const Found* found : ledAstray(all)) {
            prepared_.led.back().push_back(describe(*found));
        }
        for (const profile::PortRule& rule : layer.ports) {
            unlessAudited([&] {
                try {
                    ruleset.allowPort(rule.port, rule.access, rule.quiet);
                } catch (const sys::Error& error) {
                    throw sys::Error(where(rule.pointer) + error.what());
                }
            });
        }
        return ruleset.take();
    }

    void allowPath(landlock::Ruleset& ruleset, const profile::PathRule& rule, std::vector<Found>& all)
    {
        try {
            sys::Fd file;
            std::optional<Found> found = lookUpIfThere(rootfs_, rule, cwd_, file);
            if (found) {
                all.push_back(std::move(*found));
                ruleset.allowPath(file.get(), all.back().granted, rule.quiet);
            } else if (profile::mayBeMissing(entry_, rule)) {
                (rule.optional ? prepared_.absent : prepared_.skipped).back().push_back(rule.path);
            } else {
                throw rootfs_.notFound(rule.path, cwd_);
            }
        } catch (const container::NotFound& error) {
            throw sys::Error(where(rule.pointer) + error.what() + "; mend the path, or set \"missingPaths\": \"skip\"");
        } catch (const sys::Error& error) {
            throw sys::Error(where(rule.pointer) + sys::printable(rule.path) + ": " + error.what());
        }
    }

    std::string where(const std::string& pointer) const
    {
        return (entry_.source.empty() ? "" : sys::printable(entry_.source) + ": ") + pointer + ": ";
    }

    // A program counts by the name that the profile gives it and by the one that this leads to.
    void resolveProgram(const std::string& path)
    {
        try {
            sys::Fd file = rootfs_.resolve(path, "/");
            const std::string resolved = rootfs_.nameOf(file.get());
            if (entry_.select.kind == profile::Selector::except && entry_.origin == profile::Origin::nodeFile) {
                unlessAudited([&] { requireListed(entry_.select, path, resolved); });
            }
            prepared_.files.push_back(std::move(file));
            addProgram(path, prepared_.files.back().get());
            addProgram(resolved, prepared_.files.back().get());
        } catch (const container::NotFound&) {
            addProgram(path, -1);  // it may appear later
        } catch (const sys::Error& error) {
            if (!audited()) {
                throw;
            }
            prepared_.obstacles.back().emplace_back(error.what());
            addProgram(path, -1);
        }
    }

    void addProgram(const std::string& path, int file)
    {
        const std::uint32_t entries = 1U << index_;
        for (node::Program& known : prepared_.programs) {
            if (known.path == path) {
                known.entries |= entries;
                return;
            }
        }
        prepared_.programs.push_back({path, file, entries});
    }

    Prepared& prepared_;
    const container::Rootfs& rootfs_;
    const profile::Entry& entry_;
    const std::string cwd_;
    const std::uint32_t index_;
};

Prepared lookEverythingUp(const profile::Profile& profile, const container::Rootfs& rootfs, const std::string& cwd)
{
    const unsigned abi = landlock::kernelAbi();
    Prepared prepared;
    for (const profile::Entry& entry : profile.entries) {
        Preparation(prepared, rootfs, entry, profile::cwdOf(entry, cwd)).run(abi);
    }
    return prepared;
}

// What the child found, without descriptors: layers and programs say which one is theirs.
struct Answer {
    std::string error;
    std::vector<node::Entry> entries;
    std::vector<applier::Layer> layers;
    std::vector<node::Program> programs;
    std::vector<std::vector<std::string>> skipped;
    std::vector<std::vector<std::string>> absent;
    std::vector<std::vector<std::string>> led;
    std::vector<std::vector<std::string>> leads;
    std::vector<std::vector<std::string>> obstacles;
    std::uint64_t files = 0;
};

template <typename Archive>
void fields(Archive& archive, Answer& answer)
{
    archive(answer.error, answer.entries, answer.layers, answer.programs, answer.skipped, answer.absent, answer.led,
            answer.leads, answer.obstacles, answer.files);
}

// The place of a descriptor in a list.
int placeOf(int fd, const std::vector<int>& all)
{
    return fd < 0 ? -1 : static_cast<int>(std::ranges::find(all, fd) - all.begin());
}

[[noreturn]] void serve(int channel, const profile::Profile& profile, const container::Process& init,
                        const oci::Bundle& bundle)
{
    // Whoever reads what the hook prints must not wait for the end of a child that cannot be killed.
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
        dup2(null, fd);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    Answer answer;
    Prepared prepared;
    std::vector<int> descriptors;
    try {
        prepared = lookEverythingUp(profile, container::Rootfs::of(init, bundle.rootPath), bundle.cwd);
        for (const auto* list : {&prepared.rulesets, &prepared.files}) {
            for (const sys::Fd& fd : *list) {
                descriptors.push_back(fd.get());
            }
        }
        answer.entries = prepared.entries;
        answer.layers = prepared.layers;
        answer.programs = prepared.programs;
        answer.skipped = prepared.skipped;
        answer.absent = prepared.absent;
        answer.led = prepared.led;
        answer.leads = prepared.leads;
        answer.obstacles = prepared.obstacles;
        answer.files = prepared.files.size();
        for (applier::Layer& layer : answer.layers) {
            layer.ruleset = placeOf(layer.ruleset, descriptors);
        }
        for (node::Program& program : answer.programs) {
            program.file = placeOf(program.file, descriptors);
        }
    } catch (const std::exception& error) {
        answer = {};
        descriptors.clear();
        answer.error = error.what();
    }
    confine::Writer writer;
    writer(answer);
    confine::send(channel, writer.bytes()) && confine::sendDescriptors(channel, descriptors);
    _exit(0);
}

Prepared assembled(Answer answer, std::vector<sys::Fd> descriptors)
{
    const auto at = [&](int place) {
        if (place < 0) {
            return -1;
        }
        return descriptors.at(static_cast<std::size_t>(place)).get();
    };
    Prepared prepared;
    for (applier::Layer& layer : answer.layers) {
        layer.ruleset = at(layer.ruleset);
    }
    for (node::Program& program : answer.programs) {
        program.file = at(program.file);
    }
    prepared.entries = std::move(answer.entries);
    prepared.layers = std::move(answer.layers);
    prepared.programs = std::move(answer.programs);
    prepared.skipped = std::move(answer.skipped);
    prepared.absent = std::move(answer.absent);
    prepared.led = std::move(answer.led);
    prepared.leads = std::move(answer.leads);
    prepared.obstacles = std::move(answer.obstacles);
    prepared.files = std::move(descriptors);
    return prepared;
}

}  // namespace

Prepared prepare(const profile::Profile& profile, const container::Process& init, const oci::Bundle& bundle,
                 std::chrono::milliseconds patience)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        throw sys::errnoError("socketpair");
    }
    const sys::Fd channel(pair[0]);
    sys::Fd theirs(pair[1]);
    const pid_t child = fork();
    if (child < 0) {
        throw sys::errnoError("fork");
    }
    if (child == 0) {
        serve(theirs.get(), profile, init, bundle);
    }
    theirs.reset();
    const auto end = std::chrono::steady_clock::now() + patience;
    const auto message = confine::receive(channel.get(), end);
    Answer answer;
    if (message) {
        confine::Reader reader(*message);
        reader(answer);
        reader.finish();
    }
    const std::size_t count = answer.layers.size() + answer.files;
    auto descriptors = message ? confine::receiveDescriptors(channel.get(), count, end) : std::nullopt;
    // A child in the hands of a volume that does not answer may not die, so nobody waits for it then.
    kill(child, SIGKILL);
    waitpid(child, nullptr, descriptors ? 0 : WNOHANG);
    if (!answer.error.empty()) {
        throw sys::Error(answer.error);
    }
    if (!descriptors && std::chrono::steady_clock::now() > end) {
        throw sys::Error("the paths of the profile were not found within " +
                         std::to_string(std::chrono::duration_cast<std::chrono::seconds>(patience).count()) +
                         " s; a volume of the container does not answer, or the image makes its links too long");
    }
    if (!descriptors) {
        throw sys::Error("the paths of the profile were not found: out of memory or of file descriptors");
    }
    return assembled(std::move(answer), std::move(*descriptors));
}

Prepared prepareHere(profile::Profile profile)
{
    for (profile::Entry& entry : profile.entries) {
        entry.select = {};
    }
    return lookEverythingUp(profile, container::Rootfs::here(), "/");
}

void restrictSelf(const std::vector<applier::Layer>& layers)
{
    // What one of the layers asks for holds for all of them, in whatever order they come.
    const bool noNewPrivileges = std::ranges::any_of(layers, [](const applier::Layer& layer) {
        return (layer.restrictFlags & OLL_RESTRICT_NO_NEW_PRIVS) != 0;
    });
    if (noNewPrivileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        throw sys::errnoError("prctl(PR_SET_NO_NEW_PRIVS)");
    }
    for (const applier::Layer& layer : layers) {
        landlock::restrictSelf(layer.ruleset, layer.restrictFlags & ~OLL_RESTRICT_NO_NEW_PRIVS);
    }
}

}  // namespace cli
