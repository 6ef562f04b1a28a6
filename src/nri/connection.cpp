// SPDX-License-Identifier: Apache-2.0
#include "nri/connection.hpp"

#include <endian.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <protozero/pbf_reader.hpp>
#include <protozero/pbf_writer.hpp>

#include "nri/field.hpp"
#include "sys/error.hpp"

namespace nri {

namespace {

// The numbers of the directions: calls of the engine to its plugin, and of the plugin to its engine.
constexpr std::uint32_t toPlugin = 1;
constexpr std::uint32_t toEngine = 2;

constexpr std::size_t pieceHeader = 8;     // direction, length
constexpr std::size_t messageHeader = 10;  // length, stream, type, flags
constexpr std::size_t maxMessage = 4 * 1024 * 1024;
// The other side reads by this much, and wants no larger piece.
constexpr std::size_t maxPiece = 4096;

enum : std::uint8_t { typeRequest = 1, typeResponse = 2 };

namespace request_field {
enum : protozero::pbf_tag_type { service = 1, method = 2, payload = 3 };
}
namespace response_field {
enum : protozero::pbf_tag_type { status = 1, payload = 2 };
}
namespace status_field {
enum : protozero::pbf_tag_type { code = 1, message = 2 };
}
constexpr std::int32_t codeUnknown = 2;

std::uint32_t fromNetwork(const char* at)
{
    std::uint32_t value = 0;
    std::memcpy(&value, at, sizeof(value));
    return be32toh(value);
}

void appendToNetwork(std::string& out, std::uint32_t value)
{
    value = htobe32(value);
    out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

Call readCall(protozero::pbf_reader reader, std::uint32_t stream)
{
    Call call;
    call.stream = stream;
    while (reader.next()) {
        switch (reader.tag()) {
            case request_field::service:
                call.service = text(reader);
                break;
            case request_field::method:
                call.method = text(reader);
                break;
            case request_field::payload:
                call.payload = text(reader);
                break;
            default:
                reader.skip();
        }
    }
    return call;
}

Answer readAnswer(protozero::pbf_reader reader)
{
    Answer answer;
    while (reader.next()) {
        if (reader.tag() != response_field::status) {
            reader.skip();
            continue;
        }
        const std::string status = text(reader);
        for (protozero::pbf_reader inner(status); inner.next();) {
            if (inner.tag() == status_field::code) {
                answer.code = static_cast<std::int32_t>(number(inner));
            } else if (inner.tag() == status_field::message) {
                answer.message = text(inner);
            } else {
                inner.skip();
            }
        }
    }
    return answer;
}

}  // namespace

// False: closed before the first byte.
bool Connection::readWhole(char* to, std::size_t size)
{
    for (std::size_t have = 0; have < size;) {
        const ssize_t got = recv(socket_.get(), to + have, size - have, 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0 && errno != ECONNRESET) {
            throw sys::errnoError("read from NRI");
        }
        if (got <= 0) {
            if (have == 0) {
                return false;
            }
            throw sys::Error("NRI's connection has ended within a message");
        }
        have += static_cast<std::size_t>(got);
    }
    return true;
}

bool Connection::readPiece()
{
    std::array<char, pieceHeader> header{};
    if (!readWhole(header.data(), header.size())) {
        return false;
    }
    const std::uint32_t direction = fromNetwork(header.data());
    const std::uint32_t length = fromNetwork(header.data() + 4);
    if ((direction != toPlugin && direction != toEngine) || length > maxMessage + messageHeader) {
        throw sys::Error("what came is not NRI's");
    }
    std::string& incoming = incoming_[direction - 1];
    const std::size_t before = incoming.size();
    incoming.resize(before + length);
    if (length != 0 && !readWhole(incoming.data() + before, length)) {
        throw sys::Error("NRI's connection has ended within a message");
    }
    return true;
}

std::optional<Received> Connection::messageIn(std::size_t direction)
{
    std::string& incoming = incoming_[direction - 1];
    if (incoming.size() < messageHeader) {
        return std::nullopt;
    }
    const std::size_t length = fromNetwork(incoming.data());
    if (length > maxMessage) {
        throw sys::Error("a message of NRI is larger than ttrpc allows");
    }
    if (incoming.size() < messageHeader + length) {
        return std::nullopt;
    }
    const std::uint32_t stream = fromNetwork(incoming.data() + 4);
    const auto type = static_cast<std::uint8_t>(incoming[8]);
    const std::string message = incoming.substr(messageHeader, length);
    incoming.erase(0, messageHeader + length);
    if (type != (direction == toPlugin ? typeRequest : typeResponse)) {
        throw sys::Error("a message of NRI is neither a call nor an answer");
    }
    try {
        Received received;
        if (direction == toPlugin) {
            received.call = readCall(protozero::pbf_reader(message), stream);
        } else {
            received.answer = readAnswer(protozero::pbf_reader(message));
        }
        return received;
    } catch (const protozero::exception&) {
        throw sys::Error("a message of NRI is broken");
    }
}

std::optional<Received> Connection::receive()
{
    for (;;) {
        for (const std::uint32_t direction : {toPlugin, toEngine}) {
            if (std::optional<Received> received = messageIn(direction)) {
                return received;
            }
        }
        if (!readPiece()) {
            return std::nullopt;
        }
    }
}

void Connection::send(std::uint32_t direction, std::uint32_t stream, std::uint8_t type, std::string_view message)
{
    std::string whole;
    appendToNetwork(whole, static_cast<std::uint32_t>(message.size()));
    appendToNetwork(whole, stream);
    whole += static_cast<char>(type);
    whole += '\0';
    whole += message;
    std::string out;
    for (std::size_t at = 0; at < whole.size(); at += maxPiece) {
        const std::size_t length = std::min(maxPiece, whole.size() - at);
        appendToNetwork(out, direction);
        appendToNetwork(out, static_cast<std::uint32_t>(length));
        out.append(whole, at, length);
    }
    for (std::size_t sent = 0; sent < out.size();) {
        const ssize_t done = ::send(socket_.get(), out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
        if (done < 0 && errno != EINTR) {
            throw sys::errnoError("write to NRI");
        }
        sent += done < 0 ? 0 : static_cast<std::size_t>(done);
    }
}

void Connection::call(std::string_view service, std::string_view method, std::string_view payload)
{
    // A client's streams are odd.
    lastStream_ += lastStream_ == 0 ? 1 : 2;
    std::string message;
    protozero::pbf_writer writer(message);
    writer.add_string(request_field::service, service.data(), service.size());
    writer.add_string(request_field::method, method.data(), method.size());
    writer.add_bytes(request_field::payload, payload.data(), payload.size());
    send(toEngine, lastStream_, typeRequest, message);
}

void Connection::answer(std::uint32_t stream, std::string_view payload)
{
    std::string message;
    protozero::pbf_writer(message).add_bytes(response_field::payload, payload.data(), payload.size());
    send(toPlugin, stream, typeResponse, message);
}

void Connection::refuse(std::uint32_t stream, std::string_view why)
{
    std::string message;
    {
        protozero::pbf_writer writer(message);
        protozero::pbf_writer status(writer, response_field::status);
        status.add_int32(status_field::code, codeUnknown);
        status.add_string(status_field::message, why.data(), why.size());
    }
    send(toPlugin, stream, typeResponse, message);
}

}  // namespace nri
