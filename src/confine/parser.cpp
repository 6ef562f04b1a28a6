// SPDX-License-Identifier: Apache-2.0
#include "confine/parser.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "confine/archive.hpp"
#include "confine/confine.hpp"
#include "sys/file.hpp"

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
    archive(bundle.directory, bundle.rootPath, bundle.cwd, bundle.annotations);
}

}  // namespace oci

namespace profile {

template <typename Archive>
void fields(Archive& archive, PathRule& rule)
{
    archive(rule.path, rule.access, rule.pointer, rule.quiet);
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
    archive(entry.name, entry.select, entry.layers, entry.compat, entry.missingPaths, entry.noNewPrivileges,
            entry.restrictFlags, entry.logRequested, entry.dropped);
}

template <typename Archive>
void fields(Archive& archive, Profile& profile)
{
    archive(profile.source, profile.entries);
}

}  // namespace profile

namespace confine {

namespace {

constexpr std::size_t maxMessage = 64UL << 20;

enum class Kind : std::uint8_t { state, bundle, profile, programs };

struct Request {
    Kind kind = Kind::state;
    std::string text;
    std::string name;  // bundle: its directory; profile: its source
    profile::Origin origin = profile::Origin::inlined;
    unsigned abi = 0;
};

struct Answer {
    bool good = false;
    std::string text;  // the result's bytes, or the message
};

template <typename Archive>
void fields(Archive& archive, Request& request)
{
    archive(request.kind, request.text, request.name, request.origin, request.abi);
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
    return writer.bytes();
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

bool readExactly(int fd, char* data, std::size_t size)
{
    while (size > 0) {
        const ssize_t n = read(fd, data, size);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return false;
        }
        const auto got = static_cast<std::size_t>(std::max<ssize_t>(n, 0));
        data += got;
        size -= got;
    }
    return true;
}

bool send(int channel, std::string_view message)
{
    const std::uint64_t size = message.size();
    return sys::writeAll(channel, {reinterpret_cast<const char*>(&size), sizeof size}) &&
           sys::writeAll(channel, message);
}

// std::nullopt: the other side has ended, or said too much.
std::optional<std::string> receive(int channel)
{
    std::uint64_t size = 0;
    if (!readExactly(channel, reinterpret_cast<char*>(&size), sizeof size) || size > maxMessage) {
        return std::nullopt;
    }
    std::string message(size, '\0');
    if (!readExactly(channel, message.data(), message.size())) {
        return std::nullopt;
    }
    return message;
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
            return pack(load(request.text, request.name, request.origin, request.abi));
        }
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

std::string bytesOf(const profile::Profile& profile)
{
    return pack(profile);
}

Parser::Parser()
{
    signal(SIGPIPE, SIG_IGN);  // a child that was killed is an error like any other
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        throw sys::errnoError("socketpair");
    }
    channel_ = sys::Fd(pair[0]);
    const sys::Fd theirs(pair[1]);
    child_ = fork();
    if (child_ < 0) {
        throw sys::errnoError("fork");
    }
    if (child_ == 0) {
        channel_.reset();
        serve(theirs.get());
    }
}

Parser::~Parser()
{
    channel_.reset();
    kill(child_, SIGKILL);
    while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

std::string Parser::ask(std::string_view request)
{
    const auto message = send(channel_.get(), request) ? receive(channel_.get()) : std::nullopt;
    if (!message) {
        throw sys::Error("the parser ended at this input: too much memory or time, or not allowed what it tried");
    }
    Answer got = unpack<Answer>(*message);
    if (!got.good) {
        throw sys::Error(got.text);
    }
    return std::move(got.text);
}

oci::State Parser::state(std::string text)
{
    return unpack<oci::State>(ask(pack(Request{Kind::state, std::move(text), {}, {}, 0})));
}

oci::Bundle Parser::bundle(std::string config, std::string directory)
{
    return unpack<oci::Bundle>(ask(pack(Request{Kind::bundle, std::move(config), std::move(directory), {}, 0})));
}

profile::Profile Parser::profile(std::string text, std::string source, profile::Origin origin, unsigned abi)
{
    return unpack<profile::Profile>(
        ask(pack(Request{Kind::profile, std::move(text), std::move(source), origin, abi})));
}

std::vector<std::string> Parser::programs(std::string value)
{
    return unpack<std::vector<std::string>>(ask(pack(Request{Kind::programs, std::move(value), {}, {}, 0})));
}

}  // namespace confine
