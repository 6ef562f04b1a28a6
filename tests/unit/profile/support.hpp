// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "landlock/access.hpp"
#include "profile/load.hpp"

namespace support {

inline std::string names(landlock::Kind kind, std::uint64_t mask)
{
    std::string out;
    for (; mask != 0; mask &= mask - 1) {
        const std::string name = landlock::describe(kind, mask & -mask);
        out += (out.empty() ? "" : ",") + name.substr(name.find('.') + 1);
    }
    return out;
}

// A layer in one line: "fs=execute net=bind_tcp scope=signal; /usr execute; :80 bind_tcp"
inline std::string text(const profile::Layer& layer)
{
    using landlock::Kind;
    std::string out;
    const auto part = [&](const char* name, Kind kind, std::uint64_t mask) {
        if (mask != 0) {
            out += (out.empty() ? "" : " ") + std::string(name) + "=" + names(kind, mask);
        }
    };
    part("fs", Kind::fs, layer.handledFs);
    part("net", Kind::net, layer.handledNet);
    part("scope", Kind::scope, layer.scoped);
    part("quietfs", Kind::fs, layer.quietFs);
    part("quietnet", Kind::net, layer.quietNet);
    part("quietscope", Kind::scope, layer.quietScoped);
    for (const profile::PathRule& rule : layer.paths) {
        out += "; " + rule.path + " " + names(Kind::fs, rule.access) + (rule.quiet ? " quiet" : "");
    }
    for (const profile::PortRule& rule : layer.ports) {
        out += "; :" + std::to_string(rule.port) + " " + names(Kind::net, rule.access) + (rule.quiet ? " quiet" : "");
    }
    return out;
}

inline std::string text(const profile::Invalid& error)
{
    std::string out;
    for (const profile::Problem& problem : error.problems()) {
        out += problem.pointer + ": " + problem.message + "\n";
    }
    return out;
}

inline profile::Profile load(std::string_view json, unsigned abi = landlock::latestAbi,
                             profile::Origin origin = profile::Origin::nodeFile)
{
    try {
        return profile::load(json, "test", origin, abi);
    } catch (const profile::Invalid& error) {
        ADD_FAILURE() << json << "\n" << text(error);
        throw;
    }
}

struct Reject {
    std::string json;
    std::string pointer;
    const char* message;  // part of it
};

inline void expectRejected(const Reject& reject, unsigned abi = landlock::latestAbi,
                           profile::Origin origin = profile::Origin::nodeFile)
{
    try {
        profile::load(reject.json, "test", origin, abi);
        ADD_FAILURE() << "accepted: " << reject.json;
    } catch (const profile::Invalid& error) {
        for (const profile::Problem& problem : error.problems()) {
            if (problem.pointer == reject.pointer && problem.message.find(reject.message) != std::string::npos) {
                return;
            }
        }
        ADD_FAILURE() << reject.json.substr(0, 500) << "\nexpected at \"" << reject.pointer << "\": " << reject.message
                      << "\nfound:\n"
                      << text(error);
    }
}

}  // namespace support
