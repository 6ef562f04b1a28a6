/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which containers a task is in, comes from and enters, and what they want of it for how it came in; and how an exec is
 * denied for a container, or where there is none to do so for.
 */
#ifndef OCI_LANDLOCK_MEMBERSHIP_H
#define OCI_LANDLOCK_MEMBERSHIP_H

#include "maps.h"
#include "tell.h"

/* Two writers at once may mix their records; the counter is exact. */
static __always_inline int note_denial(struct oll_denials *denials, __u32 reason, __u32 entry, int error)
{
	struct oll_denial *last = &denials->last;

	__sync_fetch_and_add(&denials->count, 1);
	last->time = bpf_ktime_get_boot_ns();
	last->tgid = bpf_get_current_pid_tgid() >> 32;
	last->reason = reason;
	last->error = error;
	last->entry = entry;
	bpf_get_current_comm(last->comm, sizeof(last->comm));
	return -EPERM;
}

/* OLL_NO_ENTRY: there is none. Not static: the verifier looks at a global function once, not at each call. */
__noinline __u32 first_of(__u32 entries)
{
	__u32 first = 0;

	while (first < OLL_MAX_ENTRIES && !(entries & (1U << first)))
		first++;
	return first;
}

static __always_inline int deny(struct oll_container *container, __u32 reason, __u32 entry, int error)
{
	tell(container->cgroup_id, bpf_get_current_pid_tgid(), entry < OLL_MAX_ENTRIES ? 1U << entry : 0, reason,
	     error);
	return note_denial(&container->denied, reason, entry, error);
}

/* There is no container to count it for. */
static __always_inline int deny_stray(__u32 reason, int error)
{
	__u32 zero = 0;
	struct oll_denials *denials = bpf_map_lookup_elem(&strays, &zero);

	tell(0, bpf_get_current_pid_tgid(), 0, reason, error);
	return denials ? note_denial(denials, reason, OLL_NO_ENTRY, error) : -EPERM;
}

static __always_inline __u64 id_of_mount_ns(struct mnt_namespace *ns)
{
	if (bpf_core_field_exists(struct mnt_namespace___with_id, ns.ns_id))
		return BPF_CORE_READ((struct mnt_namespace___with_id *)ns, ns.ns_id);
	return BPF_CORE_READ(ns, seq);
}

static __always_inline __u64 mount_ns_id(struct task_struct *task)
{
	return id_of_mount_ns(BPF_CORE_READ(task, nsproxy, mnt_ns));
}

/*
 * The same of the current task, without a helper's call for each pointer, because every exec asks. Such a load of one
 * that is NULL, as that of a task that is ending may be, is 0.
 */
static __always_inline __u64 own_mount_ns_id(struct task_struct *task)
{
	struct mnt_namespace *ns = task->nsproxy->mnt_ns;

	if (bpf_core_field_exists(struct mnt_namespace___with_id, ns.ns_id))
		return ((struct mnt_namespace___with_id *)ns)->ns.ns_id;
	return ns->seq;
}

/* Where a task is, whoever it is. */
struct whereabouts {
	__u64 mount_ns;
	struct oll_container *by_cgroup; /* of the nearest ancestor that has an entry, of its cgroup; or NULL */
	struct oll_container *by_mount_ns; /* of its mount namespace; or NULL */
};

static __always_inline struct oll_container *find_by_cgroup(struct task_struct *task)
{
	struct oll_container *nearest = NULL;
	int level, own_level;

	bpf_rcu_read_lock();
	own_level = task->cgroups->dfl_cgrp->level;
	bpf_rcu_read_unlock();
	/* Downwards: a container that nests cgroups deeper than we look cannot hide its own from us. */
	for (level = 1; level <= OLL_MAX_CGROUP_LEVEL && level <= own_level; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);
		struct oll_container *found = bpf_map_lookup_elem(&containers, &id);

		if (found)
			nearest = found;
	}
	return nearest;
}

