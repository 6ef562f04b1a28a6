// SPDX-License-Identifier: Apache-2.0
// The node's settings, /etc/oci-landlock/config.json, and the profiles in its profile directories.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace cli {

struct Settings {
    std::vector<std::string> profileDirectories{"/etc/oci-landlock/profiles", "/usr/share/oci-landlock/profiles"};
    std::optional<std::string> baseline;  // name of the profile stacked under every container's own
    bool allowInline = true;
    bool auditOnly = false;              // every entry is audited, whoever has written it
    bool launch = false;                 // use the launch applier, whatever else there may be
    std::optional<std::string> runtime;  // that oci-landlock-runtime executes; absolute
};

inline constexpr const char* settingsFile = "/etc/oci-landlock/config.json";

// Defaults when there is no such file. A user's own profiles, $XDG_CONFIG_HOME/oci-landlock/profiles, come first when
// the hook runs for a user (rootless). Throws sys::Error, also when others than root may write it or its directory.
Settings readSettings(const std::string& path = settingsFile);

// Its `runtime` alone, whatever else is wrong there: containers can be stopped then. Throws sys::Error.
std::optional<std::string> runtimeSetting(const std::string& path = settingsFile);

// Throws sys::Error unless it is of the form that names have, of profiles and of recordings. `what`: for messages.
void requireName(const std::string& name, const std::string& what);

// Text of the profile `name` ("nginx": nginx.json, or else nginx.toml, in the first directory that has it), and its
// path for messages. Throws sys::Error, also when others than root may write the file or its directory.
struct ProfileFile {
    std::string path;
    std::string text;
};
ProfileFile findProfile(const Settings& settings, const std::string& name);

// The same of the fragment `name`, in the directories "fragments" of the profile directories.
ProfileFile findFragment(const Settings& settings, const std::string& name);

// The names of all fragments, sorted; what has no name of one is none. Throws sys::Error when a directory is not to be
// trusted or cannot be read.
std::vector<std::string> fragmentNames(const Settings& settings);

// The profile in a file that somebody names himself, wherever that is. Throws sys::Error, also when others than root
// and who we are may write it.
ProfileFile readProfileFile(const std::string& path);

}  // namespace cli
