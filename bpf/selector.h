/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The selector: looks at every exec on the node and finds the ones that a container's entries select. What is done
 * with them is the applier's part: it includes this file and defines the functions declared below.
 *
 * A task belongs to every container that it or one of its ancestors has entered, and each of them decides for itself.
 * Audited entries are selected like others, so that `events` knows whom they are about; and then nothing is done. For
 * a container that has no others nothing is denied, whatever cannot be found out: in doubt an exec is selected.
 *
 * An exec is looked at in four steps: select_exec (which containers, and what they want for how the task came in and
 * for the file that it names), select_file (what they want for each interpreter), restrict_exec (all of it is
 * applied), commit_exec (it has succeeded, and what was staged is so).
 */
#ifndef OCI_LANDLOCK_SELECTOR_H
#define OCI_LANDLOCK_SELECTOR_H

#include "maps.h"
#include "match.h"
#include "tell.h"

/* An exec begins that is a target of these entries, perhaps of more. 0; or denies it, or has it begin anew. */
static int admit(struct oll_container *container, __u32 entries);
/* Once for each exec and container, with all of its entries, before the point of no return. Likewise. */
static int apply(struct linux_binprm *bprm, struct oll_container *container, __u32 entries);
/* Of the entries that apply() let pass, those that are not in force when the exec is done. */
static __u32 still_owed(__u32 entries);
/* Whether the exec that begins here may go on, whatever it is; else what to return. */
static int wait_turn(struct task_struct *task);
/* The container is gone: drops what the applier keeps of it. */
static void drop(struct oll_container *container, __u64 cgroup_id, __u64 generation);

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

static __always_inline bool check_only(struct linux_binprm *bprm)
{
	struct linux_binprm___with_check *with_check = (void *)bprm;

	return bpf_core_field_exists(with_check->is_check) && BPF_CORE_READ_BITFIELD_PROBED(with_check, is_check);
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

/*
 * What the containers want of this exec for one of its files, `program` and `except` alike. An entry that is to except
 * must list every file that the exec comes to. `again`: the file was seen before, but what is to be excepted must also
 * be unchanged now that the file has been read, which is when an overlay learns of changes.
 */
static __always_inline int judge_file(struct linux_binprm *bprm, struct oll_task *own, bool again)
{
	bool named = false;
	int error = 0;
	__u32 i;

	for (i = 0; i < OLL_MAX_MEMBERSHIPS && !error; i++) {
		struct oll_membership *member = &own->of[i];
		struct oll_container *container;
		struct match match = {};
		__u32 program, except, enforced;

		if (!member->generation || member->staged_origin != OLL_ORIGIN_INIT)
			continue;
		container = container_of_member(member);
		if (!container && only_audited(member->audited))
			continue;
		if (!container) {
			error = deny_stray(OLL_REASON_GONE, -ENOENT);
			break;
		}
		program = container->selected_by[OLL_SELECT_PROGRAM] & ~(member->applied | member->staged);
		except = container->selected_by[OLL_SELECT_EXCEPT] & ~(member->applied | member->staged);
		if (again)
			program = 0;
		if (!(program | except))
			continue;
		if (!named && take_names(bprm->file, BPF_CORE_READ(bprm, interp))) {
			member->staged |= program | except;
			enforced = (program | except) & ~member->audited;
			if (!enforced)
				continue;
			error = deny(container, OLL_REASON_MEMORY, first_of(enforced), -ENOMEM);
			break;
		}
		named = true;
		if (match_programs(container, bprm->file, &match)) {
			member->staged |= program | except;
			enforced = (program | except) & ~member->audited;
			if (!enforced)
				continue;
			error = deny(container, OLL_REASON_PROGRAMS, first_of(enforced), -ENOENT);
			break;
		}
		member->staged |= (program & match.named) | (except & ~match.surely);
	}
	if (named)
		release_names();
	return error;
}

/*
 * Here, and not where it is applied, an exec can be held until its applier is ready: nothing is locked yet, and no file
 * but the one that was named has been opened.
 */
static __always_inline int admit_all(struct oll_task *own)
{
	__u32 i;

	for (i = 0; i < OLL_MAX_MEMBERSHIPS; i++) {
		struct oll_membership *member = &own->of[i];
		struct oll_container *container;
		__u32 entries;
		int error;

		if (!member->generation)
			continue;
		entries = (member->staged | (member->foreseen & ~member->applied)) & ~member->audited;
		if (!entries)
			continue;
		container = container_of_member(member);
		if (!container)
			return deny_stray(OLL_REASON_GONE, -ENOENT);
		error = admit(container, entries);
		if (error)
			return error;
		member->foreseen = 0;
	}
	return 0;
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(select_exec, struct linux_binprm *bprm, int ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct whereabouts here = {};
	struct oll_task *own;
	bool known;
	__u32 i;
	int error;

	if (ret)
		return ret;
	ret = wait_turn(task);
	if (ret)
		return ret;
	own = bpf_task_storage_get(&tasks, task, NULL, 0);
	known = own;
	if (own) {
		own->exec_under_way = 0;
	} else if (task->group_leader != task) {
		bpf_rcu_read_lock();
		known = bpf_task_storage_get(&tasks, task->group_leader, NULL, 0);
		bpf_rcu_read_unlock();
	}
	here.mount_ns = own_mount_ns_id(task);
	here.by_cgroup = find_by_cgroup(task);
	if (find_by_mount_ns(&here))
		return -EPERM;
	if (!known && !here.by_cgroup && !here.by_mount_ns)
		return 0;
	if (check_only(bprm))
		return 0;

	error = own_descent(task, &own);
	if (error || !own)
		return deny_stray(error == -EPERM ? OLL_REASON_MEMBERSHIPS : OLL_REASON_MEMORY, error);
	for (i = 0; i < OLL_MAX_MEMBERSHIPS; i++) {
		struct oll_membership *member = &own->of[i];
		struct oll_container *container;

		member->staged = 0;
		member->staged_origin = member->origin;
		if (!member->generation)
			continue;
		if (member->origin == OLL_ORIGIN_NONE) {
			/* An exec that failed, or that begins anew, had got it this far. */
			member->generation = 0;
			continue;
		}
		container = container_of_member(member);
		if (!container && (member->origin == OLL_ORIGIN_HOOK || only_audited(member->audited))) {
			member->generation =
				0; /* what a hook left behind was never inside; what is audited is let be */
			continue;
		}
		if (!container)
			return deny_stray(OLL_REASON_GONE, -ENOENT);
		if (member->owed)
			return deny(container, OLL_REASON_OWED, first_of(member->owed), -EBUSY);
		if (judge(&here, container, member))
			return -EPERM;
	}
	if (here.by_cgroup && enter(&here, own, here.by_cgroup))
		return -EPERM;
	if (here.by_mount_ns && enter(&here, own, here.by_mount_ns))
		return -EPERM;
	if (judge_file(bprm, own, false))
		return -EPERM;
	error = admit_all(own);
	own->exec_layers = 0;
	if (!error)
		own->exec_under_way = 1;
	return error;
}

/*
 * Sees the file that execve(2) names once more, and then each interpreter: that of a script may be a script itself, and
 * other kinds of files may have one, too.
 */
SEC("lsm.s/bprm_check_security")
int BPF_PROG(select_file, struct linux_binprm *bprm, int ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, 0);

	if (ret)
		return ret;
	if (!own || !own->exec_under_way)
		return 0;
	return judge_file(bprm, own, BPF_CORE_READ(bprm, interp) == BPF_CORE_READ(bprm, filename));
}

/* The last file is found, and the exec can still fail. */
SEC("lsm.s/bprm_creds_from_file")
int BPF_PROG(restrict_exec, struct linux_binprm *bprm, const struct file *file, int ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, 0);
	__u32 i;

	if (ret)
		return ret;
	if (!own || !own->exec_under_way)
		return 0;
	for (i = 0; i < OLL_MAX_MEMBERSHIPS; i++) {
		struct oll_membership *member = &own->of[i];
		struct oll_container *container;
		__u32 entries;
		int error;

		if (!member->generation)
			continue;
		/* Also where nothing is wanted: what was read above must have been this container's. */
		container = container_of_member(member);
		if (!container && only_audited(member->audited))
			continue;
		if (!container)
			return deny_stray(OLL_REASON_GONE, -ENOENT);
		entries = member->staged & ~member->audited;
		if (!entries)
			continue;
		error = apply(bprm, container, entries);
		if (error) {
			member->foreseen = entries; /* should it begin anew */
			return error;
		}
		if (container->generation != member->generation)
			return deny_stray(OLL_REASON_GONE, -ENOENT);
	}
	return 0;
}

