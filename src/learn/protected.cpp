// SPDX-License-Identifier: Apache-2.0
#include "learn/protected.hpp"

#include <algorithm>
#include <array>

#include "profile/path.hpp"

namespace learn {

namespace {

constexpr std::string_view programsOfAll = "every program in it could be run or replaced";
constexpr std::string_view librariesOfAll = "what is in it becomes part of every program that loads it";
constexpr std::string_view everybodys = "it holds what belongs to others";
constexpr std::string_view secrets = "it holds configuration and secrets of others";
constexpr std::string_view homes = "it holds keys and data of users";
constexpr std::string_view sockets = "sockets of engines and services are in it";

constexpr std::array protectedPaths = {
    Protected{"/", "it holds everything"},
    Protected{"/bin", programsOfAll},
    Protected{"/boot", "the kernel is in it"},
    Protected{"/dev", "it holds every device"},
    Protected{"/etc", secrets},
    Protected{"/etc/ssl", secrets},
    Protected{"/etc/ssl/private", secrets},
    Protected{"/home", homes},
    Protected{"/lib", librariesOfAll, Protected::Common::execute},
    Protected{"/lib32", librariesOfAll, Protected::Common::execute},
    Protected{"/lib64", librariesOfAll, Protected::Common::execute},
    Protected{"/libx32", librariesOfAll, Protected::Common::execute},
    Protected{"/media", everybodys},
    Protected{"/mnt", everybodys},
    Protected{"/opt", everybodys},
    Protected{"/proc", "it holds settings of the kernel and the memory of processes", Protected::Common::read},
    Protected{"/proc/sys", "it holds settings of the kernel", Protected::Common::read},
    Protected{"/root", homes},
    Protected{"/run", sockets},
    Protected{"/run/containerd", sockets},
    Protected{"/run/crio", sockets},
    Protected{"/run/docker", sockets},
    Protected{"/run/podman", sockets},
    Protected{"/run/secrets", secrets},
    Protected{"/run/user", sockets},
    Protected{"/sbin", programsOfAll},
    Protected{"/srv", everybodys},
    Protected{"/sys", "it holds settings of the kernel"},
    Protected{"/usr", "it holds programs and libraries of all"},
    Protected{"/usr/bin", programsOfAll},
    Protected{"/usr/lib", librariesOfAll, Protected::Common::execute},
    Protected{"/usr/lib32", librariesOfAll, Protected::Common::execute},
    Protected{"/usr/lib64", librariesOfAll, Protected::Common::execute},
    Protected{"/usr/libexec", programsOfAll},
    Protected{"/usr/libx32", librariesOfAll, Protected::Common::execute},
    Protected{"/usr/local", "it holds programs and libraries of all"},
    Protected{"/usr/local/bin", programsOfAll},
    Protected{"/usr/local/lib", librariesOfAll, Protected::Common::execute},
    Protected{"/usr/local/sbin", programsOfAll},
    Protected{"/usr/sbin", programsOfAll},
    Protected{"/var", everybodys},
    Protected{"/var/lib", everybodys},
    Protected{"/var/lib/containerd", sockets},
    Protected{"/var/lib/containers", sockets},
    Protected{"/var/lib/docker", sockets},
    Protected{"/var/lib/kubelet", secrets},
    Protected{"/var/run", sockets},
    Protected{"/var/run/secrets", secrets},
};

// A rule on what is above one would be about it, too.
constexpr bool isWithAllAbove(const Protected& one)
{
    const std::string_view above = one.path.substr(0, std::max<std::size_t>(one.path.rfind('/'), 1));
    return std::ranges::any_of(protectedPaths, [above](const Protected& other) { return other.path == above; });
}
static_assert(std::ranges::all_of(protectedPaths, isWithAllAbove));

}  // namespace

std::span<const Protected> allProtected()
{
    return protectedPaths;
}

const Protected* protectedAt(const std::string& path)
{
    static constexpr Protected home{"", homes};
    static constexpr Protected ofUser{"", sockets};
    static constexpr Protected ofArchitecture{"", librariesOfAll, Protected::Common::execute};
    const auto found = std::ranges::find(protectedPaths, path, &Protected::path);
    if (found != protectedPaths.end()) {
        return &*found;
    }
    const std::string above = profile::parentOf(path);
    if ((above == "/lib" || above == "/usr/lib") && path.find("-linux-", above.size()) != std::string::npos) {
        return &ofArchitecture;  // as Debian has them: x86_64-linux-gnu
    }
    return above == "/home" ? &home : above == "/run/user" ? &ofUser : nullptr;
}

}  // namespace learn