/* A membership's container; NULL when it is gone. */
static __always_inline struct oll_container *container_of_member(struct oll_membership *member)
{
	__u64 id = member->cgroup_id;
	struct oll_container *container = bpf_map_lookup_elem(&containers, &id);

	return container && container->generation == member->generation ? container : NULL;
}

/* Nothing of the container is enforced, and nothing may be denied for its sake. */
static __always_inline bool only_audited(__u32 audited)
{
	return audited == OLL_ALL_AUDITED;
}

/* 0, or -EPERM: the namespace is a container's that is gone. */
static __always_inline int find_by_mount_ns(struct whereabouts *here)
{
	__u64 mount_ns = here->mount_ns;
	struct oll_place *place = bpf_map_lookup_elem(&namespaces, &mount_ns);
	__u64 id;

	here->by_mount_ns = NULL;
	if (!place)
		return 0;
	id = place->cgroup_id;
	here->by_mount_ns = bpf_map_lookup_elem(&containers, &id);
	if (!here->by_mount_ns || here->by_mount_ns->generation != place->generation)
		return deny_stray(OLL_REASON_GONE, -ENOENT);
	return 0;
}

/* The place of a container among a task's memberships; a free one for generation 0; OLL_MAX_MEMBERSHIPS: none. */
static __always_inline __u32 place_of(struct oll_task *own, __u64 generation)
{
	__u32 i;

	for (i = 0; i < OLL_MAX_MEMBERSHIPS; i++) {
		if (own->of[i].generation == generation)
			break;
	}
	return i;
}

/* The place of a membership for which the task is owed something; OLL_MAX_MEMBERSHIPS: there is none. */
static __always_inline __u32 place_of_debt(struct oll_task *own)
{
	__u32 i;

	for (i = 0; i < OLL_MAX_MEMBERSHIPS; i++) {
		if (own->of[i].owed)
			break;
	}
	return i;
}

/* What `from` belongs to and `own` does not, `own` belongs to as well. 0, or -EPERM: it would be too many. */
static __always_inline int take_over(struct oll_task *own, struct oll_task *from)
{
	__u32 i;

	for (i = 0; i < OLL_MAX_MEMBERSHIPS; i++) {
		__u64 generation = from->of[i].generation;
		__u32 place;

		if (!generation || from->of[i].origin == OLL_ORIGIN_NONE)
			continue;
		if (place_of(own, generation) < OLL_MAX_MEMBERSHIPS)
			continue;
		place = place_of(own, 0);
		if (place >= OLL_MAX_MEMBERSHIPS)
			return -EPERM;
		own->of[place].generation = generation;
		own->of[place].cgroup_id = from->of[i].cgroup_id;
		own->of[place].origin = from->of[i].origin;
		own->of[place].applied = from->of[i].applied;
		own->of[place].owed = 0;
		own->of[place].foreseen = 0;
		own->of[place].audited = from->of[i].audited;
	}
	return 0;
}

/*
 * The current task's line of descent. What its process was marked for by the hook, when it had threads already, is in
 * its leader's storage only.
 */
static __always_inline int own_descent(struct task_struct *task, struct oll_task **found)
{
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct oll_task *leaders;
	int error = 0;

	*found = own;
	if (!own)
		return -ENOMEM;
	bpf_rcu_read_lock();
	leaders = bpf_task_storage_get(&tasks, task->group_leader, NULL, 0);
	if (leaders && leaders != own)
		error = take_over(own, leaders);
	bpf_rcu_read_unlock();
	return error;
}

/* The runtime's, on its way in. */
static __always_inline bool still_outside(struct whereabouts *here, struct oll_container *container)
{
	return here->mount_ns == container->hook_mount_ns || here->mount_ns == container->host_mount_ns;
}