/* The exec has succeeded: what was staged is now so. */
SEC("lsm.s/bprm_committed_creds")
void BPF_PROG(commit_exec, const struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, 0);
	__u32 i;

	if (!own || !own->exec_under_way)
		return;
	own->exec_under_way = 0;
	for (i = 0; i < OLL_MAX_MEMBERSHIPS; i++) {
		struct oll_membership *member = &own->of[i];
		struct oll_container *container;

		if (!member->generation)
			continue;
		member->origin = member->staged_origin;
		member->applied |= member->staged;
		member->owed = still_owed(member->staged & ~member->audited);
		container = container_of_member(member);
		if (!container)
			continue;
		if (member->origin == OLL_ORIGIN_INIT)
			container->started = 1;
		/* What is owed is counted when it is given. */
		if (member->staged & ~(member->audited | member->owed))
			__sync_fetch_and_add(&container->applied, 1);
		if (member->staged & ~member->owed)
			tell(container->cgroup_id, bpf_get_current_pid_tgid(), member->staged & ~member->owed, 0, 0);
	}
}

/* A child is what its parent is. Not a tracepoint: this one can refuse, and is never skipped. */
SEC("lsm/task_alloc")
int BPF_PROG(inherit, struct task_struct *child, unsigned long clone_flags, int ret)
{
	struct task_struct *parent = bpf_get_current_task_btf();
	struct oll_task *parents = bpf_task_storage_get(&tasks, parent, NULL, 0);
	struct oll_task *leaders = NULL, *own = NULL;
	__u32 i;

	if (ret)
		return ret;
	if (parents) {
		if (place_of_debt(parents) < OLL_MAX_MEMBERSHIPS)
			return -EPERM;
		own = bpf_task_storage_get(&tasks, child, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!own)
			return -ENOMEM;
		if (take_over(own, parents))
			return -EPERM;
	}
	/* As in own_descent(). */
	if (parent->group_leader != parent)
		leaders = bpf_task_storage_get(&tasks, parent->group_leader, NULL, 0);
	if (leaders) {
		own = bpf_task_storage_get(&tasks, child, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
		if (!own)
			return -ENOMEM;
		if (take_over(own, leaders))
			return -EPERM;
	}
	if (!own)
		return 0;
	/* Its threads are still the init. */
	for (i = 0; i < OLL_MAX_MEMBERSHIPS && !(clone_flags & CLONE_THREAD); i++) {
		if (own->of[i].origin == OLL_ORIGIN_INIT_PENDING)
			own->of[i].origin = OLL_ORIGIN_HOOK;
	}
	return 0;
}

#endif
