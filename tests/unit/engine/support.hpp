// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <string>

#include "engine/engines.hpp"
#include "sys/error.hpp"
#include "temporary.hpp"

namespace support {

inline const char* nameOf(sys::Severity severity)
{
    return severity == sys::Severity::ok ? "ok" : severity == sys::Severity::note ? "note" : "problem";
}

// A line each, without their remedies: "problem podman.files: …".
inline std::string text(const sys::Findings& findings)
{
    std::string out;
    for (const sys::Finding& finding : findings) {
        // All that a terminal gets to see is one printable line, and a problem says what to do.
        EXPECT_EQ(sys::printable(finding.message, 10000), finding.message);
        EXPECT_EQ(sys::printable(finding.remedy, 10000), finding.remedy);
        EXPECT_TRUE(finding.severity != sys::Severity::problem || !finding.remedy.empty()) << finding.message;
        out += std::string(nameOf(finding.severity)) + " " + finding.name + ": " + finding.message + "\n";
    }
    return out;
}

inline std::string remedies(const sys::Findings& findings)
{
    std::string out;
    for (const sys::Finding& finding : findings) {
        out += finding.remedy + "\n";
    }
    return out;
}

// "problem podman.files, note podman.poststop": what is not as it should be.
inline std::string wrong(const sys::Findings& findings)
{
    std::string out;
    text(findings);
    for (const sys::Finding& finding : findings) {
        if (finding.severity != sys::Severity::ok) {
            out += (out.empty() ? "" : ", ") + std::string(nameOf(finding.severity)) + " " + finding.name;
        }
    }
    return out;
}

// A node in a directory.
class Node {
public:
    engine::Files files() const { return engine::Files(base_.path()); }
    std::string file(const std::string& path, std::string_view content = "") const { return base_.file(path, content); }
    std::string directory(const std::string& path) const { return base_.directory(path); }
    void link(const std::string& path, const std::string& to) const { base_.link(path, to); }
    void remove(const std::string& path) const { std::filesystem::remove_all(base_.path(path)); }
    void program(const std::string& path, mode_t mode = 0755) const
    {
        ASSERT_EQ(chmod(base_.file(path).c_str(), mode), 0);
    }
    // What the tree has, in this place.
    void copy(const std::string& from, const std::string& to) const
    {
        std::filesystem::create_directories(std::filesystem::path(base_.path(to)).parent_path());
        std::filesystem::copy_file(std::string(SOURCE_ROOT) + "/" + from, base_.path(to),
                                   std::filesystem::copy_options::overwrite_existing);
    }

private:
    Temporary base_;
};

}  // namespace support
