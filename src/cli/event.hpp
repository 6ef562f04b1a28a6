// SPDX-License-Identifier: Apache-2.0
// What was seen, as `events` says it: schema/event.schema.json is the form of each line.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "bpf/seen.h"

namespace cli {

// A container as events name it: "container", "names", "profile", "digest"; `report`: as in Known; `learn`: its
// io.landlock.learn, empty without one.
struct Named {
    nlohmann::ordered_json name = nlohmann::ordered_json::object();
    nlohmann::json report;
    std::string learn;
};

// From its record; nothing in it is trusted to be of any form.
Named named(const oll_record& record);
Named named(const std::string& id, const std::string& about, const std::string& report);

// Whether the container that an event has is this one: its id, the beginning of it, or its name.
bool isNamed(const nlohmann::ordered_json& event, const std::string& wanted);

// "2026-11-26T14:05:06.123456Z", of nanoseconds since 1970.
std::string timeText(std::int64_t nanoseconds);

// `offset`: of CLOCK_REALTIME to CLOCK_BOOTTIME, nanoseconds. `container` null: it is not known, or there is none.
nlohmann::ordered_json describe(const oll_seen& event, const Named* container, std::int64_t offset);

// The rule that would allow what an event says was denied, as a member of a policy; null: no rule can.
nlohmann::ordered_json ruleFor(const oll_seen& event);

// The same for people, one line without its end.
std::string eventText(const nlohmann::ordered_json& event);

}  // namespace cli
