// SPDX-License-Identifier: Apache-2.0
#include "cli/check_can.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>

#include "cli/commands.hpp"
#include "cli/prepare.hpp"
#include "landlock/ruleset.hpp"
#include "learn/against.hpp"
#include "temporary.hpp"

namespace {

// 0, or why the access was refused or failed.
int errorOf(const cli::Access& access)
{
    const char* const path = access.path.c_str();
    const std::string_view right = access.right->name;
    const auto opened = [&](int flags) { return open(path, flags | O_CLOEXEC) < 0; };
    bool failed = false;
    if (access.right->kind == landlock::Kind::net) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(access.port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const auto* const where = reinterpret_cast<const sockaddr*>(&address);
        failed = (right == "bind_tcp" ? bind : connect)(socket.get(), where, sizeof address) != 0;
    } else if (right == "execute") {
        failed = execl(path, path, nullptr) != 0;
    } else if (right == "read_file") {
        failed = opened(O_RDONLY);
    } else if (right == "write_file") {
        failed = opened(O_WRONLY);
    } else if (right == "read_dir") {
        failed = opened(O_RDONLY | O_DIRECTORY);
    } else if (right == "truncate") {
        failed = truncate(path, 0) != 0;
    } else if (right == "remove_file") {
        failed = unlink(path) != 0;
    } else if (right == "remove_dir") {
        failed = rmdir(path) != 0;
    } else if (right == "make_dir") {
        failed = mkdir(path, 0700) != 0;
    } else if (right == "make_sym") {
        failed = symlink("x", path) != 0;
    } else {
        const mode_t type = right == "make_reg" ? S_IFREG : right == "make_fifo" ? S_IFIFO : S_IFSOCK;
        failed = mknod(path, type | 0600, 0) != 0;
    }
    return failed ? errno : 0;
}

// What `act` gives, 0 or an error number, in a process that the profile restricts.
int afterRestriction(const profile::Profile& profile, const std::function<int()>& act)
{
    const pid_t child = fork();
    if (child == 0) {
        try {
            const cli::Prepared prepared = cli::prepareHere(profile);
            cli::restrictSelf(prepared.layers);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "%s\n", error.what());
            _exit(255);
        }
        _exit(act());
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 255);
    return WEXITSTATUS(status);
}

// Whether the kernel allows it.
bool allowedByKernel(const profile::Profile& profile, const cli::Access& access)
{
    const int code = afterRestriction(profile, [&] { return errorOf(access); });
    // Nobody listens, the port is taken, and the file is no program: the kernel went on.
    EXPECT_TRUE(code == 0 || code == EACCES || code == ECONNREFUSED || code == EADDRINUSE || code == ENOEXEC)
        << access.right->name << " " << access.path << ": " << std::strerror(code);
    return code != EACCES;
}

class Policies {
public:
    Policies(std::vector<std::string> places, unsigned abi, unsigned seed)
        : random_(seed),
          places_(std::move(places)),
          abi_(abi)
    {
    }

    unsigned below(std::size_t end) { return static_cast<unsigned>(random_() % end); }
    const std::string& place() { return places_[below(places_.size())]; }

    profile::Profile profile()
    {
        profile::Profile profile;
        profile::Entry& entry = profile.entries.emplace_back();
        entry.name = "one";
        for (unsigned layers = 1 + below(3); layers > 0; --layers) {
            entry.layers.push_back(layer());
        }
        return profile;
    }

private:
    profile::Layer layer()
    {
        profile::Layer layer;
        layer.handledFs = 1 | (random_() & landlock::groupRights(landlock::Group::all, landlock::Kind::fs, abi_));
        layer.handledNet = random_() & landlock::groupRights(landlock::Group::all, landlock::Kind::net, abi_);
        for (unsigned rules = 1 + below(6); rules > 0; --rules) {
            const std::string& path = place();
            struct stat st {};
            EXPECT_EQ(stat(path.c_str(), &st), 0);
            const std::uint64_t wanted = random_() & layer.handledFs;
            if ((S_ISDIR(st.st_mode) ? wanted : wanted & landlock::fileRights()) != 0) {
                layer.paths.push_back({path, wanted, "/p", false});
            }
        }
        for (unsigned rules = below(4); rules > 0; --rules) {
            if (const std::uint64_t wanted = random_() & layer.handledNet) {
                layer.ports.push_back({firstPort + below(ports), wanted, "/q", false});
            }
        }
        return layer;
    }

public:
    static constexpr unsigned firstPort = 31000;
    static constexpr unsigned ports = 3;

private:
    std::mt19937 random_;
    std::vector<std::string> places_;
    unsigned abi_;
};

