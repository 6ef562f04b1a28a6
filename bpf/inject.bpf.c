// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The inject applier, for kernels without the bridge: a gate. A target passes only while the container's tracer traces
 * it in such a way that it stops before the first instruction of the new program, and dies with the tracer. The tracer
 * then makes it restrict itself.
 *
 * A target that nobody traces yet is held: its execve(2) begins anew, again and again, until the tracer has attached.
 * The program sees nothing of it, since the kernel restarts calls of its own accord. Nothing sleeps meanwhile, and no
 * lock is held: what waiting costs is the container's own time.
 */
#include "selector.h"
#include "upkeep.h"

/* task_struct.ptrace, include/linux/ptrace.h: PTRACE_O_* are shifted by 3. */
#define PT_PTRACED 0x00000001
#define PT_SEIZED 0x00010000
#define PT_TRACE_EXEC (1U << (3 + 4))
#define PT_EXITKILL (1U << (3 + 20))
#define PT_REQUIRED (PT_PTRACED | PT_SEIZED | PT_TRACE_EXEC | PT_EXITKILL)

#define MSEC 1000000ULL
/* How long a target waits for its tracer. A supervisor that systemd starts again is there in much less. */
#define PATIENCE (5000 * MSEC)
/* A call that nobody has answered by then is made again. */
#define CALL_AGAIN (100 * MSEC)
/*
 * A thread that was held this long ago may be anywhere. Twice as long no other thread of its process executes
 * anything: attaching takes the mutex that an exec holds, also while it waits for a file of its interpreter that never
 * comes.
 */
#define STILL_HELD (500 * MSEC)

/* By generation of the container. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OLL_MAX_CONTAINERS);
	__type(key, __u64);
	__type(value, struct oll_tracer);
} tracers SEC(".maps");

/* To the supervisor, which tells the tracer. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, OLL_RING_SIZE);
} calls SEC(".maps");

/* Times: CLOCK_BOOTTIME, nanoseconds. */
struct hold {
	__u64 generation; /* of the container */
	__u64 since; /* 0: not held */
	__u64 last; /* when it was held last */
	__u64 called; /* when the tracer was called last */
	/* Of a thread group's leader, about the whole process. */
	__u64 others_wait; /* until then */
	__u32 thread; /* but for this one */
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hold);
} holds SEC(".maps");

/* Rulesets that are held for containers: the open file, and what is behind it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OLL_MAX_SLOTS);
	__type(key, __u64);
	__type(value, __u64);
} guarded SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline bool is_tracer(struct task_struct *leader, struct oll_tracer *tracer)
{
	return BPF_CORE_READ(leader, tgid) == tracer->tgid &&
	       BPF_CORE_READ(leader, start_boottime) == tracer->start_time;
}

static __always_inline bool traced_by(struct task_struct *task, struct oll_tracer *tracer)
{
	bool same;

	/* Without PT_PTRACED, `parent` is the task's real parent. */
	if ((BPF_CORE_READ(task, ptrace) & PT_REQUIRED) != PT_REQUIRED)
		return false;
	bpf_rcu_read_lock();
	same = is_tracer(BPF_CORE_READ(task, parent, group_leader), tracer);
	bpf_rcu_read_unlock();
	return same;
}

static __always_inline bool has_stop_signal(struct task_struct *task)
{
	return BPF_CORE_READ(task, signal, shared_pending.signal.sig[0]) & (1UL << (SIGSTOP - 1));
}

/* Somebody stops the process: a thread is to take the signal, or has taken it. The last look is as late as can be. */
static __always_inline bool is_to_stop(struct task_struct *task)
{
	return has_stop_signal(task) || BPF_CORE_READ(task, jobctl) & JOBCTL_STOP_PENDING || has_stop_signal(task);
}

/*
 * Makes the current execve(2) begin anew: the kernel does so on the way back to user space, if it looks for signals
 * there. SIGCONT takes back the SIGSTOP before it can have an effect, and only the look remains. A thread that is to
 * look anyway, perhaps for a stop that is meant, needs neither. SIGCONT would take back one that comes meanwhile, too:
 * then ours stays with it, and whatever ends the one ends the other. What comes between the last look and SIGCONT is
 * taken back.
 */
static __always_inline int begin_anew(struct task_struct *task)
{
	if (!(BPF_CORE_READ(task, thread_info.flags) & TIF_SIGPENDING)) {
		if (bpf_send_signal_thread(SIGSTOP))
			return -EPERM;
		if (!is_to_stop(task))
			bpf_send_signal_thread(SIGCONT);
	}
	return -ERESTARTNOINTR;
}

