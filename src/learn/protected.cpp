// SPDX-License-Identifier: Apache-2.0
#include "learn/protected.hpp"

#include <algorithm>
#include <array>

#include "profile/path.hpp"

namespace learn {

namespace {

constexpr std::string_view programsOfAll = "every program in it could be run or replaced";
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
    Protected{"/media", everybodys},
    Protected{"/mnt", everybodys},
    Protected{"/opt", everybodys},
    Protected{"/proc", "it holds settings of the kernel and the memory of processes", true},
    Protected{"/proc/sys", "it holds settings of the kernel", true},
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
    Protected{"/usr/local", "it holds programs and libraries of all"},
    Protected{"/usr/local/bin", programsOfAll},
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
    const auto found = std::ranges::find(protectedPaths, path, &Protected::path);
    if (found != protectedPaths.end()) {
        return &*found;
    }
    const std::string above = profile::parentOf(path);
    return above == "/home" ? &home : above == "/run/user" ? &ofUser : nullptr;
}

}  // namespace learn
