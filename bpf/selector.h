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

#include "match.h"
#include "membership.h"

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

static __always_inline bool check_only(struct linux_binprm *bprm)
{
	struct linux_binprm___with_check *with_check = (void *)bprm;

	return bpf_core_field_exists(with_check->is_check) && BPF_CORE_READ_BITFIELD_PROBED(with_check, is_check);
}

/*
 * What the containers want of this exec for one of its files, `program` and `except` alike. An entry that is to except
 * must list every file that the exec comes to. `again`: the file was seen before, but what is to be excepted must also
 * be unchanged now that the file has been read, which is when an overlay learns of changes.
 */
static __always_inline int judge_file(struct linux_binprm *bprm, struct oll_task *own, bool again)
{
	struct match match = {};
	bool named = false;
	int error = 0;
	__u32 i;

	for (i = 0; i < OLL_MAX_MEMBERSHIPS && !error; i++) {
		struct oll_membership *member = &own->of[i];
		struct oll_container *container;
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
		if (!named && take_names(bprm->file, BPF_CORE_READ(bprm, interp), &match)) {
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
		release_names(&match);
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