static __always_inline void call_tracer(struct oll_tracer *tracer, struct hold *hold, __u32 thread, __u64 now)
{
	struct oll_call *call;

	if (hold->called && now - hold->called < CALL_AGAIN)
		return;
	if (__sync_fetch_and_add(&tracer->calls, 1) >= OLL_MAX_CALLS) {
		__sync_fetch_and_sub(&tracer->calls, 1);
		return; /* in one of the next rounds */
	}
	call = bpf_ringbuf_reserve(&calls, sizeof(*call), 0);
	if (!call) {
		__sync_fetch_and_sub(&tracer->calls, 1);
		return;
	}
	call->generation = hold->generation;
	call->thread = thread;
	call->reserved = 0;
	hold->called = now;
	bpf_ringbuf_submit(call, 0);
}

/* False: there is no memory for it. */
static __always_inline bool others_wait(struct task_struct *task, __u64 until)
{
	struct hold *process;

	bpf_rcu_read_lock();
	process = bpf_task_storage_get(&holds, task->group_leader, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (process) {
		process->thread = task->pid;
		process->others_wait = until;
	}
	bpf_rcu_read_unlock();
	return process;
}

static __always_inline int hold_back(struct task_struct *task, struct oll_container *container,
				     struct oll_tracer *tracer, __u32 entry)
{
	struct hold *hold = bpf_task_storage_get(&holds, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	__u64 now = bpf_ktime_get_boot_ns();

	if (!hold || !others_wait(task, now + 2 * STILL_HELD))
		return deny(container, OLL_REASON_MEMORY, entry, -ENOMEM);
	if (!hold->since || hold->generation != container->generation || now - hold->last > STILL_HELD) {
		hold->generation = container->generation;
		hold->since = now;
		hold->called = 0;
	}
	hold->last = now;
	if (now - hold->since > PATIENCE) {
		hold->since = 0;
		others_wait(task, 0);
		return deny(container, OLL_REASON_TRACER, entry, -ETIMEDOUT);
	}
	call_tracer(tracer, hold, task->pid, now);
	return begin_anew(task);
}

static __always_inline int admit(struct oll_container *container, __u32 entries)
{
	struct oll_tracer *tracer = bpf_map_lookup_elem(&tracers, &container->generation);
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 first = first_of(entries);
	struct hold *hold;

	if (!tracer)
		return deny(container, OLL_REASON_NO_TRACER, first, -ESRCH);
	if (!BPF_CORE_READ(task, ptrace))
		return hold_back(task, container, tracer, first);
	if (!traced_by(task, tracer))
		return deny(container, OLL_REASON_TRACER, first, -EPERM);
	hold = bpf_task_storage_get(&holds, task, NULL, 0);
	if (hold) {
		hold->since = 0;
		others_wait(task, 0);
	}
	return 0;
}

/*
 * Here an exec holds the mutex that attaching takes, so nobody is called: what turns out to be a target only now, for
 * an interpreter of it, begins anew and is held where it begins.
 */
static __always_inline int apply(struct linux_binprm *bprm, struct oll_container *container, __u32 entries)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (!BPF_CORE_READ(task, ptrace) && bpf_map_lookup_elem(&tracers, &container->generation))
		return begin_anew(task);
	return admit(container, entries);
}

/* While one thread of a process is held, the others are as well: see STILL_HELD. */
static __always_inline int wait_turn(struct task_struct *task)
{
	struct hold *process;
	__u64 until = 0;

	bpf_rcu_read_lock();
	process = bpf_task_storage_get(&holds, task->group_leader, NULL, 0);
	if (process && process->thread != task->pid)
		until = process->others_wait;
	bpf_rcu_read_unlock();
	if (!until || bpf_ktime_get_boot_ns() > until)
		return 0;
	return begin_anew(task);
}

static __u32 still_owed(__u32 entries)
{
	return entries;
}

static void drop(struct oll_container *container, __u64 cgroup_id, __u64 generation)
{
	bpf_map_delete_elem(&tracers, &generation);
}

static bool is_own_map(struct bpf_map *map)
{
	return IS_MAP(map, tracers) || IS_MAP(map, calls) || IS_MAP(map, holds) || IS_MAP(map, guarded);
}

/*
 * Nobody but its tracer gets at a task that is owed a domain: at its memory, where the calls are that it makes for us,
 * and at its descriptors, among which the rulesets are. Whoever asks holds exec_update_lock, or cannot have the task's
 * new memory and descriptors yet; commit_exec runs with that lock held for writing.
 */
SEC("lsm/ptrace_access_check")
int BPF_PROG(guard_owed, struct task_struct *child, unsigned int mode, int ret)
{
	struct oll_task *own = bpf_task_storage_get(&tasks, child, NULL, 0);
	struct oll_tracer *tracer;
	__u64 generation;
	__u32 place;

	if (ret || !own)
		return ret;
	place = place_of_debt(own);
	if (place >= OLL_MAX_MEMBERSHIPS)
		return 0;
	generation = own->of[place].generation;
	tracer = bpf_map_lookup_elem(&tracers, &generation);
	return tracer && is_tracer(BPF_CORE_READ(bpf_get_current_task_btf(), group_leader), tracer) ? 0 : -EPERM;
}

/*
 * Whoever has a ruleset can add rules to it, for every later target. However its descriptor gets to somebody in a
 * container (a message, pidfd_getfd(2)), it does not, unless that is a target that is about to enforce it.
 */
SEC("lsm/file_receive")
int BPF_PROG(guard_ruleset, struct file *file, int ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 key = (__u64)file, *behind;
	struct oll_task *own;

	if (ret)
		return ret;
	behind = bpf_map_lookup_elem(&guarded, &key);
	if (!behind || *behind != (__u64)BPF_CORE_READ(file, private_data))
		return 0;
	own = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (own && place_of_debt(own) < OLL_MAX_MEMBERSHIPS)
		return 0;
	return in_scope(task) ? -EPERM : 0;
}

SEC("syscall")
int guard(struct oll_guard *ctx)
{
	struct file *file = file_of(ctx->ruleset);
	__u64 key = (__u64)file;
	__u64 behind;

	ctx->error = -EPERM;
	if (!may_administer())
		return 0;
	ctx->error = -EBADF;
	if (!file)
		return 0;
	behind = (__u64)BPF_CORE_READ(file, private_data);
	ctx->error = ctx->release ? bpf_map_delete_elem(&guarded, &key) :
				    bpf_map_update_elem(&guarded, &key, &behind, BPF_ANY);
	return 0;
}

SEC("syscall")
int register_tracer(struct oll_register_tracer *ctx)
{
	struct task_struct *leader = bpf_get_current_task_btf()->group_leader;
	struct oll_tracer tracer = {};
	__u64 generation = ctx->generation;

	ctx->error = -EPERM;
	if (!may_administer())
		return 0;
	tracer.start_time = BPF_CORE_READ(leader, start_boottime);
	tracer.tgid = BPF_CORE_READ(leader, tgid);
	ctx->tgid = tracer.tgid;
	ctx->error = bpf_map_update_elem(&tracers, &generation, &tracer, BPF_ANY);
	return 0;
}

SEC("syscall")
int find_held(struct oll_find_held *ctx)
{
	__u64 generation = ctx->generation;
	struct oll_tracer *tracer = bpf_map_lookup_elem(&tracers, &generation);
	struct task_struct *task;
	struct hold *hold;

	ctx->held = 0;
	ctx->error = -EPERM;
	if (!may_administer())
		return 0;
	ctx->error = 0;
	/* A tracer that has registered since starts from none. */
	if (ctx->taken && tracer && (__s32)__sync_fetch_and_sub(&tracer->calls, 1) <= 0)
		__sync_fetch_and_add(&tracer->calls, 1);
	task = bpf_task_from_pid(ctx->thread);
	if (!task)
		return 0; /* it has ended */
	hold = bpf_task_storage_get(&holds, task, NULL, 0);
	if (hold)
		ctx->held = hold->since && hold->generation == generation &&
			    bpf_ktime_get_boot_ns() - hold->last < STILL_HELD;
	bpf_task_release(task);
	return 0;
}

SEC("syscall")
int debt(struct oll_debt *ctx)
{
	struct oll_container *container;
	struct task_struct *task;
	struct oll_task *own;
	__u32 place;

	ctx->entries = 0;
	ctx->generation = 0;
	ctx->error = -EPERM;
	if (!may_administer())
		return 0;
	task = bpf_task_from_pid(ctx->pid);
	ctx->error = -ESRCH;
	if (!task)
		return 0;
	/* Nobody passes the gate without it. */
	ctx->error = -ENOENT;
	own = bpf_task_storage_get(&tasks, task, NULL, 0);
	if (own) {
		place = place_of_debt(own);
		if (place < OLL_MAX_MEMBERSHIPS) {
			ctx->generation = own->of[place].generation;
			ctx->entries = own->of[place].owed;
			if (ctx->settle) {
				own->of[place].owed = 0;
				container = container_of_member(&own->of[place]);
				if (container)
					__sync_fetch_and_add(&container->applied, 1);
				tell(own->of[place].cgroup_id, ctx->pid, ctx->entries, 0, 0);
			}
		}
		ctx->error = 0;
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

	if (!container || !may_administer())
		return 0;
	tell(id, ctx->pid, 1U << (ctx->entry & 31), ctx->reason, ctx->error);
	note_denial(&container->denied, ctx->reason, ctx->entry, ctx->error);
	container->denied.last.tgid = ctx->pid;
	task = bpf_task_from_pid(ctx->pid);
	if (task) {
		bpf_probe_read_kernel_str(container->denied.last.comm, sizeof(container->denied.last.comm), task->comm);
		bpf_task_release(task);
	}
	return 0;
}
