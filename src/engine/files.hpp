// SPDX-License-Identifier: Apache-2.0
// The administrator's files on a node, beneath a root that tests put elsewhere.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace engine {

class Files {
public:
    explicit Files(std::string root = "") : root_(std::move(root)) {}

    // Paths are absolute, and shown without the root in messages. All throw sys::Error when they cannot tell;
    // std::nullopt: there is nothing at that path.
    bool exists(const std::string& path) const;
    std::optional<bool> executable(const std::string& path) const;   // a regular file with any right to execute it
    std::optional<std::string> read(const std::string& path) const;  // a regular file of 1 MiB at most
    std::optional<std::vector<std::string>> list(const std::string& directory) const;  // names in order, 4,096 at most
    // "/etc/a.d/*.toml" -> paths, in order.
    std::vector<std::string> matching(const std::string& pattern) const;
    // Its path, in the first of the usual directories of programs that has it and lets somebody execute it.
    std::optional<std::string> program(const std::string& name) const;

private:
    std::string root_;
};

// A member of an object, or null: also where `value` is none.
const nlohmann::json& at(const nlohmann::json& value, const char* name);
// `value`, or an empty object where it is none.
const nlohmann::json& objectIn(const nlohmann::json& value);
// The strings of an array; empty where `value` is none.
std::vector<std::string> stringsOf(const nlohmann::json& value);

}  // namespace engine
