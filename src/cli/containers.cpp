// SPDX-License-Identifier: Apache-2.0
#include "cli/containers.hpp"

#include <cstring>

#include "applier/programs.hpp"
#include "cli/launch.hpp"
#include "cli/settings.hpp"
#include "node/pins.hpp"
#include "sys/error.hpp"

namespace cli {

namespace {

using nlohmann::json;

json objectIn(std::string_view text)
{
    json object = json::parse(text, nullptr, false);
    return object.is_object() ? object : json::object();
}

Known knownFrom(node::Standing standing)
{
    const oll_record& record = standing.entry.record;
    const auto text = [](const auto& field) { return std::string_view(field, strnlen(field, sizeof field)); };
    Known known{.id = std::string(text(record.container_id)),
                .report = objectIn(text(record.report)),
                .about = objectIn(text(record.about)),
                .standing = {},
                .launched = {}};
    known.standing = std::move(standing);
    return known;
}

Known knownFrom(applier::launch::Record record)
{
    Known known{.id = record.id,
                .report = objectIn(record.report),
                .about = objectIn(record.about),
                .standing = {},
                .launched = {}};
    known.launched = std::move(record);
    return known;
}

bool isCalled(const Known& container, const std::string& wanted)
{
    const std::string full = nameOf(container.about);
    return full == wanted || full.ends_with("/" + wanted);
}

}  // namespace

AllKnown knownContainers()
{
    AllKnown all;
    if (reasonForLaunch(readSettings())) {
        all.applier = "launch";
        for (applier::launch::Record& record : applier::launch::livingRecords()) {
            all.containers.push_back(knownFrom(std::move(record)));
        }
        return all;
    }
    node::requireAccess();
    if (!node::Node::loaded()) {
        throw sys::Error(
            "the selector is not loaded, so that no container has an entry; run `oci-landlock load`, or start a "
            "container with a profile");
    }
    const node::Lock lock;
    all.node.emplace(lock);
    all.applier = applier::nameOf(all.node->applier());
    for (node::Standing& standing : all.node->containers()) {
        if (standing.alive) {
            all.containers.push_back(knownFrom(std::move(standing)));
        }
    }
    return all;
}

Known& find(std::vector<Known>& containers, const std::string& wanted)
{
    constexpr std::size_t mostTold = 8;
    std::vector<Known*> exact;
    std::vector<Known*> found;
    for (Known& container : containers) {
        if (container.id == wanted) {
            exact.push_back(&container);
        }
        if (!wanted.empty() && (container.id.starts_with(wanted) || isCalled(container, wanted))) {
            found.push_back(&container);
        }
    }
    // What a container is called must not keep others from being found by their ids.
    if (exact.size() == 1) {
        return *exact.front();
    }
    if (found.size() == 1) {
        return *found.front();
    }
    if (found.empty()) {
        throw sys::Error("no container \"" + sys::printable(wanted) +
                         "\" with a sandbox lives here; `oci-landlock ps` lists those that there are");
    }
    std::string list;
    for (std::size_t i = 0; i < found.size() && i < mostTold; ++i) {
        const std::string name = nameOf(found[i]->about);
        list +=
            (i == 0 ? "" : ", ") + sys::printable(found[i]->id, OLL_ID_SIZE) + (name.empty() ? "" : " (" + name + ")");
    }
    throw sys::Error("\"" + sys::printable(wanted) + "\" can be any of " + std::to_string(found.size()) +
                     " containers: " + list + (found.size() > mostTold ? ", and more" : "") +
                     "; give more of the id, or the namespace and the pod as well");
}

void addAbout(json& item, std::string_view about)
{
    const json object = objectIn(about);
    for (const auto& [key, value] : object.items()) {
        item[key] = value;
    }
}

std::string nameOf(const json& item)
{
    std::string out;
    const json names = item.value("names", json::object());
    for (const char* part : {"namespace", "pod", "container"}) {
        if (names.contains(part)) {
            out += (out.empty() ? "" : "/") + sys::printable(names[part].get<std::string>());
        }
    }
    return out;
}

std::string entryName(const json& report, unsigned index)
{
    const json entries = report.value("entries", json::array());
    return index < entries.size() ? entries[index].value("name", "") : "number " + std::to_string(index);
}

std::uint32_t auditedOf(const oll_container& entry)
{
    std::uint32_t all = 0;
    for (const std::uint32_t selected : entry.selected_by) {
        all |= selected;
    }
    return entry.audited & all;
}

nlohmann::ordered_json entryNames(const json& report, std::uint32_t mask)
{
    nlohmann::ordered_json names = nlohmann::ordered_json::array();
    for (unsigned i = 0; i < OLL_MAX_ENTRIES; ++i) {
        if ((mask & 1U << i) != 0) {
            names.push_back(entryName(report, i));
        }
    }
    return names;
}

}  // namespace cli
