// SPDX-License-Identifier: Apache-2.0
#include "confine/parser.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "confine/archive.hpp"
#include "confine/confine.hpp"
#include "confine/message.hpp"
#include "confine/sound.hpp"

namespace confine {

template <>
inline constexpr auto lastOf<profile::Origin> = profile::Origin::inlined;
template <>
inline constexpr auto lastOf<profile::Selector> = profile::Selector::except;
template <>
inline constexpr auto lastOf<profile::Mode> = profile::Mode::audit;
template <>
inline constexpr auto lastOf<profile::Compat> = profile::Compat::require;
template <>
inline constexpr auto lastOf<profile::MissingPaths> = profile::MissingPaths::skip;

}  // namespace confine

// What travels, member by member.
namespace oci {

template <typename Archive>
void fields(Archive& archive, State& state)
{
    archive(state.id, state.bundle, state.pid, state.created);
}

template <typename Archive>
void fields(Archive& archive, Bundle& bundle)
{
    archive(bundle.rootPath, bundle.cwd, bundle.annotations);
}

}  // namespace oci

namespace profile {

template <typename Archive>
void fields(Archive& archive, PathRule& rule)
{
    archive(rule.path, rule.access, rule.pointer, rule.quiet, rule.optional);
}

template <typename Archive>
void fields(Archive& archive, PortRule& rule)
{
    archive(rule.port, rule.access, rule.pointer, rule.quiet);
}

template <typename Archive>
void fields(Archive& archive, Layer& layer)
{
    archive(layer.handledFs, layer.handledNet, layer.scoped, layer.quietFs, layer.quietNet, layer.quietScoped,
            layer.paths, layer.ports);
}

template <typename Archive>
void fields(Archive& archive, Selection& selection)
{
    archive(selection.kind, selection.programs, selection.sessions);
}

template <typename Archive>
void fields(Archive& archive, Dropped& dropped)
{
    archive(dropped.what, dropped.abi, dropped.pointer);
}

template <typename Archive>
void fields(Archive& archive, Entry& entry)
{
    archive(entry.name, entry.select, entry.mode, entry.layers, entry.compat, entry.missingPaths, entry.noNewPrivileges,
            entry.restrictFlags, entry.logRequested, entry.dropped);
}

template <typename Archive>
void fields(Archive& archive, Use& use)
{
    archive(use.fragment, use.entry, use.pointer);
}

template <typename Archive>
void fields(Archive& archive, Fragment& fragment)
{
    archive(fragment.name, fragment.path, fragment.text);
}

template <typename Archive>
void fields(Archive& archive, Profile& profile)
{
    archive(profile.uses, profile.entries);
}

}  // namespace profile