// Directories in each other, a file in each, and links to some of them.
class Tree {
public:
    explicit Tree(unsigned seed) : random_(seed), base_(support::placeOfPrograms())
    {
        directories_ = {base_.directory("0")};
        for (unsigned i = 1; i < 7; ++i) {
            const std::string above = directories_[random_() % directories_.size()];
            directories_.push_back(base_.directory(below(above) + "/" + std::to_string(i)));
        }
        for (const std::string& directory : directories_) {
            files_.push_back(base_.file(below(directory) + "/file", "no program"));
            chmod(files_.back().c_str(), 0755);
        }
        const std::vector<std::string> all = directories_;
        for (unsigned i = 0; i < 3; ++i) {
            const std::string to = all[random_() % all.size()];
            const std::string where = below(all[random_() % all.size()]);
            const std::string name = "to" + std::to_string(i);
            directories_.push_back(base_.link(where + "/" + name, i == 0
                                                                      ? std::filesystem::relative(to, base_.path(where))
                                                                      : std::filesystem::path(to)));
            files_.push_back(base_.link(where + "/file" + std::to_string(i), to + "/file"));
        }
        directories_.push_back(directories_.back() + "/..");
    }

    const std::vector<std::string>& directories() const { return directories_; }
    const std::vector<std::string>& files() const { return files_; }

private:
    std::string below(const std::string& path) const { return path.substr(base_.path().size() + 1); }

    std::mt19937 random_;
    support::Temporary base_;
    std::vector<std::string> directories_;
    std::vector<std::string> files_;
};

// Whether it is allowed, by the names that the paths lead to: as recordings are judged.
bool allowedByName(const profile::Profile& profile, const cli::Access& access)
{
    const learn::Judge judge(profile.entries.at(0), [](const profile::Entry&, const profile::PathRule& rule) {
        return std::filesystem::canonical(rule.path).string();
    });
    const std::uint64_t right = access.right->mask();
    if (access.right->kind == landlock::Kind::net) {
        return judge.deniedPort(access.port, right) == 0;
    }
    const bool ofDirectory = access.right->name.starts_with("make_") || access.right->name.starts_with("remove_");
    const std::filesystem::path path(access.path);
    return judge.deniedAt(std::filesystem::canonical(ofDirectory ? path.parent_path() : path).string(), right) == 0;
}

TEST(CheckCan, AnswersAsTheKernelDoes)
{
    const unsigned abi = landlock::kernelAbi();
    if (abi == 0) {
        GTEST_SKIP() << "needs a kernel with Landlock";
    }
    std::vector<const char*> rights{"execute",  "write_file", "read_file", "read_dir",  "remove_dir", "remove_file",
                                    "make_dir", "make_reg",   "make_sock", "make_fifo", "make_sym"};
    if (abi >= 3) {
        rights.push_back("truncate");
    }
    if (abi >= 4) {
        rights.insert(rights.end(), {"bind_tcp", "connect_tcp"});
    }
    unsigned allowed = 0;
    unsigned denied = 0;
    const unsigned trees = std::getenv("FULL") != nullptr ? 1000 : 10;
    for (unsigned i = 0; i < trees; ++i) {
        const Tree tree(i);
        std::vector<std::string> places = tree.directories();
        places.insert(places.end(), tree.files().begin(), tree.files().end());
        places.push_back("/");
        Policies policies(places, std::min(abi, landlock::latestAbi), i);
        for (unsigned j = 0; j < 40; ++j) {
            const profile::Profile profile = policies.profile();
            const std::string right = rights[policies.below(rights.size())];
            std::optional<std::string> path;
            std::optional<unsigned> port;
            if (right.ends_with("_tcp")) {
                port = Policies::firstPort + policies.below(Policies::ports);
            } else if (right.starts_with("make_") || right.starts_with("remove_")) {
                path = tree.directories()[policies.below(tree.directories().size())] + "/new";
                if (right == "remove_dir") {
                    std::filesystem::create_directory(*path);
                } else if (right == "remove_file") {
                    std::ofstream(*path).close();
                }
            } else {
                const std::vector<std::string>& ones = right == "read_dir" ? tree.directories() : tree.files();
                path = ones[policies.below(ones.size())];
            }
            const cli::Access access = cli::accessOf(right, path, port);
            const auto answer = cli::answerOf(profile, access, container::Rootfs::here());
            EXPECT_EQ(answer["allowed"].get<bool>(), allowedByName(profile, access)) << i << " " << j << "\n"
                                                                                     << cli::answerText(answer);
            // Who executes a file opens it for reading, too.
            const bool readable = right != "execute" || cli::answerOf(profile, cli::accessOf("read_file", path, {}),
                                                                      container::Rootfs::here())["allowed"]
                                                            .get<bool>();
            const bool kernel = allowedByKernel(profile, access);
            EXPECT_EQ(answer["allowed"].get<bool>() && readable, kernel) << i << " " << j << "\n"
                                                                         << cli::answerText(answer);
            ++(kernel ? allowed : denied);
            if (path && path->ends_with("/new")) {
                std::filesystem::remove(*path);
            }
        }
    }
    EXPECT_GT(allowed, 10 * trees);
    EXPECT_GT(denied, 10 * trees);
    RecordProperty("allowed", static_cast<int>(allowed));
    RecordProperty("denied", static_cast<int>(denied));
}

