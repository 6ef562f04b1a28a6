// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>
#include <string_view>

#include "sys/error.hpp"

namespace support {

// A directory that is there for one test.
class Temporary {
public:
    explicit Temporary(const std::filesystem::path& where = std::filesystem::temp_directory_path())
    {
        std::string name = (where / "oci-landlock-test.XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) {
            throw std::runtime_error("mkdtemp");
        }
        path_ = name;
    }
    Temporary(const Temporary&) = delete;
    Temporary& operator=(const Temporary&) = delete;
    ~Temporary()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::string path(const std::string& name = "") const { return name.empty() ? path_ : path_ + "/" + name; }

    // With the directories above it.
    std::string file(const std::string& name, std::string_view content = "") const
    {
        std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
        std::ofstream(path(name), std::ios::binary) << content;
        return path(name);
    }

    std::string directory(const std::string& name) const
    {
        std::filesystem::create_directories(path(name));
        return path(name);
    }

    std::string link(const std::string& name, const std::string& target) const
    {
        std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
        std::filesystem::create_symlink(target, path(name));
        return path(name);
    }

private:
    std::string path_;
};

// Where everybody can execute what a test puts there: the tree may lie in a directory of root's, /tmp be mounted
// noexec.
inline std::filesystem::path placeOfPrograms()
{
    const std::vector<std::filesystem::path> places{std::filesystem::temp_directory_path(),
                                                    "/tmp",
                                                    "/var/tmp",
                                                    "/run",
                                                    "/dev/shm",
                                                    "/usr/local/lib"};
    for (const std::filesystem::path& place : places) {
        struct statvfs fs {};
        bool open =
            access(place.c_str(), W_OK) == 0 && statvfs(place.c_str(), &fs) == 0 && (fs.f_flag & ST_NOEXEC) == 0;
        for (std::filesystem::path above = place; open && above != above.root_path(); above = above.parent_path()) {
            open = (status(above).permissions() & std::filesystem::perms::others_exec) != std::filesystem::perms::none;
        }
        if (open) {
            return place;
        }
    }
    throw std::runtime_error("no directory where everybody can execute programs: set TMPDIR to one");
}

// Runs `action`, which must throw a sys::Error whose message contains `part` and is one line of bounded length.
template <typename Action>
void expectError(Action action, std::string_view part, const std::string& input = "")
{
    try {
        action();
        ADD_FAILURE() << "accepted: " << input.substr(0, 300);
    } catch (const sys::Error& error) {
        const std::string_view message = error.what();
        EXPECT_NE(message.find(part), message.npos)
            << input.substr(0, 300) << "\nexpected: " << part << "\nfound: " << message;
        EXPECT_EQ(message.find_first_of(std::string_view("\n\0\x1b", 3)), message.npos) << message;
        EXPECT_LT(message.size(), 1000U);
    }
}

}  // namespace support
