// SPDX-License-Identifier: Apache-2.0
#include "cli/exposition.hpp"

#include "sys/error.hpp"
#include "sys/json.hpp"

namespace cli {

namespace {

using nlohmann::json;

// Names come from outside: what is no text is escaped twice, as a value of a label wants it.
std::string labelValue(const std::string& text)
{
    std::string out;
    for (const char byte : sys::printable(text)) {
        out += byte == '"' || byte == '\\' ? std::string("\\") + byte : std::string(1, byte);
    }
    return out;
}

}  // namespace

Labels labelsOf(const json& container)
{
    const json names = container.value("names", json::object());
    Labels labels = {{"namespace", sys::stringIn(names, "namespace")},
                     {"pod", sys::stringIn(names, "pod")},
                     {"container", sys::stringIn(names, "container")},
                     {"container_id", sys::stringIn(container, "id")},
                     {"profile", sys::stringIn(container, "profile")}};
    if (container.contains("cgroupId")) {
        labels.emplace_back("cgroup_id", container["cgroupId"].dump());
    }
    return labels;
}

void Exposition::family(const char* name, const char* type, const char* help)
{
    name_ = std::string("oci_landlock_") + name;
    text_ += "# TYPE " + name_ + " " + type + "\n# HELP " + name_ + " " + help + "\n";
}

void Exposition::sample(const Labels& labels, const json& value, const char* suffix)
{
    std::string list;
    for (const auto& [label, text] : labels) {
        list += (list.empty() ? "" : ",") + std::string(label) + "=\"" + labelValue(text) + "\"";
    }
    text_ += name_ + suffix + (list.empty() ? "" : "{" + list + "}") + " ";
    text_ += value.is_boolean() ? (value.get<bool>() ? "1" : "0") : value.dump();
    text_ += "\n";
}

std::string Exposition::finish() const
{
    return text_ + "# EOF\n";
}

}  // namespace cli
