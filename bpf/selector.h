/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The selector: looks at every exec on the node and finds the ones that a container's entries select. What is done
 * with them is the applier's part: it includes this file and defines the functions declared below.
 */
#ifndef OCI_LANDLOCK_SELECTOR_H
#define OCI_LANDLOCK_SELECTOR_H

#include "maps.h"
#include "match.h"

/* 0, or denies the exec with a negative errno after deny(). */
static int apply(struct linux_binprm *bprm, struct oll_container *container, __u32 entries);
/* Of the entries that apply() let pass, those that are not in force when the exec is done. */
static __u32 still_owed(__u32 entries);
/* Whether the exec that begins here may go on, whatever it is; else what to return. */
static int wait_turn(struct task_struct *task);
/* The container is gone: drops what the applier keeps of it. */
static void drop(struct oll_container *container);

/* Two writers at once may mix their records; the counter is exact. */
static __always_inline int deny(struct oll_container *container, __u32 reason, __u32 entry, int error)
{
	struct oll_denial *last = &container->last_denial;

	__sync_fetch_and_add(&container->denied, 1);
	last->time = bpf_ktime_get_boot_ns();
	last->tgid = bpf_get_current_pid_tgid() >> 32;
	last->reason = reason;
	last->error = error;
	last->entry = entry;
	bpf_get_current_comm(last->comm, sizeof(last->comm));
	return -EPERM;
}

static __always_inline __u64 mount_ns_id(struct task_struct *task)
{
	struct mnt_namespace *ns = BPF_CORE_READ(task, nsproxy, mnt_ns);

	if (bpf_core_field_exists(struct mnt_namespace___with_id, ns.ns_id))
		return BPF_CORE_READ((struct mnt_namespace___with_id *)ns, ns.ns_id);
	return BPF_CORE_READ(ns, seq);
}

enum scope {
	OUT_OF_SCOPE,
	IN_SCOPE,
	BROKEN, /* there must be an entry, but it is gone or cannot be read */
};

/* The entry of the nearest ancestor that has one, of the current task's cgroup. */
static __always_inline enum scope find_by_cgroup(struct task_struct *task, struct oll_container **container)
{
	struct cgroup *cgroup, *ancestor;
	int found = 0;
	int level;

	*container = NULL;
	bpf_rcu_read_lock();
	cgroup = task->cgroups->dfl_cgrp;
	/* Downwards: a container that nests cgroups deeper than we look cannot hide its own from us. */
	for (level = 1; level <= OLL_MAX_CGROUP_LEVEL && level <= cgroup->level; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (bpf_map_lookup_elem(&records, &id))
			found = level;
	}
	if (found) {
		ancestor = bpf_cgroup_ancestor(cgroup, found);
		if (ancestor) {
			*container = bpf_cgrp_storage_get(&containers, ancestor, NULL, 0);
			bpf_cgroup_release(ancestor);
		}
	}
	bpf_rcu_read_unlock();
	if (!found)
		return OUT_OF_SCOPE;
	return *container ? IN_SCOPE : BROKEN;
}

/*
 * The container that an exec of this task belongs to; `own` may be NULL. That of its cgroup; but a task that has run
 * inside a container stays that container's, also when it found a way into a cgroup elsewhere.
 */
static __always_inline enum scope find_container(struct task_struct *task, struct oll_task *own,
						 struct oll_container **container)
{
	enum scope scope = find_by_cgroup(task, container);
	struct cgroup *cgroup;

	if (!own || (own->origin != OLL_ORIGIN_INIT && own->origin != OLL_ORIGIN_SESSION))
		return scope;
	if (*container && (*container)->generation == own->generation)
		return scope;
	*container = NULL;
	cgroup = bpf_cgroup_from_id(own->cgroup_id);
	if (!cgroup)
		return BROKEN;
	bpf_rcu_read_lock();
	*container = bpf_cgrp_storage_get(&containers, cgroup, NULL, 0);
	bpf_rcu_read_unlock();
	bpf_cgroup_release(cgroup);
	return *container && (*container)->generation == own->generation ? IN_SCOPE : BROKEN;
}

/*
 * The task's line of descent; its own storage, made when needed. A thread that was there before its process was
 * marked by the hook has none: its leader's counts.
 */
