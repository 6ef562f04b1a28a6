// SPDX-License-Identifier: Apache-2.0
#include "install/handler.hpp"

#include <nlohmann/json.hpp>

#include "engine/files.hpp"
#include "sys/error.hpp"
#include "sys/toml.hpp"

namespace install {

namespace {

using engine::at;
using engine::objectIn;
using nlohmann::json;

constexpr std::string_view begins = "# Of oci-landlock, which takes it away again, from here\n";
constexpr std::string_view ends = "# to here.\n";
constexpr const char* type = "io.containerd.runc.v2";
constexpr const char* cri2 = "io.containerd.grpc.v1.cri";
constexpr const char* cri3 = "io.containerd.cri.v1.runtime";
constexpr const char* usualHandler = "runc";

// Of containerd's CRI plugin, whatever version wrote it.
const json& engineIn(const json& settings)
{
    const json& plugins = at(settings, "plugins");
    const json& newer = at(at(plugins, cri3), "containerd");
    return newer.is_object() ? newer : at(at(plugins, cri2), "containerd");
}

std::string table(const std::string& plugin, const std::string& handler)
{
    return "[plugins.\"" + plugin + "\".containerd.runtimes." + handler;
}

std::string options(const std::string& plugin, const std::string& handler, const std::string& runtime, bool systemd)
{
    return table(plugin, handler) + ".options]\n" +
           (runtime.empty() ? "" : "  BinaryName = " + json(runtime).dump() + "\n") +
           "  SystemdCgroup = " + (systemd ? "true" : "false") + "\n";
}

}  // namespace

std::string withoutHandler(std::string_view settings)
{
    const std::size_t start = settings.find(begins);
    const std::size_t end = settings.find(ends);
    if (start == std::string_view::npos && end == std::string_view::npos) {
        return std::string(settings);
    }
    if (start == std::string_view::npos || end == std::string_view::npos || end < start ||
        settings.find(begins, start + 1) != std::string_view::npos) {
        throw sys::Error("the part that oci-landlock has added to containerd's settings is not whole; take it out");
    }
    return std::string(settings.substr(0, start)) + std::string(settings.substr(end + ends.size()));
}

std::string withHandler(std::string_view settings, const std::string& runtime, const Dump& dump)
{
    std::string before = withoutHandler(settings);
    if (before.empty()) {
        before = "version = 2\n";
    } else if (!before.ends_with('\n')) {
        before += '\n';
    }
    const json written = sys::readTomlTable(before, "containerd's settings");
    const json& version = at(written, "version");
    if (version != 2 && version != 3) {
        throw sys::Error("containerd's settings have no version = 2 or 3, and others are not looked at");
    }
    const std::string plugin = version == 3 ? cri3 : cri2;
    const json known = sys::readTomlTable(dump(before), "containerd's settings");
    const json& handlers = at(engineIn(known), "runtimes");
    if (objectIn(handlers).contains(handlerName)) {
        throw sys::Error(std::string("containerd has a handler ") + handlerName +
                         " already; take it out of its settings");
    }
    const json& usual = at(engineIn(known), "default_runtime_name");
    const json& usualOptions =
        at(at(handlers, usual.is_string() ? usual.get<std::string>().c_str() : usualHandler), "options");
    const bool systemd = at(usualOptions, "SystemdCgroup") == true;
    const std::string ours = table(plugin, handlerName) + "]\n  runtime_type = \"" + type +
                             "\"\n"
                             "  pod_annotations = [\"io.landlock.*\", \"io.landlock.*/*\"]\n"
                             "  container_annotations = [\"io.landlock.*\", \"io.landlock.*/*\"]\n" +
                             options(plugin, handlerName, runtime, systemd);
    // containerd 1 has it built in, until another one is named.
    const std::string runc = table(plugin, usualHandler) + "]\n  runtime_type = \"" + type + "\"\n" +
                             options(plugin, usualHandler, "", systemd);
    const auto losesRunc = [&](const json& now) {
        return objectIn(handlers).contains(usualHandler) && !objectIn(now).contains(usualHandler);
    };
    std::string after = before + std::string(begins) + ours + std::string(ends);
    json then = sys::readTomlTable(dump(after), "containerd's settings with the handler");
    if (losesRunc(at(engineIn(then), "runtimes"))) {
        after = before + std::string(begins) + ours + runc + std::string(ends);
        then = sys::readTomlTable(dump(after), "containerd's settings with the handler");
    }
    const json& now = at(engineIn(then), "runtimes");
    if (at(at(at(now, handlerName), "options"), "BinaryName") != runtime) {
        throw sys::Error("containerd does not take the handler from its main file; do its `imports` say otherwise?");
    }
    for (const auto& [name, handler] : objectIn(handlers).items()) {
        if (!objectIn(now).contains(name)) {
            throw sys::Error("with the handler, containerd would lose its handler " + sys::printable(name));
        }
    }
    return after;
}

}  // namespace install
