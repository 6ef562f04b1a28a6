// SPDX-License-Identifier: Apache-2.0
// Every example of the guide and every profile of the library is good, on the newest ABI and on the one before it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "profile/load.hpp"
#include "support.hpp"

namespace {

namespace fs = std::filesystem;

std::string contentOf(const fs::path& path)
{
    std::ifstream file(path);
    EXPECT_TRUE(file.is_open()) << path;
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::vector<profile::Fragment> fragments()
{
    std::vector<profile::Fragment> all;
    for (const fs::directory_entry& file : fs::directory_iterator(fs::path(SOURCE_ROOT) / "profiles/fragments")) {
        all.push_back({file.path().stem(), file.path(), contentOf(file.path())});
    }
    return all;
}

void expectGood(const std::string& text, const std::string& name, unsigned abi)
{
    try {
        EXPECT_FALSE(profile::loadFile(text, name, profile::Origin::inlined, abi, fragments()).entries.empty());
    } catch (const profile::Invalid& error) {
        ADD_FAILURE() << name << "\n" << text << "\n" << support::text(error);
    }
}

TEST(Guide, ExamplesAreValid)
{
    std::istringstream lines(contentOf(fs::path(SOURCE_ROOT) / "docs/profiles.md"));
    std::string line;
    std::string language;
    std::string example;
    unsigned number = 0;
    while (std::getline(lines, line)) {
        if (!line.starts_with("```")) {
            example += line + "\n";
        } else if (language.empty()) {
            language = line.substr(3);
            example.clear();
        } else {
            if (language != "json" && language != "toml") {
                language.clear();
                continue;
            }
            ++number;
            for (const unsigned abi : {6u, landlock::latestAbi}) {
                expectGood(example, "example " + std::to_string(number) + "." + language, abi);
            }
            language.clear();
        }
    }
    EXPECT_GE(number, 10u);
}

TEST(Guide, LibraryIsValid)
{
    unsigned count = 0;
    for (const fs::directory_entry& file : fs::directory_iterator(fs::path(SOURCE_ROOT) / "profiles")) {
        if (file.is_directory()) {
            continue;
        }
        ++count;
        for (unsigned abi = 4; abi <= landlock::latestAbi; ++abi) {
            expectGood(contentOf(file.path()), file.path().string(), abi);
        }
        EXPECT_NE(contentOf(file.path()).find("Breaks"), std::string::npos)
            << file.path() << " says nothing of what it breaks";
    }
    EXPECT_GE(count, 7u);
}

// Each can be used by a profile that denies all that there is, alone, and has its line in the guide.
TEST(Guide, FragmentsAreValid)
{
    const std::string guide = contentOf(fs::path(SOURCE_ROOT) / "docs/profiles.md");
    for (const profile::Fragment& fragment : fragments()) {
        expectGood(R"({"use":[")" + fragment.name + R"("],"abi":)" + std::to_string(landlock::latestAbi) +
                       R"(,"ruleset":[{"handledAccessFs":["abi.all"],"handledAccessNet":["abi.all"],)"
                       R"("scoped":["abi.all"]}]})",
                   fragment.path, landlock::latestAbi);
        EXPECT_NE(guide.find("\n| `" + fragment.name + "` | "), std::string::npos) << fragment.name;
    }
    EXPECT_GE(fragments().size(), 8u);
}

// Where private keys of servers lie, only the fragment that says so may lead.
TEST(Guide, FragmentsOpenNoPrivateKeys)
{
    for (const profile::Fragment& fragment : fragments()) {
        for (const char* open : {"\"/etc/ssl\"", "\"/etc/pki\"", "\"/etc/pki/tls\"", "/private\"", "\"/\""}) {
            EXPECT_FALSE(fragment.text.contains(open)) << fragment.path << " opens " << open;
        }
        EXPECT_EQ(fragment.text.contains("\"/etc\""), fragment.name == "read-system") << fragment.path;
    }
}

}  // namespace
