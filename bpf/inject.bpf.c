// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The inject applier, for kernels without the bridge: a gate. A target passes only while the container's tracer traces
 * it in such a way that it stops before the first instruction of the new program, and dies with the tracer. The tracer
 * then makes it restrict itself.
 */
#include "selector.h"
#include "upkeep.h"

/* task_struct.ptrace, include/linux/ptrace.h: PTRACE_O_* are shifted by 3. */
#define PT_PTRACED 0x00000001
#define PT_SEIZED 0x00010000
#define PT_TRACE_EXEC (1U << (3 + 4))
#define PT_EXITKILL (1U << (3 + 20))
#define PT_REQUIRED (PT_PTRACED | PT_SEIZED | PT_TRACE_EXEC | PT_EXITKILL)

/* By generation of the container. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OLL_MAX_CONTAINERS);
	__type(key, __u64);
	__type(value, struct oll_tracer);
} tracers SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline bool traced_by(struct task_struct *task, struct oll_tracer *tracer)
{
	struct task_struct *leader;
	bool same;

	/* Without PT_PTRACED, `parent` is the task's real parent. */
	if ((BPF_CORE_READ(task, ptrace) & PT_REQUIRED) != PT_REQUIRED)
		return false;
	bpf_rcu_read_lock();
	leader = BPF_CORE_READ(task, parent, group_leader);
	same = BPF_CORE_READ(leader, tgid) == tracer->tgid &&
	       BPF_CORE_READ(leader, start_boottime) == tracer->start_time;
	bpf_rcu_read_unlock();
	return same;
}

static __always_inline int apply(struct linux_binprm *bprm, struct oll_container *container, __u32 entries)
{
	struct oll_tracer *tracer = bpf_map_lookup_elem(&tracers, &container->generation);
	__u32 first = 0;

	while (first < OLL_MAX_ENTRIES && !(entries & (1U << first)))
		first++;
	if (!tracer)
		return deny(container, OLL_REASON_TRACER, first, -ESRCH);
	if (!traced_by(bpf_get_current_task_btf(), tracer))
		return deny(container, OLL_REASON_TRACER, first, -EPERM);
	return 0;
}

static __u32 still_owed(__u32 entries)
{
	return entries;
}

static void drop(struct oll_container *container)
{
	bpf_map_delete_elem(&tracers, &container->generation);
}

SEC("syscall")
int register_tracer(struct oll_register_tracer *ctx)
{
	struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
	struct oll_tracer tracer = {};
	__u64 generation = ctx->generation;

	tracer.start_time = BPF_CORE_READ(leader, start_boottime);
	tracer.tgid = BPF_CORE_READ(leader, tgid);
	ctx->tgid = tracer.tgid;
	ctx->error = bpf_map_update_elem(&tracers, &generation, &tracer, BPF_ANY);
	return 0;
}

/*
 * Who holds the mutex that an exec holds from before its credentials are prepared until it cannot fail any more. Opening
 * the file comes before that (Linux 6.8), opening its interpreters after. Attaching to a task takes it as well.
 */
static __always_inline struct task_struct *executing_thread(struct task_struct *task)
{
	__s64 owner = BPF_CORE_READ(task, signal, cred_guard_mutex.owner.counter);

	return (struct task_struct *)(owner & ~7LL);
}

