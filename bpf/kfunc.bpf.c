// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The kfunc applier: the kernel bridge puts the domain on the credentials of the exec under way. */
#include "bridge.h"
#include "selector.h"
#include "upkeep.h"

struct oll_slot {
	__u64 generation; /* 0: free */
	__u64 cgroup_id;
	oll_ruleset __kptr *ruleset;
	struct bpf_timer emptier;
};

_Static_assert(sizeof(struct oll_slot) == sizeof(struct oll_slot_view), "layout");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OLL_MAX_SLOTS);
	__type(key, __u32);
	__type(value, struct oll_slot);
} slots SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * As landlock_restrict_self(2) asks, which the kernel does not do here: no_new_privs, or the right to go without. Of
 * the task as it is, before it becomes what it executes.
 */
static __always_inline bool may_go_without_no_new_privs(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return BPF_CORE_READ(task, atomic_flags) & PFA_NO_NEW_PRIVS_BIT ||
	       BPF_CORE_READ(task, cred, cap_effective.val) & (1ULL << CAP_SYS_ADMIN);
}

/* Where a ruleset would replace what the exec was given before, it is given one and no more. */
static __always_inline bool has_room(void)
{
	__u32 zero = 0;
	struct oll_node *state = bpf_map_lookup_elem(&node, &zero);
	struct oll_task *own = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), NULL, 0);

	return state && own && (state->stacks || !own->exec_layers++);
}

static __always_inline int restrict_with(struct linux_binprm *bprm, struct oll_container *container,
					 struct oll_layer *layer, __u32 flags)
{
	struct lsm_policy_object *ruleset;
	struct oll_slot *slot = bpf_map_lookup_elem(&slots, &layer->slot);
	int error;

	if (!has_room())
		return deny(container, OLL_REASON_REPLACES, layer->entry, -E2BIG);
	if (!(flags & OLL_RESTRICT_NO_NEW_PRIVS) && !may_go_without_no_new_privs())
		return deny(container, OLL_REASON_RESTRICT, layer->entry, -EPERM);
	if (!slot)
		return deny(container, OLL_REASON_SLOT, layer->entry, -ENOENT);
	bpf_rcu_read_lock();
	ruleset = slot->ruleset;
	if (ruleset)
		ruleset = bpf_lsm_policy_acquire(ruleset);
	bpf_rcu_read_unlock();
	if (!ruleset)
		return deny(container, OLL_REASON_SLOT, layer->entry, -ENOENT);
	/*
	 * Read after the ruleset, with full ordering: a slot gets its new generation before its new ruleset, so
	 * the right generation here means the right ruleset above.
	 */
	if (__sync_fetch_and_add(&slot->generation, 0) != layer->generation) {
		bpf_lsm_policy_release(ruleset);
		return deny(container, OLL_REASON_SLOT, layer->entry, -ESTALE);
	}
	error = bpf_lsm_policy_apply_bprm(ruleset, bprm, flags);
	bpf_lsm_policy_release(ruleset);
	return error ? deny(container, OLL_REASON_RESTRICT, layer->entry, error) : 0;
}

static __always_inline int admit(struct oll_container *container, __u32 entries)
{
	return 0;
}

static __always_inline int apply(struct linux_binprm *bprm, struct oll_container *container, __u32 entries)
{
	__u32 i, privileges = 0;

	/* What one of them sets holds for all. */
	for (i = 0; i < OLL_MAX_LAYERS; i++) {
		if (i >= container->layer_count)
			break;
		if (entries & (1U << (container->layers[i].entry & 31)))
			privileges |= container->layers[i].restrict_flags & OLL_RESTRICT_NO_NEW_PRIVS;
	}
	for (i = 0; i < OLL_MAX_LAYERS; i++) {
		struct oll_layer *layer = &container->layers[i];

		if (i >= container->layer_count)
			break;
		if (!(entries & (1U << (layer->entry & 31))))
			continue;
		if (restrict_with(bprm, container, layer, layer->restrict_flags | privileges))
			return -EPERM;
	}
	return 0;
}