// Whether somewhere a file may be used in more ways at `to` than at `from`: the kernel moves none there.
bool gains(const profile::Profile& profile, const std::string& from, const std::string& to)
{
    for (const profile::Layer& layer : profile.entries.at(0).layers) {
        profile::Profile one;
        one.entries.emplace_back().layers = {layer};
        const learn::Judge judge(one.entries[0], [](const profile::Entry&, const profile::PathRule& rule) {
            return std::filesystem::canonical(rule.path).string();
        });
        const std::uint64_t rights = landlock::fileRights() & layer.handledFs;
        if ((judge.deniedAt(from, rights) & ~judge.deniedAt(to, rights)) != 0) {
            return true;
        }
    }
    return false;
}

// As `check --against` judges a move that was recorded: by what it takes in either directory.
TEST(CheckCan, AMoveIsJudgedAsTheKernelDoes)
{
    const unsigned abi = landlock::kernelAbi();
    if (abi < 2) {
        GTEST_SKIP() << "needs a kernel with Landlock ABI 2, whose policies may allow moves";
    }
    const auto right = [](const char* name) { return landlock::maskOf(landlock::Kind::fs, name); };
    unsigned allowed = 0;
    unsigned denied = 0;
    unsigned gained = 0;
    const unsigned trees = std::getenv("FULL") != nullptr ? 1000 : 10;
    for (unsigned i = 0; i < trees; ++i) {
        const Tree tree(i);
        Policies policies(tree.directories(), std::min(abi, landlock::latestAbi), i);
        for (unsigned j = 0; j < 100; ++j) {
            const profile::Profile profile = policies.profile();
            const std::string from = std::filesystem::canonical(tree.directories()[policies.below(7)]);
            const std::string to = std::filesystem::canonical(tree.directories()[policies.below(7)]);
            if (from == to) {
                continue;
            }
            const learn::Judge judge(profile.entries.at(0), [](const profile::Entry&, const profile::PathRule& rule) {
                return std::filesystem::canonical(rule.path).string();
            });
            const bool judged = judge.deniedAt(from, right("remove_file") | right("refer")) == 0 &&
                                judge.deniedAt(to, right("make_reg") | right("refer")) == 0;
            const std::string file = from + "/moved";
            std::ofstream(file).close();
            const bool kernel = afterRestriction(profile, [&] {
                                    return std::rename(file.c_str(), (to + "/moved").c_str()) == 0 ? 0
                                           : errno == EXDEV                                        ? EACCES
                                                                                                   : errno;
                                }) == 0;
            EXPECT_EQ(judged && !gains(profile, from, to), kernel) << i << " " << j << " " << from << " " << to;
            gained += judged && !kernel ? 1 : 0;
            ++(kernel ? allowed : denied);
            std::filesystem::remove(file);
            std::filesystem::remove(to + "/moved");
        }
    }
    EXPECT_GT(allowed, 2 * trees);
    EXPECT_GT(denied, 10 * trees);
    EXPECT_GT(gained, trees / 2);
}

TEST(CheckCan, WhatCannotBeAsked)
{
    const std::string path = "/x";
    EXPECT_THROW(cli::accessOf("read", path, {}), cli::UsageError);
    EXPECT_THROW(cli::accessOf("refer", path, {}), cli::UsageError);
    EXPECT_THROW(cli::accessOf("read_file", {}, {}), cli::UsageError);
    EXPECT_THROW(cli::accessOf("read_file", path, 80U), cli::UsageError);
    EXPECT_THROW(cli::accessOf("read_file", "x", {}), cli::UsageError);
    EXPECT_THROW(cli::accessOf("bind_tcp", path, {}), cli::UsageError);
    EXPECT_THROW(cli::accessOf("bind_tcp", {}, 65536U), cli::UsageError);
    EXPECT_THROW(cli::accessOf("signal", path, {}), cli::UsageError);
    EXPECT_EQ(cli::accessOf("signal", {}, {}).right->name, "signal");
    EXPECT_EQ(cli::accessOf("bind_tcp", {}, 65535U).port, 65535U);
}

}  // namespace