static __always_inline __u32 look_ahead(struct oll_preview *ctx, struct task_struct *task,
					struct oll_container *container)
{
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, 0);
	struct whereabouts here = { .mount_ns = mount_ns_id(task) };
	struct oll_membership member = {};
	struct task_struct *executing;
	struct match match = {};
	__u32 place, wanted;
	struct file *file;

	if (!own) {
		bpf_rcu_read_lock();
		own = bpf_task_storage_get(&tasks, task->group_leader, NULL, 0);
		bpf_rcu_read_unlock();
	}
	if (own) {
		place = place_of(own, container->generation);
		if (place < OLL_MAX_MEMBERSHIPS)
			member = own->of[place];
	}
	member.staged = 0;
	if (member.origin != OLL_ORIGIN_INIT && member.origin != OLL_ORIGIN_SESSION && still_outside(&here, container))
		return OLL_PREVIEW_PASS;
	switch (member.origin) {
	case OLL_ORIGIN_INIT_PENDING:
		member.staged = container->selected_by[OLL_SELECT_ENTRYPOINT];
		/* fallthrough */
	case OLL_ORIGIN_INIT:
		wanted = container->selected_by[OLL_SELECT_PROGRAM] | container->selected_by[OLL_SELECT_EXCEPT];
		file = file_of(ctx->file);
		if (!wanted || !file)
			break;
		if (take_names(file, ctx->given, false))
			return OLL_PREVIEW_PASS;
		if (match_programs(container, file, &match))
			match.named = 0;
		release_names();
		/* What is not said by this file: other names for it, and interpreters. */
		if (ctx->flags & OLL_PREVIEW_ANY_NAME)
			match.named = ~0U;
		member.staged |= (container->selected_by[OLL_SELECT_PROGRAM] & match.named) |
				 container->selected_by[OLL_SELECT_EXCEPT];
		break;
	case OLL_ORIGIN_HOOK:
		if (!container->started)
			return OLL_PREVIEW_PASS;
		/* fallthrough */
	default:
		member.staged = container->sessions;
	}
	if (!(member.staged & ~member.applied))
		return OLL_PREVIEW_PASS;
	executing = executing_thread(task);
	if (executing == task)
		return OLL_PREVIEW_UNDER_WAY;
	return executing ? OLL_PREVIEW_BUSY : OLL_PREVIEW_TARGET;
}

/* Of the container, or of none. */
static __always_inline bool belongs(struct task_struct *task, struct cgroup *cgroup, struct oll_container *container)
{
	struct oll_task *own = bpf_task_storage_get(&tasks, task, NULL, 0);

	return bpf_task_under_cgroup(task, cgroup) || mount_ns_id(task) == container->mount_ns ||
	       (own && place_of(own, container->generation) < OLL_MAX_MEMBERSHIPS);
}

SEC("syscall")
int preview(struct oll_preview *ctx)
{
	__u64 id = ctx->cgroup_id;
	struct oll_container *container = bpf_map_lookup_elem(&containers, &id);
	struct task_struct *task;
	struct cgroup *cgroup;

	ctx->verdict = OLL_PREVIEW_PASS;
	task = bpf_task_from_pid(ctx->pid);
	if (!task)
		return 0;
	cgroup = bpf_cgroup_from_id(ctx->cgroup_id);
	if (cgroup) {
		if (container && container->generation == ctx->generation && belongs(task, cgroup, container))
			ctx->verdict = look_ahead(ctx, task, container);
		bpf_cgroup_release(cgroup);
	}
	bpf_task_release(task);
	return 0;
}

SEC("syscall")
int take_debt(struct oll_take_debt *ctx)
{
	struct task_struct *task = bpf_task_from_pid(ctx->pid);
	struct oll_task *own;

	ctx->entries = 0;
	ctx->generation = 0;
	if (!task)
		return 0;
	own = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (own) {
		__u64 generation = 0;

		ctx->entries = take_owed(own, &generation);
		ctx->generation = generation;
	}
	bpf_task_release(task);
	return 0;
}

SEC("syscall")
int report_failure(struct oll_report_failure *ctx)
{
	__u64 id = ctx->cgroup_id;
	struct oll_container *container = bpf_map_lookup_elem(&containers, &id);
	struct task_struct *task;

	if (!container)
		return 0;
	__sync_fetch_and_sub(&container->applied, 1);
	deny(container, ctx->reason, ctx->entry, ctx->error);
	container->denied.last.tgid = ctx->pid;
	task = bpf_task_from_pid(ctx->pid);
	if (task) {
		bpf_probe_read_kernel_str(container->denied.last.comm, sizeof(container->denied.last.comm), task->comm);
		bpf_task_release(task);
	}
	return 0;
}
