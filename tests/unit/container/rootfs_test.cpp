// SPDX-License-Identifier: Apache-2.0
#include "container/rootfs.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "temporary.hpp"

namespace {

sys::Fd openPath(const std::string& path)
{
    return sys::Fd(open(path.c_str(), O_PATH | O_CLOEXEC | O_NOFOLLOW));
}

std::pair<dev_t, ino_t> identity(int fd)
{
    struct stat st {};
    EXPECT_EQ(fstat(fd, &st), 0);
    return {st.st_dev, st.st_ino};
}

class Root : public testing::Test {
protected:
    Root()
    {
        base_.file("root/etc/passwd");
        base_.directory("root/srv/www");
        base_.file("root/srv/www/index");
        base_.file("outside/etc/passwd");
        base_.file("etc/passwd");
        base_.file("root2/file");
        base_.link("root/to-etc", "/etc");
        base_.link("root/up", "../../../../etc/passwd");
        base_.link("root/srv/sideways", "../../outside/etc/passwd");
        base_.link("root/absolute", "/etc/passwd");
        base_.link("root/host", base_.path("outside"));
        base_.link("root/srv/www/chain", "../../absolute");
        base_.link("root/dangling", "/nowhere/at/all");
        base_.link("root/loop", "loop");
        base_.link("root/ping", "pong");
        base_.link("root/pong", "ping");
        base_.link("root/dot", ".");
        base_.link("root/slash", "/");
    }

    container::Rootfs root() const { return container::Rootfs(openPath(base_.path("root"))); }

    // Where `path` leads to, by its name on the host; "" when that is not what it is.
    void expectLeadsTo(const std::string& path, const std::string& cwd, const std::string& target) const
    {
        try {
            const sys::Fd found = root().resolve(path, cwd);
            EXPECT_EQ(identity(found.get()), identity(openPath(base_.path("root" + target)).get())) << path;
            EXPECT_EQ(root().nameOf(found.get()), target) << path;
            EXPECT_NE(fcntl(found.get(), F_GETFD) & FD_CLOEXEC, 0);
        } catch (const sys::Error& error) {
            ADD_FAILURE() << path << ": " << error.what();
        }
    }

