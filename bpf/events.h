/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One event: whose it is, its container's share, its room in the ring, and what is said in it of a task and of a file.
 *
 * Each container has a share of what is told in a second: what one does must not hide what another does.
 */
#ifndef OCI_LANDLOCK_EVENTS_H
#define OCI_LANDLOCK_EVENTS_H

#include "names.h"
#include "seen.h"

#define NSEC_PER_SEC 1000000000ULL

/* How much a container may tell in a second. */
const volatile __u32 share_limit = 1000;
const volatile __u32 use_limit = 1000; /* accesses */

/* Whether accesses of all restricted tasks are told, and which domain each is in; else of audited ones. */
const volatile __u32 learning = 0;

/* What found no room in the ring. */
volatile __u64 lost = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, OLL_SEEN_RING);
} seen SEC(".maps");

/* The reader takes those of containers that are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * OLL_MAX_CONTAINERS);
	__type(key, __u64);
	__type(value, struct oll_share);
} shares SEC(".maps");

/* By task, which restriction is the one that it is in. Those from before the watch began are not known. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} domains SEC(".maps");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct mm_struct {
	struct file *exe_file;
};

struct task_struct___with_mm {
	struct mm_struct *mm;
};

#pragma clang attribute pop

/*
 * Global functions (not static): the verifier looks at each once, and not again at each call, in each state that leads
 * there. There are dozens of programs, and what it takes for them is most of what a start of `events` takes. They get
 * and return numbers, for nothing else that a caller has is known in them; so kernel addresses are read, not followed.
 */

#define EVERY_ENTRY (~(__u32)0)

/* What a global function can be given in a pointer's place. */
static __always_inline __u64 address_of(const void *pointer)
{
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &pointer);
	return address;
}

static __always_inline void count_lost(void)
{
	__sync_fetch_and_add(&lost, 1);
}

static __always_inline struct oll_share *share_of(__u64 cgroup_id)
{
	struct oll_share *share = bpf_map_lookup_elem(&shares, &cgroup_id);
	struct oll_share none = {};

	if (share)
		return share;
	bpf_map_update_elem(&shares, &cgroup_id, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&shares, &cgroup_id);
}

/* So that the reader knows the container, also when it has gone by the time that the reader looks. */
static __always_inline void introduce(__u64 cgroup_id, struct oll_share *share)
{
	struct oll_container *container;
	struct oll_seen_container *told;

	if (!cgroup_id || share->introduced)
		return;
	container = bpf_map_lookup_elem(&containers, &cgroup_id);
	if (!container)
		return;
	told = bpf_ringbuf_reserve(&seen, sizeof(*told), 0);
	if (!told)
		return;
	told->kind = OLL_SEEN_CONTAINER;
	told->audited = container->audited;
	told->cgroup_id = cgroup_id;
	told->generation = container->generation;
	bpf_probe_read_kernel(&told->record, sizeof(told->record), &container->record);
	bpf_ringbuf_submit(told, 0);
	share->introduced = 1;
}

/* Whether the container still has a share of this second; if not, that is counted. */
__noinline int admitted(__u64 cgroup_id, __u32 kind, __u64 now)
{
	struct oll_share *share = share_of(cgroup_id);

	if (!share) {
		count_lost();
		return 0;
	}
	/* Two processors at once may both begin a second; a few more are told then. */
	if (now - share->second >= NSEC_PER_SEC) {
		share->second = now;
		share->told = 0;
		share->used = 0;
	}
	if (kind == OLL_SEEN_USED && __sync_fetch_and_add(&share->used, 1) >= use_limit) {
		__sync_fetch_and_add(&share->unjudged, 1);
		return 0;
	}
	if (kind != OLL_SEEN_USED && __sync_fetch_and_add(&share->told, 1) >= share_limit) {
		__sync_fetch_and_add(&share->lost, 1);
		return 0;
	}
	introduce(cgroup_id, share);
	return 1;
}

/* Room for one event, which must be submitted; or NULL: it is counted as lost. */
static __always_inline struct oll_seen *begin(__u64 cgroup_id, __u32 kind)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct oll_seen *event;

	if (!admitted(cgroup_id, kind, now))
		return NULL;
	event = bpf_ringbuf_reserve(&seen, sizeof(*event), 0);
	if (!event) {
		count_lost();
		return NULL;
	}
	event->kind = kind;
	event->time = now;
	event->cgroup_id = cgroup_id;
	event->entries = 0;
	event->reason = 0;
	event->error = 0;
	event->about = 0;
	event->rights = 0;
	event->domain = 0;
	event->port = 0;
	event->exact = 0;
	event->generation = 0;
	event->audited = 0;
	event->path[0] = 0;
	event->program[0] = 0;
	return event;
}

/* The room for names is given back at once: it is taken for whatever number of tasks a container has. */
static __always_inline void end(struct oll_seen *event)
{
	bpf_ringbuf_submit(event, 0);
	bpf_task_storage_delete(&scratch, bpf_get_current_task_btf());
}

/* Takes down a file's name, in names.of[NAME_FROM_ROOT]; an empty one where there is none. 0, or -ENOMEM. */
__noinline int take_name(__u64 mount, __u64 dentry)
{
	struct names *names =
		bpf_task_storage_get(&scratch, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	char *name;

	if (!names)
		return -ENOMEM;
	name = names->of[NAME_FROM_ROOT].text;
	name[0] = 0;
	if (name_from_root((struct vfsmount *)mount, (struct dentry *)dentry, names) && !name[0]) {
		name[0] = '/'; /* the top itself */
		name[1] = 0;
	}
	return 0;
}

static __always_inline void copy_name(char *to, struct vfsmount *mount, struct dentry *dentry)
{
	int error = take_name(address_of(mount), address_of(dentry));
	struct names *names = own_names();

	to[0] = 0;
	if (!error && names)
		bpf_probe_read_kernel_str(to, OLL_PATH_SIZE, names->of[NAME_FROM_ROOT].text);
}

static __always_inline void about_task(struct oll_seen *event, struct task_struct *task)
{
	struct file *exe = BPF_CORE_READ((struct task_struct___with_mm *)task, mm, exe_file);

	event->tgid = BPF_CORE_READ(task, tgid);
	event->start_time = BPF_CORE_READ(task, group_leader, start_boottime);
	bpf_probe_read_kernel_str(event->comm, sizeof(event->comm), task->comm);
	if (exe)
		copy_name(event->program, BPF_CORE_READ(exe, f_path.mnt), BPF_CORE_READ(exe, f_path.dentry));
}

/*
 * Which membership of the current task is the last that it has entered of those with an entry applied that enforces, of
 * these `enforced`, or is audited, of these `audited`, a bit each; -1: none is.
 */
__noinline int last_with(__u32 enforced, __u32 audited)
{
	struct oll_task *own = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), NULL, 0);
	int i;

	for (i = OLL_MAX_MEMBERSHIPS - 1; own && i >= 0; i--) {
		struct oll_membership *member = &own->of[i];
		__u32 entries = member->applied & ~member->owed;

		if (member->generation && (entries & ((enforced & ~member->audited) | (audited & member->audited))))
			return i;
	}
	return -1;
}

static __always_inline struct oll_membership *membership(int place)
{
	struct oll_task *own;

	if (place < 0 || place >= OLL_MAX_MEMBERSHIPS)
		return NULL;
	own = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), NULL, 0);
	return own ? &own->of[place] : NULL;
}

static __always_inline struct oll_membership *restricts(void)
{
	return membership(last_with(EVERY_ENTRY, 0));
}

#endif
