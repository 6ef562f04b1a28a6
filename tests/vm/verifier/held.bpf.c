// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* How many slots of bpf/kfunc.bpf.c have a ruleset in them, whatever they say of themselves. */
#include "../../../bpf/abi.h"
#include "../../../bpf/bridge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct kept {
    __u64 generation;
    __u64 cgroup_id;
    oll_ruleset __kptr* ruleset;
    struct bpf_timer emptier;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, OLL_MAX_SLOTS);
    __type(key, __u32);
    __type(value, struct kept);
} slots SEC(".maps");

static long look(__u64 i, __u64* count)
{
    __u32 index = i;
    struct kept* slot = bpf_map_lookup_elem(&slots, &index);
    bpf_rcu_read_lock();
    if (slot && slot->ruleset) {
        ++*count;
    }
    bpf_rcu_read_unlock();
    return 0;
}

SEC("syscall")
int held(__u64* count)
{
    __u64 found = 0;
    bpf_loop(OLL_MAX_SLOTS, look, &found, 0);
    *count = found;
    return 0;
}