    support::Temporary base_;
};

TEST_F(Root, ResolvesAsTheContainerDoes)
{
    struct {
        const char* path;
        const char* cwd;
        const char* target;
    } const all[] = {
        {"/", "/", "/"},
        {"//", "/", "/"},
        {"/etc/passwd", "/", "/etc/passwd"},
        {"/etc//./passwd", "/", "/etc/passwd"},
        {"/..", "/", "/"},
        {"/../../../../../../etc/passwd", "/", "/etc/passwd"},
        {"/srv/../../../etc/passwd", "/", "/etc/passwd"},
        {"/to-etc/passwd", "/", "/etc/passwd"},
        {"/to-etc/../etc/passwd", "/", "/etc/passwd"},
        {"/up", "/", "/etc/passwd"},
        {"/absolute", "/", "/etc/passwd"},
        {"/srv/www/chain", "/", "/etc/passwd"},
        {"/dot/dot/slash/dot/etc/passwd", "/", "/etc/passwd"},
        {"/slash/../..", "/", "/"},
        {"www/index", "/srv", "/srv/www/index"},
        {"index", "/srv/www", "/srv/www/index"},
        {"index", "/srv/www/", "/srv/www/index"},
        {"../../../../etc/passwd", "/srv/www", "/etc/passwd"},
        {".", "/srv", "/srv"},
        {"", "/srv", "/srv"},
        {"passwd", "/to-etc", "/etc/passwd"},
        {"/srv/", "/", "/srv"},
    };
    for (const auto& one : all) {
        expectLeadsTo(one.path, one.cwd, one.target);
    }
}

TEST_F(Root, WhatIsNotThereIsNotFound)
{
    for (const char* path : {"/nowhere", "/etc/passwd/x", "/etc/passwd/", "/dangling", "/dangling/x", "/srv/sideways",
                             "/host/etc/passwd", "/etc/passwd/../passwd", "relative"}) {
        EXPECT_THROW(root().resolve(path, "/"), container::NotFound) << path;
        support::expectError([&] { root().resolve(path, "/"); }, "does not exist inside the container", path);
    }
    EXPECT_THROW(root().resolve("x", "/nowhere"), container::NotFound);
}

TEST_F(Root, LoopsAreErrorsAndNotMerelyNotFound)
{
    for (const char* path : {"/loop", "/loop/x", "/ping", "/srv/../ping/x"}) {
        EXPECT_THROW(
            try { root().resolve(path, "/"); } catch (const container::NotFound&){}, sys::Error)
            << path;
        support::expectError([&] { root().resolve(path, "/"); }, "too many symbolic links", path);
    }
    for (int i = 0; i < 41; ++i) {
        base_.link("root/l" + std::to_string(i), i == 0 ? "etc" : "l" + std::to_string(i - 1));
    }
    expectLeadsTo("/l39", "/", "/etc");
    support::expectError([&] { root().resolve("/l40", "/"); }, "too many symbolic links");
}

TEST_F(Root, NamesTooLongAreErrors)
{
    support::expectError([&] { root().resolve("/" + std::string(256, 'x'), "/"); }, "File name too long");
    support::expectError([&] { root().resolve("/" + std::string(5000, '/'), "/"); }, "File name too long");
}

// What stands on the way to an excepted program must not be overlooked.
TEST_F(Root, NoLinkIsSaidOnlyOfWhatCouldBeLookedAt)
{
    EXPECT_EQ(root().linkAt("/to-etc"), "/etc");
    EXPECT_EQ(root().linkAt("/loop"), "loop");
    for (const char* path : {"/", "/etc", "/etc/passwd", "/nowhere", "/nowhere/x", "/etc/passwd/x"}) {
        EXPECT_EQ(root().linkAt(path), std::nullopt) << path;
    }
    support::expectError([&] { root().linkAt("/" + std::string(256, 'x')); }, "File name too long");
}

TEST_F(Root, MessagesAreSafeToPrint)
{
    support::expectError([&] { root().resolve("/\x1b[2J\n", "/"); }, "/\\x1b[2J\\x0a: does not exist");
}

TEST_F(Root, DoesNotBlockOnSpecialFiles)
{
    ASSERT_EQ(mkfifo(base_.path("root/fifo").c_str(), 0600), 0);
    expectLeadsTo("/fifo", "/", "/fifo");
}

TEST_F(Root, MagicLinksAreRefused)
{
    const container::Rootfs host(openPath("/"));
    for (const char* path :
         {"/proc/self/root", "/proc/self/root/etc", "/proc/self/cwd", "/proc/self/fd/0", "/proc/self/exe"}) {
        support::expectError([&] { host.resolve(path, "/"); }, "magic link", path);
    }
}

TEST_F(Root, NameOf)
{
    EXPECT_EQ(root().nameOf(openPath(base_.path("root")).get()), "/");
    EXPECT_EQ(root().nameOf(openPath(base_.path("root/etc/passwd")).get()), "/etc/passwd");
    EXPECT_EQ(root().nameOf(openPath(base_.path("root/absolute")).get()), "/absolute");
    for (const char* path : {"outside/etc/passwd", "root2/file", "root2", "etc", ""}) {
        support::expectError([&] { root().nameOf(openPath(base_.path(path)).get()); },
                             "not beneath the container's root", path);
    }
    EXPECT_EQ(container::Rootfs(openPath("/")).nameOf(openPath("/etc").get()), "/etc");
    support::expectError([&] { root().nameOf(-1); }, "readlink");
}

// A directory that somebody moves out of the root and back while ".." walks through it.
TEST_F(Root, RenamesDoNotLetItOut)
{
    base_.directory("root/a/b/c");
    std::atomic<bool> stop = false;
    std::thread mover([&] {
        while (!stop) {
            std::filesystem::rename(base_.path("root/a/b"), base_.path("outside/b"));
            std::filesystem::rename(base_.path("outside/b"), base_.path("root/a/b"));
        }
    });
    const auto escaped = identity(openPath(base_.path("etc/passwd")).get());
    unsigned found = 0;
    for (int i = 0; i < 3000; ++i) {
        try {
            const sys::Fd file = root().resolve("/a/b/c/../../../etc/passwd", "/");
            EXPECT_NE(identity(file.get()), escaped);
            ++found;
        } catch (const sys::Error&) {
        }
    }
    stop = true;
    mover.join();
    EXPECT_GT(found, 0U);
}

TEST_F(Root, OfAProcess)
{
    const container::Process self(getpid());
    const container::Rootfs found = container::Rootfs::of(self, base_.path("root"));
    EXPECT_EQ(found.nameOf(found.resolve("/up", "/").get()), "/etc/passwd");
    support::expectError([&] { container::Rootfs::of(self, base_.path("nowhere")); }, "container root ");
    support::expectError([&] { container::Rootfs::of(self, base_.path("etc/passwd")); }, "Not a directory");
}

}  // namespace
