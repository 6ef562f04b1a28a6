// SPDX-License-Identifier: Apache-2.0
// What an image makes of the paths of a policy.
#include "cli/lookup.hpp"

#include <elf.h>
#include <fcntl.h>

#include <cstring>

#include "landlock/access.hpp"
#include "profile/load.hpp"
#include "temporary.hpp"

namespace {

using profile::Origin;

class Image : public testing::Test {
protected:
    container::Rootfs root() const
    {
        return container::Rootfs(sys::Fd(open(base_.path("root").c_str(), O_PATH | O_CLOEXEC)));
    }

    std::vector<cli::Found> lookUp(const profile::Layer& layer, const std::string& cwd = "/") const
    {
        std::vector<cli::Found> all;
        for (const profile::PathRule& rule : layer.paths) {
            sys::Fd file;
            all.push_back(cli::lookUp(root(), rule, cwd, file));
            EXPECT_TRUE(file);
        }
        return all;
    }

    // Access is written as letters: r for read_file, w for write_file.
    static profile::Layer layer(const std::vector<std::pair<std::string, std::string>>& rules)
    {
        profile::Layer out;
        out.handledFs = 0x1fff;
        for (const auto& [path, rights] : rules) {
            const std::uint64_t access =
                (rights.find('r') != rights.npos ? 4 : 0) | (rights.find('w') != rights.npos ? 2 : 0);
            out.paths.push_back(
                {path, access, "/p/" + std::to_string(out.paths.size()), rights.find('q') != rights.npos});
        }
        return out;
    }

    std::string refused(const profile::Layer& layer) const
    {
        try {
            cli::requireListed(lookUp(layer));
            return "";
        } catch (const sys::Error& error) {
            return error.what();
        }
    }