namespace confine {

namespace {

constexpr std::size_t maxErrorBytes = 2000;

enum class Kind : std::uint8_t { state, bundle, profile, uses, programs };

}  // namespace

template <>
inline constexpr auto lastOf<Kind> = Kind::programs;

namespace {

struct Request {
    Kind kind = Kind::state;
    std::string text;
    std::string name;  // bundle: its directory; profile: its source
    profile::Origin origin = profile::Origin::inlined;
    unsigned abi = 0;
    std::vector<profile::Fragment> fragments = {};  // of a profile; or the one whose uses are wanted
};

struct Answer {
    bool good = false;
    std::string text;  // the result's bytes, or the message
};

template <typename Archive>
void fields(Archive& archive, Request& request)
{
    archive(request.kind, request.text, request.name, request.origin, request.abi, request.fragments);
}

template <typename Archive>
void fields(Archive& archive, Answer& answer)
{
    archive(answer.good, answer.text);
}

template <typename Value>
std::string pack(Value value)
{
    Writer writer;
    writer(value);
    return writer.take();
}

template <typename Value>
Value unpack(std::string_view bytes)
{
    Value value;
    Reader reader(bytes);
    reader(value);
    reader.finish();
    return value;
}

std::string parse(const Request& request)
{
    switch (request.kind) {
        case Kind::state:
            return pack(oci::parseState(request.text));
        case Kind::bundle:
            return pack(oci::parseBundle(request.text, request.name));
        case Kind::profile: {
            const auto load = request.origin == profile::Origin::nodeFile ? profile::loadFile : profile::load;
            return pack(load(request.text, request.name, request.origin, request.abi, request.fragments));
        }
        case Kind::uses:
            return pack(profile::usesOf(request.fragments.at(0)));
        case Kind::programs:
            return pack(profile::programsOf(request.text));
    }
    throw sys::Error("unknown request");
}

Answer answer(std::string_view message)
{
    try {
        return {true, parse(unpack<Request>(message))};
    } catch (const std::bad_alloc&) {
        return {false, "out of memory while parsing"};
    } catch (const std::exception& error) {
        return {false, error.what()};
    }
}

[[noreturn]] void serve(int channel)
{
    try {
        confineSelf(channel);
        while (const auto message = receive(channel)) {
            if (!send(channel, pack(answer(*message)))) {
                break;
            }
        }
    } catch (const std::exception& error) {
        send(channel, pack(Answer{false, std::string("confine the parser: ") + error.what()}));
    }
    _exit(0);
}

}  // namespace

sys::Digest identityOf(const profile::Profile& profile)
{
    Writer writer;
    for (const auto& digest : {profile.digest, profile.baselineDigest}) {
        std::string text = digest ? sys::toText(*digest) : "";
        writer(text);
    }
    for (const profile::Entry& entry : profile.entries) {
        std::string name = entry.name;
        profile::Selection select = entry.select;
        writer(name, entry.origin, entry.mode, select);
    }
    return sys::digest(writer.bytes());
}

Parser::Child::Child()
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        throw sys::errnoError("socketpair");
    }
    channel_ = sys::Fd(pair[0]);
    const sys::Fd theirs(pair[1]);
    pid_ = fork();
    if (pid_ < 0) {
        throw sys::errnoError("fork");
    }
    if (pid_ == 0) {
        channel_.reset();
        serve(theirs.get());
    }
}

Parser::Child::~Child()
{
    channel_.reset();
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

std::string Parser::Child::ask(std::string_view request, std::chrono::milliseconds patience)
{
    const Deadline end = std::chrono::steady_clock::now() + patience;
    const auto message = send(channel_.get(), request, end) ? receive(channel_.get(), end) : std::nullopt;
    if (!message) {
        throw sys::Error("the parser ended at this input: too much memory or time, or not allowed what it tried");
    }
    Answer got = unpack<Answer>(*message);
    if (!got.good) {
        throw sys::Error(sys::printable(got.text, maxErrorBytes));
    }
    return std::move(got.text);
}

oci::State Parser::state(std::string text)
{
    const auto state =
        unpack<oci::State>(others_.ask(pack(Request{Kind::state, std::move(text), {}, {}, 0}), patience_));
    requireSound(state);
    return state;
}

oci::Bundle Parser::bundle(std::string config, std::string directory)
{
    auto bundle =
        unpack<oci::Bundle>(others_.ask(pack(Request{Kind::bundle, std::move(config), directory, {}, 0}), patience_));
    bundle.directory = std::move(directory);
    requireSound(bundle);
    return bundle;
}

Parser::Child& Parser::childFor(profile::Origin origin)
{
    if (origin == profile::Origin::nodeFile && !nodes_) {
        nodes_.emplace();
    }
    return origin == profile::Origin::nodeFile ? *nodes_ : others_;
}

std::vector<profile::Use> Parser::usesOf(profile::Fragment fragment, profile::Origin origin)
{
    Request request{.kind = Kind::uses, .text = {}, .name = {}, .origin = origin};
    request.fragments.push_back(std::move(fragment));
    auto uses = unpack<std::vector<profile::Use>>(childFor(origin).ask(pack(std::move(request)), patience_));
    requireSound(uses);
    return uses;
}

profile::Profile Parser::profile(std::string text, std::string source, profile::Origin origin, unsigned abi,
                                 std::vector<profile::Fragment> fragments)
{
    Request request{Kind::profile, std::move(text), source, origin, abi, std::move(fragments)};
    auto profile = unpack<profile::Profile>(childFor(origin).ask(pack(std::move(request)), patience_));
    profile.source = std::move(source);
    for (profile::Entry& entry : profile.entries) {
        entry.origin = origin;
    }
    requireSound(profile);
    return profile;
}

std::vector<std::string> Parser::programs(std::string value)
{
    auto programs = unpack<std::vector<std::string>>(
        others_.ask(pack(Request{Kind::programs, std::move(value), {}, {}, 0}), patience_));
    requireSound(programs);
    return programs;
}

}  // namespace confine