static __always_inline struct oll_task *own_descent(struct task_struct *task)
{
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, 0);
	struct oll_task *leaders;

	if (own)
		return own;
	own = bpf_task_storage_get(&tasks, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!own)
		return NULL;
	bpf_rcu_read_lock();
	leaders = bpf_task_storage_get(&tasks, task->group_leader, NULL, 0);
	if (leaders && leaders != own) {
		own->generation = leaders->generation;
		own->cgroup_id = leaders->cgroup_id;
		own->origin = leaders->origin;
		own->applied = leaders->applied;
	}
	bpf_rcu_read_unlock();
	return own;
}

/* What an exec would be a target of, and what the task is when it has succeeded. */
struct choice {
	__u32 origin;
	__u32 entries;
};

/* `origin`, `applied`: of the task so far. 0, or -ENOMEM. */
static __always_inline int choose(struct oll_container *container, __u32 origin, __u32 applied, struct file *file,
				  const char *given, bool executes, struct choice *choice)
{
	struct match match = {};
	__u32 program, except;

	choice->origin = origin;
	choice->entries = 0;
	switch (origin) {
	case OLL_ORIGIN_NONE:
	case OLL_ORIGIN_HOOK: /* the container has started, and the hook is still there */
		choice->origin = OLL_ORIGIN_SESSION;
		/* fallthrough */
	case OLL_ORIGIN_SESSION:
		choice->entries = container->sessions & ~applied;
		return 0;
	case OLL_ORIGIN_INIT_PENDING:
		choice->origin = OLL_ORIGIN_INIT;
		choice->entries = container->selected_by[OLL_SELECT_ENTRYPOINT] & ~applied;
		break;
	}
	program = container->selected_by[OLL_SELECT_PROGRAM] & ~applied;
	except = container->selected_by[OLL_SELECT_EXCEPT] & ~applied;
	if (!(program | except))
		return 0;
	if (find_programs(container, file, given, executes, &match))
		return -ENOMEM;
	choice->entries |= (program & match.named) | (except & ~match.surely);
	return 0;
}

static __always_inline int stage(struct linux_binprm *bprm, struct oll_container *container, struct oll_task *own,
				 __u32 entries)
{
	int error;

	entries &= ~(own->applied | own->staged);
	if (!entries)
		return 0;
	error = apply(bprm, container, entries);
	if (!error)
		own->staged |= entries;
	return error;
}

static __always_inline bool check_only(struct linux_binprm *bprm)
{
	struct linux_binprm___with_check *with_check = (void *)bprm;

	return bpf_core_field_exists(with_check->is_check) && BPF_CORE_READ_BITFIELD_PROBED(with_check, is_check);
}

/*
 * The runtime, on its way in. A process that has been inside and joins the host's mount namespace is none of it.
 */
static __always_inline bool still_outside(struct task_struct *task, struct oll_container *container,
					  struct oll_task *own)
{
	__u64 mount_ns = mount_ns_id(task);

	if (mount_ns != container->hook_mount_ns && mount_ns != container->host_mount_ns)
		return false;
	return !own || own->generation != container->generation ||
	       (own->origin != OLL_ORIGIN_INIT && own->origin != OLL_ORIGIN_SESSION);
}

/* Sees the file that execve(2) names: the script, where it is one. */
SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(select_exec, struct linux_binprm *bprm, int ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct oll_container *container;
	struct oll_task *own;
	struct choice choice;

	if (ret)
		return ret;
	ret = wait_turn(task);
	if (ret)
		return ret;
	own = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (own)
		own->exec_under_way = 0;
	switch (find_container(task, own, &container)) {
	case OUT_OF_SCOPE:
		return 0;
	case BROKEN:
		return -EPERM;
	default:
		if (!container)
			return -EPERM;
	}
	if (check_only(bprm))
		return 0;
	if (still_outside(task, container, own))
		return 0;

	own = own_descent(task);
	if (!own)
		return deny(container, OLL_REASON_MEMORY, 0, -ENOMEM);
	if (own->generation != container->generation) {
		own->generation = container->generation;
		own->cgroup_id = container->cgroup_id;
		own->origin = OLL_ORIGIN_NONE;
		own->applied = 0;
	}
	if (own->origin == OLL_ORIGIN_HOOK && !container->started)
		return 0;
	if (own->owed)
		return deny(container, OLL_REASON_OWED, 0, -EBUSY);
	if (choose(container, own->origin, own->applied, bprm->file, BPF_CORE_READ(bprm, filename), true, &choice))
		return deny(container, OLL_REASON_MEMORY, 0, -ENOMEM);
	own->staged = 0;
	own->by_interpreter = 0;
	own->staged_origin = choice.origin;
	own->exec_under_way = 1;
	return stage(bprm, container, own, choice.entries);
}

