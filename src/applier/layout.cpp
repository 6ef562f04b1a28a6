// SPDX-License-Identifier: Apache-2.0
#include "applier/layout.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "sys/error.hpp"
#include "sys/places.hpp"

namespace applier {

// In every layout the number comes first.
oll_node requireLayout(const sys::Fd& node, const std::string& advice)
{
    bpf_map_info info{};
    std::uint32_t size = sizeof info;
    if (bpf_obj_get_info_by_fd(node.get(), &info, &size) != 0) {
        throw sys::errnoError(sys::pinned("node"));
    }
    // The kernel writes as much as the map has, which another version may have made larger.
    std::vector<std::byte> value(std::max<std::size_t>(info.value_size, sizeof(oll_node)));
    const std::uint32_t key = 0;
    if (bpf_map_lookup_elem(node.get(), &key, value.data()) != 0) {
        throw sys::errnoError(sys::pinned("node"));
    }
    oll_node state{};
    std::memcpy(&state, value.data(), sizeof state);
    if (state.abi_version != OLL_ABI_VERSION) {
        const std::string version(state.version, strnlen(state.version, sizeof state.version));
        throw sys::Error("this node was loaded by version " + sys::printable(version) + " (layout " +
                         std::to_string(state.abi_version) + "), this program has layout " +
                         std::to_string(OLL_ABI_VERSION) + "; " + advice);
    }
    return state;
}

}  // namespace applier