/*
 * A container's end can be noticed in two places at once. Only the one that gets the slot empties it: the other could
 * come so late that the slot is somebody else's (tests/models/slots.pml).
 */
static __always_inline bool may_empty(struct oll_slot *slot, __u64 generation)
{
	return generation != OLL_SLOT_EMPTYING &&
	       __sync_val_compare_and_swap(&slot->generation, generation, OLL_SLOT_EMPTYING) == generation;
}

/* From here on the slot may be taken again. */
static __always_inline void free_slot(struct oll_slot *slot)
{
	__sync_lock_test_and_set(&slot->generation, 0);
}

static __always_inline void empty_slot(struct oll_slot *slot)
{
	struct lsm_policy_object *ruleset = bpf_kptr_xchg(&slot->ruleset, NULL);

	if (ruleset)
		bpf_lsm_policy_release(ruleset);
	free_slot(slot);
}

/* Of hand_over(), which may release a ruleset. */
static int empty_later(void *map, __u32 *index, struct oll_slot *slot)
{
	empty_slot(slot);
	return 0;
}

static __u32 still_owed(__u32 entries)
{
	return 0;
}

static int wait_turn(struct task_struct *task)
{
	return 0;
}

/*
 * By the cgroup that a slot names: the memory of the entry may be another container's by now, with slots of its own.
 * This runs in a tracing program, which may not release a ruleset: the slot's timer does. Should that not start, the
 * ruleset applies to nobody any more, and goes when the slot is taken again.
 */
static void drop(struct oll_container *container, __u64 cgroup_id, __u64 generation)
{
	__u32 i;

	for (i = 0; i < OLL_MAX_LAYERS; i++) {
		__u32 index = READ_ONCE(container->layers[i].slot);
		struct oll_slot *slot = bpf_map_lookup_elem(&slots, &index);

		if (i >= container->layer_count)
			break;
		if (slot && slot->cgroup_id == cgroup_id && may_empty(slot, generation) &&
		    bpf_timer_start(&slot->emptier, 0, 0))
			free_slot(slot);
	}
}

static bool is_own_map(struct bpf_map *map)
{
	return IS_MAP(map, slots);
}

struct search {
	__u64 generation;
	__u32 start;
	__s32 found;
};

/* A slot keeps its timer. */
static __always_inline long prepare_timer(struct oll_slot *slot)
{
	long error = bpf_timer_init(&slot->emptier, &slots, CLOCK_MONOTONIC);

	return error && error != -EBUSY ? error : bpf_timer_set_callback(&slot->emptier, empty_later);
}

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
	struct lsm_policy_object *ruleset, *old;
	struct oll_slot *slot;
	__u32 index;
	long error;

	ctx->error = -EPERM;
	if (!may_administer())
		return 0;
	ctx->error = -EINVAL;
	if (!state)
		return 0;
	ruleset = bpf_lsm_policy_from_fd(ctx->ruleset, 0);
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
		bpf_lsm_policy_release(ruleset);
		ctx->error = -ENOSPC;
		return 0;
	}
	error = prepare_timer(slot);
	if (error) {
		bpf_lsm_policy_release(ruleset);
		free_slot(slot);
		ctx->error = error;
		return 0;
	}
	state->slot_hint = index + 1;
	slot->cgroup_id = ctx->cgroup_id;
	old = bpf_kptr_xchg(&slot->ruleset, ruleset);
	if (old)
		bpf_lsm_policy_release(old);
	ctx->slot = index;
	ctx->error = 0;
	return 0;
}

SEC("syscall")
int revoke(struct oll_revoke *ctx)
{
	__u32 index = ctx->slot;
	struct oll_slot *slot = bpf_map_lookup_elem(&slots, &index);

	if (may_administer() && slot && may_empty(slot, ctx->generation))
		empty_slot(slot);
	return 0;
}