/*
 * Sees the file that execve(2) names, and then each interpreter: that of a script may be a script itself. It is too
 * early here to know that the exec has found its last one, and the credentials cannot be changed.
 */
SEC("lsm.s/bprm_check_security")
int BPF_PROG(find_interpreter, struct linux_binprm *bprm, int ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, 0);
	struct oll_container *container;
	struct match match = {};
	__u32 program;

	if (ret)
		return ret;
	if (!own || !own->exec_under_way || own->staged_origin != OLL_ORIGIN_INIT)
		return 0;
	if (BPF_CORE_READ(bprm, interp) == BPF_CORE_READ(bprm, filename))
		return 0; /* no interpreter yet, and select_exec has seen the file */
	if (find_container(task, own, &container) != IN_SCOPE || !container ||
	    container->generation != own->generation)
		return -EPERM; /* it was there a moment ago */
	program = container->selected_by[OLL_SELECT_PROGRAM] & ~(own->applied | own->staged);
	if (!program)
		return 0;
	if (find_programs(container, bprm->file, NULL, true, &match))
		return deny(container, OLL_REASON_MEMORY, 0, -ENOMEM);
	own->by_interpreter |= program & match.named;
	return 0;
}

/* The last file is found. */
SEC("lsm.s/bprm_creds_from_file")
int BPF_PROG(select_interpreter, struct linux_binprm *bprm, const struct file *file, int ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, 0);
	struct oll_container *container;

	if (ret)
		return ret;
	if (!own || !own->exec_under_way || !own->by_interpreter)
		return 0;
	if (find_container(task, own, &container) != IN_SCOPE || !container ||
	    container->generation != own->generation)
		return -EPERM; /* it was there a moment ago */
	return stage(bprm, container, own, own->by_interpreter);
}

/* The exec has succeeded: what was staged is now so. */
SEC("lsm.s/bprm_committed_creds")
void BPF_PROG(commit_exec, const struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, 0);
	struct oll_container *container;

	if (!own || !own->exec_under_way)
		return;
	own->exec_under_way = 0;
	own->origin = own->staged_origin;
	own->applied |= own->staged;
	own->owed = still_owed(own->staged);
	if (find_container(task, own, &container) != IN_SCOPE || !container ||
	    container->generation != own->generation)
		return;
	if (own->origin == OLL_ORIGIN_INIT)
		container->started = 1;
	if (own->staged)
		__sync_fetch_and_add(&container->applied, 1);
}

/* A child is what its parent is. Not a tracepoint: this one can refuse, and is never skipped. */
SEC("lsm/task_alloc")
int BPF_PROG(inherit, struct task_struct *child, unsigned long clone_flags, int ret)
{
	struct task_struct *parent = bpf_get_current_task_btf();
	struct oll_task *parents = bpf_task_storage_get(&tasks, parent, NULL, 0);
	struct oll_task *own;

	if (ret)
		return ret;
	if (!parents) {
		parents = bpf_task_storage_get(&tasks, parent->group_leader, NULL, 0);
		if (!parents)
			return 0;
	}
	if (parents->owed)
		return -EPERM;
	own = bpf_task_storage_get(&tasks, child, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!own)
		return -ENOMEM;
	own->generation = parents->generation;
	own->cgroup_id = parents->cgroup_id;
	own->origin = parents->origin;
	own->applied = parents->applied;
	/* Its threads are still the init. */
	if (own->origin == OLL_ORIGIN_INIT_PENDING && !(clone_flags & CLONE_THREAD))
		own->origin = OLL_ORIGIN_HOOK;
	return 0;
}

#endif
