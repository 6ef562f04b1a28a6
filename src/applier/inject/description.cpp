// SPDX-License-Identifier: Apache-2.0
#include "applier/inject/description.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/kcmp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "sys/error.hpp"
#include "sys/file.hpp"

namespace applier::inject {

namespace {

constexpr int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

void require(bool good, const char* what)
{
    if (!good) {
        throw sys::Error(std::string("description of the container: ") + what);
    }
}

// What the kernel calls an open file that is no file.
void requireAnonymous(int fd, std::string_view name)
{
    const std::string expected = "anon_inode:[" + std::string(name) + "]";
    std::array<char, 64> link{};
    const ssize_t size = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), link.data(), link.size());
    if (size < 0 || std::string_view(link.data(), static_cast<std::size_t>(size)) != expected) {
        throw sys::Error("descriptor of the container: not a " + std::string(name));
    }
}

void requireCgroup(int fd, std::uint64_t id)
{
    struct stat st {};
    struct statfs fs {};
    if (fstat(fd, &st) != 0 || fstatfs(fd, &fs) != 0 || fs.f_type != CGROUP2_SUPER_MAGIC || !S_ISDIR(st.st_mode) ||
        st.st_ino != id) {
        throw sys::Error("descriptor of the container: not the directory of its cgroup");
    }
}

}  // namespace

void requireValid(const Description& description)
{
    require(description.layout == Description::currentLayout, "of another version");
    require(description.generation != 0, "no generation");
    require(description.layerCount <= OLL_MAX_LAYERS, "too many layers");
    for (std::uint32_t i = 0; i < OLL_MAX_LAYERS; ++i) {
        const DescribedLayer& layer = description.layers[i];
        require(i < description.layerCount ? layer.entry < OLL_MAX_ENTRIES
                                           : layer.entry == 0 && layer.restrictFlags == 0,
                "wrong entry of a layer");
    }
    const auto* end = std::ranges::find(description.label, '\0');
    require(end != std::end(description.label), "the container's label is too long");
    require(std::all_of(end, std::end(description.label), [](char c) { return c == '\0'; }),
            "bytes after the container's label");
}

Description describe(const Held& held)
{
    require(held.layers.size() <= OLL_MAX_LAYERS, "too many layers");
    require(held.label.size() < OLL_ID_SIZE, "the container's label is too long");
    Description description;
    description.layerCount = static_cast<std::uint32_t>(held.layers.size());
    description.generation = held.generation;
    description.cgroupId = held.cgroupId;
    for (std::size_t i = 0; i < held.layers.size(); ++i) {
        description.layers[i] = {held.layers[i].entry, held.layers[i].restrictFlags};
    }
    std::ranges::copy(held.label, description.label);
    requireValid(description);
    return description;
}

Held hold(const Description& description, std::vector<sys::Fd> descriptors)
{
    requireValid(description);
    require(descriptors.size() == 1U + description.layerCount, "wrong number of descriptors");
    requireCgroup(descriptors[0].get(), description.cgroupId);
    Held held;
    held.generation = description.generation;
    held.cgroupId = description.cgroupId;
    held.label = description.label;
    held.cgroup = std::move(descriptors[0]);
    for (std::uint32_t i = 0; i < description.layerCount; ++i) {
        requireAnonymous(descriptors[1 + i].get(), "landlock-ruleset");
        held.layers.push_back(
            {std::move(descriptors[1 + i]), description.layers[i].entry, description.layers[i].restrictFlags});
    }
    // systemd keeps one of two descriptors of the same open file.
    for (std::size_t i = 0; i < held.layers.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
            require(syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, held.layers[i].ruleset.get(),
                            held.layers[k].ruleset.get()) != 0,
                    "the same ruleset twice");
        }
    }
    return held;
}

sys::Fd seal(const Description& description)
{
    constexpr unsigned noExec = 0x0008;  // MFD_NOEXEC_SEAL, Linux 6.3; some nodes demand it
    sys::Fd memfd(memfd_create("oci-landlock", MFD_CLOEXEC | MFD_ALLOW_SEALING | noExec));
    const std::string_view bytes(reinterpret_cast<const char*>(&description), sizeof description);
    if (!memfd || !sys::writeAll(memfd.get(), bytes) || fcntl(memfd.get(), F_ADD_SEALS, seals) != 0) {
        throw sys::errnoError("description of the container");
    }
    return memfd;
}

Description unseal(int memfd)
{
    const int found = fcntl(memfd, F_GET_SEALS);
    require(found >= 0 && (found & seals) == seals, "not sealed");
    // One byte more than there should be.
    std::array<char, sizeof(Description) + 1> bytes{};
    require(pread(memfd, bytes.data(), bytes.size(), 0) == sizeof(Description), "of another size");
    Description description;
    std::memcpy(&description, bytes.data(), sizeof description);
    requireValid(description);
    return description;
}

}  // namespace applier::inject
