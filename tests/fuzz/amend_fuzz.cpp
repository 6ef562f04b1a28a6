// SPDX-License-Identifier: Apache-2.0
// What oci-landlock-runtime makes of a config.json: JSON as before but for hooks, annotations and environment, and
// nothing to amend any more.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "oci/amend.hpp"
#include "sys/error.hpp"

using nlohmann::json;

namespace {

json withoutWhatChanges(const std::string& text)
{
    json document = json::parse(text);
    document.erase("hooks");
    document.erase("annotations");
    if (const auto process = document.find("process"); process != document.end() && process->is_object()) {
        process->erase("env");
    }
    return document;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string text(reinterpret_cast<const char*>(data), size);
    oci::Amended once;
    try {
        once = oci::amend(text, "config.json", "/usr/bin/oci-landlock", size % 2 == 0);
    } catch (const sys::Error&) {
        return 0;
    }
    if (!once.covered) {
        if (once.config != text) {
            std::abort();
        }
        return 0;
    }
    const oci::Amended twice = oci::amend(once.config, "config.json", "/usr/bin/oci-landlock", true);
    const json hooks = json::parse(once.config)["hooks"];
    if (twice.config != once.config || withoutWhatChanges(once.config) != withoutWhatChanges(text) ||
        hooks["createRuntime"].empty() || hooks["poststart"].empty() || hooks["poststop"].empty()) {
        std::abort();
    }
    return 0;
}