    support::Temporary base_;
};

TEST_F(Image, LinksOfAMergedSystemAreListed)
{
    base_.directory("root/usr/lib");
    base_.directory("root/usr/bin");
    base_.directory("root/tmp");
    base_.link("root/lib", "usr/lib");
    base_.link("root/bin", "/usr/bin");
    EXPECT_EQ(refused(layer({{"/lib", "r"}, {"/usr/lib", "r"}, {"/tmp", "rw"}})), "");
    EXPECT_EQ(refused(layer({{"/lib", "r"}, {"/bin", "r"}, {"/usr", "r"}})), "");
    EXPECT_EQ(refused(layer({{"/lib", "rw"}, {"/usr/lib", "r"}, {"/", "w"}})), "");  // both together
    EXPECT_EQ(refused(layer({{"/usr/../usr/lib", "rw"}})), "");
    EXPECT_EQ(refused(layer({{"/lib", "r"}, {"/bin", "r"}})),
              "/p/0: /lib leads to /usr/lib by a symbolic link, and the policy does not list that with the "
              "same rights; list it there, if the link is as it should be");
    EXPECT_NE(refused(layer({{"/lib", "rw"}, {"/usr/lib", "r"}})), "");
    // What leads there by a link itself proves nothing.
    base_.link("root/lib2", "lib");
    EXPECT_NE(refused(layer({{"/lib", "r"}, {"/lib2", "r"}})), "");
}

// Whether a link is on the way or not: the name is the one that the kernel gives the file.
TEST_F(Image, NamesAreThoseOfTheKernel)
{
    base_.directory("root/a/b/c");
    base_.directory("root/other/deep");
    base_.file("root/a/file");
    base_.link("root/link", "other/deep");
    base_.link("root/up", "a/b/..");
    base_.link("root/out", "../../..");
    for (const char* path :
         {"/",        "/a",    "/a/",      "//a//b/./c/", "/a/b/..",       "/a/b/../file", "/../../a", "/..",
          "/a/file",  "/link", "/link/",   "/link/..",    "/link/../../a", "/up",          "/up/file", "/out",
          "/out/a/b", "b",     "./b/../b", ".."}) {
        const auto found = lookUp(layer({{path, "r"}}), "/a/b/../b/..");
        const auto file = root().resolve(path, "/a/b/../b/..");
        EXPECT_EQ(found.front().name, root().nameOf(file.get())) << path;
    }
    for (const char* path : {"/a/file/", "/a/file/..", "/a/nothing/..", "/nothing"}) {
        EXPECT_THROW(lookUp(layer({{path, "r"}})), container::NotFound) << path;
    }
}

TEST_F(Image, LinksThatWidenAreSeen)
{
    base_.directory("root/secrets");
    base_.directory("root/var");
    base_.file("root/secrets/file");
    base_.link("root/tmp", "/");
    base_.link("root/data", "/secrets");
    base_.link("root/deep", "var/../secrets/file");
    base_.link("root/var/way", "..");
    for (const char* path :
         {"/tmp", "/data", "/deep", "/tmp/secrets", "/var/way/secrets", "/data/file", "/data/../var"}) {
        EXPECT_NE(refused(layer({{path, "rw"}, {"/var/way", "rw"}})), "") << path;
    }
    const profile::Layer inlined = layer({{"/tmp", "rw"}, {"/var", "r"}, {"data", "r"}, {"/secrets", "r"}});
    const auto all = lookUp(inlined);
    const auto led = cli::ledAstray(all);
    ASSERT_EQ(led.size(), 1U);
    EXPECT_EQ(cli::describe(*led[0]), "/tmp leads to /");
    // Only quiet: whoever chooses where it counts chooses what is not in the audit log.
    EXPECT_NE(refused(layer({{"/data", "q"}})), "");
    EXPECT_EQ(refused(layer({{"/data", "q"}, {"/secrets", "q"}})), "");
}

TEST_F(Image, ExceptedProgramsThroughLinks)
{
    profile::Selection select{profile::Selector::except, {"/sbin/init", "/usr/sbin/init"}, true};
    EXPECT_NO_THROW(cli::requireListed(select, "/sbin/init", "/usr/sbin/init"));
    support::expectError([&] { cli::requireListed(select, "/sbin/init", "/bin/busybox"); }, "leads to /bin/busybox");
}

class Strict : public Image {
protected:
    // "" when the entry is strict; `writable`: what those who are restricted may write.
    std::string error(const std::vector<std::string>& programs, const std::vector<std::string>& writable) const
    {
        profile::Entry entry;
        entry.name = "one";
        entry.select = {profile::Selector::except, programs, true};
        profile::Layer& layer = entry.layers.emplace_back();
        layer.handledFs = landlock::groupRights(landlock::Group::all, landlock::Kind::fs, 6);
        for (const std::string& path : writable) {
            layer.paths.push_back(
                {path, landlock::groupRights(landlock::Group::readWrite, landlock::Kind::fs, 6), "/p", false});
        }
        try {
            cli::requireStrict(root(), entry, {lookUp(layer)}, 6);
            return "";
        } catch (const sys::Error& failed) {
            return failed.what();
        }
    }

