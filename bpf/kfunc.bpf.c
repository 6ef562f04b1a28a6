// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The kfunc applier: the kernel bridge puts the domain on the credentials of the exec under way. */
#include "bridge.h"
#include "selector.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline int restrict_with(struct linux_binprm *bprm, struct oll_container *container,
					 struct oll_layer *layer)
{
	struct bpf_landlock_ruleset *ruleset;
	struct oll_slot *slot = bpf_map_lookup_elem(&slots, &layer->slot);
	int error;

	if (!slot)
		return deny(container, OLL_REASON_SLOT, layer->entry, -ENOENT);
	bpf_rcu_read_lock();
	ruleset = slot->ruleset;
	if (ruleset)
		ruleset = bpf_landlock_ruleset_acquire(ruleset);
	bpf_rcu_read_unlock();
	if (!ruleset)
		return deny(container, OLL_REASON_SLOT, layer->entry, -ENOENT);
	/*
	 * Read after the ruleset, with full ordering: a slot gets its new generation before its new ruleset, so
	 * the right generation here means the right ruleset above.
	 */
	if (__sync_fetch_and_add(&slot->generation, 0) != layer->generation) {
		bpf_landlock_put_ruleset(ruleset);
		return deny(container, OLL_REASON_SLOT, layer->entry, -ESTALE);
	}
	error = bpf_landlock_restrict_binprm(bprm, ruleset, layer->restrict_flags);
	bpf_landlock_put_ruleset(ruleset);
	return error ? deny(container, OLL_REASON_RESTRICT, layer->entry, error) : 0;
}

static __always_inline int apply(struct linux_binprm *bprm, struct oll_container *container, __u32 entries)
{
	__u32 i;

	for (i = 0; i < OLL_MAX_LAYERS; i++) {
		struct oll_layer *layer = &container->layers[i];

		if (i >= container->layer_count)
			break;
		if (!(entries & (1U << (layer->entry & 31))))
			continue;
		if (restrict_with(bprm, container, layer))
			return -EPERM;
	}
	return 0;
}

static __always_inline void empty_slot(__u32 index, __u64 generation)
{
	struct oll_slot *slot = bpf_map_lookup_elem(&slots, &index);
	struct bpf_landlock_ruleset *old;

	if (!slot || slot->generation != generation)
		return;
	old = bpf_kptr_xchg(&slot->ruleset, NULL);
	if (old)
		bpf_landlock_put_ruleset(old);
	/* Last: from here on the slot may be taken again. */
	__sync_val_compare_and_swap(&slot->generation, generation, 0);
}

/* A cgroup is gone, and with it its container: nothing of it stays, whether or not a poststop hook ever runs. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(forget, struct cgroup *cgroup, const char *path)
{
	struct oll_container *container = bpf_cgrp_storage_get(&containers, cgroup, NULL, 0);
	__u32 i;

	if (!container)
		return 0;
	bpf_map_delete_elem(&records, &container->cgroup_id);
	for (i = 0; i < OLL_MAX_LAYERS; i++) {
		if (i >= container->layer_count)
			break;
		empty_slot(container->layers[i].slot, container->layers[i].generation);
	}
	for (i = 0; i < OLL_MAX_PROGRAMS; i++) {
		struct oll_program_key key = { .generation = container->generation, .index = i };

		if (i >= container->program_count)
			break;
		bpf_map_delete_elem(&programs, &key);
	}
	return 0;
}

struct search {
	__u64 generation;
	__u32 start;
	__s32 found;
};

static long take_free_slot(__u64 i, struct search *search)
{
	__u32 index = (search->start + i) % OLL_MAX_SLOTS;
	struct oll_slot *slot = bpf_map_lookup_elem(&slots, &index);

	if (!slot || __sync_val_compare_and_swap(&slot->generation, 0, search->generation) != 0)
		return 0;
	search->found = index;
	return 1;
}

SEC("syscall")
int hand_over(struct oll_hand_over *ctx)
{
	__u32 zero = 0;
	struct oll_node *state = bpf_map_lookup_elem(&node, &zero);
	struct search search = { .found = -1 };
	struct bpf_landlock_ruleset *ruleset, *old;
	struct oll_slot *slot;
	__u32 index;

	ctx->error = -EINVAL;
	if (!state)
		return 0;
	if (!ctx->generation)
		ctx->generation = __sync_fetch_and_add(&state->next_generation, 1) + 1;
	ruleset = bpf_landlock_ruleset_from_fd(ctx->ruleset);
	if (!ruleset) {
		ctx->error = -EBADF;
		return 0;
	}
	search.generation = ctx->generation;
	search.start = state->slot_hint;
	bpf_loop(OLL_MAX_SLOTS, take_free_slot, &search, 0);
	index = search.found;
	slot = search.found < 0 ? NULL : bpf_map_lookup_elem(&slots, &index);
	if (!slot) {
		bpf_landlock_put_ruleset(ruleset);
		ctx->error = -ENOSPC;
		return 0;
	}
	state->slot_hint = index + 1;
	slot->cgroup_id = ctx->cgroup_id;
	old = bpf_kptr_xchg(&slot->ruleset, ruleset);
	if (old)
		bpf_landlock_put_ruleset(old);
	ctx->slot = index;
	ctx->error = 0;
	return 0;
}

SEC("syscall")
int revoke(struct oll_revoke *ctx)
{
	empty_slot(ctx->slot, ctx->generation);
	return 0;
}

SEC("syscall")
int identify(struct oll_identify *ctx)
{
	struct fdtable *table = BPF_CORE_READ(bpf_get_current_task_btf(), files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	struct file *file = NULL;
	struct oll_file_id id;

	if (ctx->file < 0 || (__u32)ctx->file >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(&file, sizeof(file), files + ctx->file) || !file)
		return 0;
	id = file_id(file);
	ctx->id.inode = id.inode;
	ctx->id.device = id.device;
	ctx->id.inode_generation = id.inode_generation;
	return 0;
}

SEC("syscall")
int mount_namespaces(struct oll_mount_namespaces *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pid_namespace *ns = BPF_CORE_READ(task, nsproxy, pid_ns_for_children);
	int i;

	for (i = 0; i < 33 && BPF_CORE_READ(ns, level) > 0; i++) /* MAX_PID_NS_LEVEL is 32 */
		ns = BPF_CORE_READ(ns, parent);
	ctx->own = mount_ns_id(task);
	ctx->host = mount_ns_id(BPF_CORE_READ(ns, child_reaper));
	return 0;
}
