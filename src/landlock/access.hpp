// SPDX-License-Identifier: Apache-2.0
// Every right that Landlock knows, with its bit and the ABI that brought it. The one table: names in policies, groups,
// masks for an older kernel and messages all derive from it. Own constants, because <linux/landlock.h> of the build
// machine is older than the kernels we run on.
#pragma once

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>

namespace landlock {

enum class Kind : std::uint8_t { fs, net, scope };

struct Right {
    std::string_view name;
    Kind kind;
    std::uint8_t bit;
    std::uint8_t abi;          // first ABI that has it
    bool file = false;         // fs: also means something on a file that is no directory
    bool readExecute = false;  // fs: member of the abi.read_execute group

    constexpr std::uint64_t mask() const { return std::uint64_t{1} << bit; }
};

inline constexpr Right rights[] = {
    {"execute", Kind::fs, 0, 1, true, true},
    {"write_file", Kind::fs, 1, 1, true},
    {"read_file", Kind::fs, 2, 1, true, true},
    {"read_dir", Kind::fs, 3, 1, false, true},
    {"remove_dir", Kind::fs, 4, 1},
    {"remove_file", Kind::fs, 5, 1},
    {"make_char", Kind::fs, 6, 1},
    {"make_dir", Kind::fs, 7, 1},
    {"make_reg", Kind::fs, 8, 1},
    {"make_sock", Kind::fs, 9, 1},
    {"make_fifo", Kind::fs, 10, 1},
    {"make_block", Kind::fs, 11, 1},
    {"make_sym", Kind::fs, 12, 1},
    {"refer", Kind::fs, 13, 2, false, true},
    {"truncate", Kind::fs, 14, 3, true},
    {"ioctl_dev", Kind::fs, 15, 5, true},
    {"resolve_unix", Kind::fs, 16, 9, true},
    {"bind_tcp", Kind::net, 0, 4},
    {"connect_tcp", Kind::net, 1, 4},
    {"bind_udp", Kind::net, 2, 10},
    {"connect_send_udp", Kind::net, 3, 10},
    {"abstract_unix_socket", Kind::scope, 0, 6},
    {"signal", Kind::scope, 1, 6},
};

struct Abi {
    std::uint8_t abi;
    std::string_view kernel;  // first mainline release; distributions backport, so ask the running kernel
    std::string_view brings;
};

inline constexpr Abi abis[] = {
    {1, "5.13", "13 file system rights"},
    {2, "5.19", "refer"},
    {3, "6.2", "truncate"},
    {4, "6.7", "TCP ports"},
    {5, "6.10", "ioctl_dev"},
    {6, "6.12", "scopes"},
    {7, "6.15", "log flags"},
    {8, "7.0", "restricting all threads at once"},
    {9, "7.1", "resolve_unix"},
    {10, "7.2", "UDP ports, quiet rules"},
    {11, "7.3", "no_new_privs flag"},
};

inline constexpr unsigned latestAbi = 11;
inline constexpr unsigned logFlagsAbi = 7;
inline constexpr unsigned quietAbi = 10;

// landlock_restrict_self(2) flags, ABI 7
inline constexpr std::uint32_t logSameExecOff = 1;
inline constexpr std::uint32_t logNewExecOn = 2;
inline constexpr std::uint32_t logSubdomainsOff = 4;

enum class Group : std::uint8_t { all, readExecute, readWrite };

// The rights of one kind that ABI `abi` has; an ABI beyond the table has all of them.
constexpr std::uint64_t groupRights(Group group, Kind kind, unsigned abi)
{
    std::uint64_t mask = 0;
    for (const Right& right : rights) {
        const bool member = group == Group::all || (group == Group::readExecute && right.readExecute) ||
                            (group == Group::readWrite && right.name != "execute");
        if (right.kind == kind && right.abi <= abi && member) {
            mask |= right.mask();
        }
    }
    return mask;
}

// The bits that a kernel of that ABI may accept. Rights come only with a new ABI, so bits that the table does not know
// can exist on a kernel that is newer than the table, and on no other.
constexpr std::uint64_t acceptedRights(Kind kind, unsigned abi)
{
    return abi > latestAbi ? ~std::uint64_t{0} : groupRights(Group::all, kind, abi);
}

// The file system rights that a rule on a file (no directory) may hold. Bits we do not know stay out.
constexpr std::uint64_t fileRights()
{
    std::uint64_t mask = 0;
    for (const Right& right : rights) {
        mask |= right.file ? right.mask() : 0;
    }
    return mask;
}

static_assert(groupRights(Group::all, Kind::fs, 1) == 0x1fff);
static_assert(groupRights(Group::all, Kind::fs, latestAbi) == 0x1ffff);
static_assert(abis[std::size(abis) - 1].abi == latestAbi);

const Right* findRight(Kind kind, std::string_view name);
const Right* findRight(Kind kind, std::uint64_t mask);   // one bit
std::uint64_t maskOf(Kind kind, std::string_view name);  // of one that the table has

// First kernel release with that ABI ("6.12"); "" for an ABI that the table does not have.
std::string_view kernelRelease(unsigned abi);

// "fs", "net", "scope"
std::string_view kindName(Kind kind);

// "fs.refer"; for a bit without a name its value, "fs.131072".
std::string describe(Kind kind, std::uint64_t mask);

}  // namespace landlock