/*
 * From here on whoever is found in this mount namespace is in the container, whatever its cgroup: where the host's
 * cgroups are writable inside, the init can leave its own, and sessions are put where the init is.
 */
static __always_inline int claim_mount_ns(struct whereabouts *here, struct oll_container *container)
{
	struct oll_place place = { .generation = container->generation, .cgroup_id = container->cgroup_id };
	__u64 mount_ns = here->mount_ns, before = container->mount_ns;
	struct task_struct *leader;
	int error;

	if (here->by_mount_ns && here->by_mount_ns->generation != container->generation)
		return only_audited(container->audited) ? 0 :
							  deny(container, OLL_REASON_NAMESPACE, OLL_NO_ENTRY, -EEXIST);
	error = bpf_map_update_elem(&namespaces, &mount_ns, &place, BPF_ANY);
	if (error)
		return only_audited(container->audited) ? 0 : deny(container, OLL_REASON_MEMORY, OLL_NO_ENTRY, error);
	if (before && before != mount_ns)
		bpf_map_delete_elem(&namespaces, &before);
	container->mount_ns = mount_ns;
	leader = bpf_get_current_task_btf()->group_leader;
	container->init_tgid = BPF_CORE_READ(leader, tgid);
	container->init_start_time = BPF_CORE_READ(leader, start_boottime);
	return 0;
}

/* What a container wants of this exec for how the task came in, staged for when the exec succeeds. 0, or denies it. */
static __always_inline int judge(struct whereabouts *here, struct oll_container *container,
				 struct oll_membership *member)
{
	switch (member->origin) {
	case OLL_ORIGIN_INIT_PENDING:
		if (still_outside(here, container))
			return 0;
		if (claim_mount_ns(here, container))
			return -EPERM;
		member->staged_origin = OLL_ORIGIN_INIT;
		member->staged = container->selected_by[OLL_SELECT_ENTRYPOINT] & ~member->applied;
		break;
	case OLL_ORIGIN_INIT:
		break;
	case OLL_ORIGIN_HOOK:
		if (!container->started || still_outside(here, container))
			return 0;
		/* fallthrough */
	default:
		member->staged_origin = OLL_ORIGIN_SESSION;
		member->staged = container->sessions & ~member->applied;
	}
	return 0;
}

/* The task is in a container: it belongs to it from this exec on, if it is not one of its own already. */
static __always_inline int enter(struct whereabouts *here, struct oll_task *own, struct oll_container *container)
{
	struct oll_membership *member;
	__u32 place;

	if (place_of(own, container->generation) < OLL_MAX_MEMBERSHIPS)
		return 0;
	if (still_outside(here, container))
		return 0;
	/* On the way from one container into another: put into its cgroup, but not inside yet. */
	if (here->by_mount_ns && here->by_mount_ns->generation != container->generation)
		return 0;
	place = place_of(own, 0);
	if (place >= OLL_MAX_MEMBERSHIPS)
		return only_audited(container->audited) ?
			       0 :
			       deny(container, OLL_REASON_MEMBERSHIPS, OLL_NO_ENTRY, -EUSERS);
	member = &own->of[place];
	member->generation = container->generation;
	member->cgroup_id = container->cgroup_id;
	member->origin = OLL_ORIGIN_NONE;
	member->applied = 0;
	member->staged = 0;
	member->owed = 0;
	member->foreseen = 0;
	member->audited = container->audited;
	return judge(here, container, member);
}

/* Whether the current task is in any container, or comes from one. */
static __always_inline bool in_scope(struct task_struct *task)
{
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, 0);
	__u64 mount_ns = own_mount_ns_id(task);
	__u32 i;

	for (i = 0; own && i < OLL_MAX_MEMBERSHIPS; i++) {
		if (own->of[i].generation && own->of[i].origin != OLL_ORIGIN_NONE)
			return true;
	}
	return find_by_cgroup(task) || bpf_map_lookup_elem(&namespaces, &mount_ns);
}

#endif
