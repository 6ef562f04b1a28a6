// SPDX-License-Identifier: Apache-2.0
#include "oci/state.hpp"

#include <climits>

#include "oci/member.hpp"
#include "sys/error.hpp"
#include "sys/json.hpp"

namespace oci {

using nlohmann::json;

namespace {

constexpr const char* what = "container state on stdin";

bool wantedOfState(std::size_t depth, std::string_view key)
{
    return depth == 1 && (key == "id" || key == "bundle" || key == "pid" || key == "status");
}

std::string requiredString(const json& state, const char* key, std::size_t limit)
{
    const json* value = member(state, key, json::value_t::string, what, "");
    if (value == nullptr || value->get_ref<const std::string&>().empty()) {
        throw sys::Error(std::string(what) + ": /" + key + ": missing");
    }
    const auto& text = value->get_ref<const std::string&>();
    if (text.size() > limit || text.find('\0') != std::string::npos) {
        throw sys::Error(std::string(what) + ": /" + key + ": longer than " + std::to_string(limit) +
                         " bytes, or has a NUL");
    }
    return text;
}

}  // namespace

State parseState(std::string_view text)
{
    const json document = sys::readJsonObject(text, what, wantedOfState);
    State state;
    state.id = requiredString(document, "id", maxIdBytes);
    state.bundle = requiredString(document, "bundle", PATH_MAX - 1);
    if (!state.bundle.starts_with('/')) {
        throw sys::Error(std::string(what) + ": /bundle: must be an absolute path");
    }
    const auto status = document.find("status");
    state.created = status != document.end() && *status == "created";
    if (const json* pid = member(document, "pid", json::value_t::number_integer, what, "")) {
        if (!pid->is_number_unsigned() || pid->get<std::uint64_t>() > INT_MAX) {
            throw sys::Error(std::string(what) + ": /pid: not a process id");
        }
        state.pid = static_cast<pid_t>(pid->get<std::uint64_t>());
    }
    return state;
}

}  // namespace oci