    void expectOpen(const std::string& what, const std::vector<std::string>& programs,
                    const std::vector<std::string>& writable)
    {
        const std::string found = error(programs, writable);
        EXPECT_NE(found.find("them: " + what + " is open"), std::string::npos) << found;
    }
};

TEST_F(Strict, FilesByWhateverNameTheyAreWritten)
{
    base_.file("root/usr/sbin/init", "static");
    base_.directory("root/tmp");
    base_.directory("root/etc");
    base_.link("root/sbin", "usr/sbin");
    base_.link("root/data", "/usr/sbin");
    EXPECT_EQ(error({"/sbin/init"}, {"/tmp"}), "");
    expectOpen("/usr/sbin/init", {"/sbin/init"}, {"/usr"});
    expectOpen("/usr/sbin/init", {"/sbin/init"}, {"/data"});
    expectOpen("/etc/ld.so.preload", {"/sbin/init"}, {"/etc"});
    // A link on the way is as good as the file.
    base_.link("root/opt/links/app", "/usr/sbin/init");
    base_.link("root/bin/app", "../opt/links/app");
    EXPECT_EQ(error({"/bin/app"}, {"/tmp"}), "");
    expectOpen("/opt/links/app", {"/bin/app"}, {"/opt/links"});
    // Nothing is excepted that is not there.
    EXPECT_EQ(error({"/sbin/absent"}, {"/tmp"}), "");
}

TEST_F(Strict, InterpretersOfScripts)
{
    base_.directory("root/tmp");
    base_.file("root/usr/bin/app", "#! /opt/python/bin/python -u\n");
    base_.link("root/opt/python/bin/python", "python3");
    base_.file("root/opt/python/bin/python3", "static");
    EXPECT_EQ(error({"/usr/bin/app"}, {"/tmp"}), "");
    expectOpen("/opt/python/bin/python", {"/usr/bin/app"}, {"/opt/python"});
    base_.file("root/usr/bin/nested", "#!/usr/local/bin/wrapper\n");
    base_.file("root/usr/local/bin/wrapper", "#!/opt/python/bin/python3\n");
    expectOpen("/opt/python/bin/python3", {"/usr/bin/nested"}, {"/opt"});
    base_.file("root/usr/bin/relative", "#!python3\n");
    EXPECT_NE(error({"/usr/bin/relative"}, {"/tmp"}).find("relative interpreter"), std::string::npos);
    for (const char* content : {"#!", "#!\n", "#! \t", "",
                                "\x7f"
                                "ELF",
                                "\x7f"
                                "ELF\x02"}) {
        base_.file("root/usr/bin/odd", content);
        EXPECT_EQ(error({"/usr/bin/odd"}, {"/tmp"}), "") << content;
    }
}

std::string programWith(const std::string& interpreter)
{
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 1;
    Elf64_Phdr segment{};
    segment.p_type = PT_INTERP;
    segment.p_offset = sizeof header + sizeof segment;
    segment.p_filesz = interpreter.size() + 1;
    return std::string(reinterpret_cast<const char*>(&header), sizeof header) +
           std::string(reinterpret_cast<const char*>(&segment), sizeof segment) + interpreter + '\0';
}

// musl's loader is told by a file of its own where libraries are, which need not be there yet.
TEST_F(Strict, TheSearchPathOfMusl)
{
    base_.directory("root/tmp");
    base_.directory("root/opt/musl/etc");
    base_.file("root/etc/ld-musl-x86_64.path", "/lib");
    base_.file("root/bin/app", programWith("/lib/ld-musl-x86_64.so.1"));
    EXPECT_EQ(error({"/bin/app"}, {"/tmp", "/opt/musl/etc"}), "");
    expectOpen("/etc/ld-musl-x86_64.path", {"/bin/app"}, {"/etc/ld-musl-x86_64.path"});
    base_.file("root/bin/elsewhere", programWith("/opt/musl/lib/ld-musl-armhf.so.1"));
    EXPECT_EQ(error({"/bin/elsewhere"}, {"/tmp", "/etc/ld-musl-x86_64.path"}), "");
    expectOpen("/opt/musl/etc/ld-musl-armhf.path", {"/bin/elsewhere"}, {"/opt/musl/etc"});
    for (const char* other : {"/lib64/ld-linux-x86-64.so.2", "ld-musl-x86_64.so.1", "/lib/ld-musl-x86_64.so"}) {
        base_.file("root/bin/other", programWith(other));
        EXPECT_EQ(error({"/bin/other"}, {"/etc/ld-musl-x86_64.path"}), "") << other;
    }
}

TEST_F(Strict, WhatDynamicProgramsLoad)
{
    base_.directory("root/tmp");
    base_.directory("root/usr/lib/app/cache");
    std::filesystem::create_directories(base_.path("root/bin"));
    std::filesystem::copy_file("/proc/self/exe", base_.path("root/bin/dynamic"));
    EXPECT_EQ(error({"/bin/dynamic"}, {"/tmp"}), "");
    expectOpen("/usr/lib", {"/bin/dynamic"}, {"/usr/lib/app/cache"});
    base_.file("root/bin/static", "static");
    EXPECT_EQ(error({"/bin/static"}, {"/usr/lib/app/cache"}), "");
}

}  // namespace
