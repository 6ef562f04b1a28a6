/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * What the BPF programs and the C++ side share, and nothing else. Both sides compile this file; sizes are asserted at
 * the end. Bump OLL_ABI_VERSION with every change of meaning or layout: a node that was loaded by another version is
 * refused, never mixed.
 */
#ifndef OCI_LANDLOCK_ABI_H
#define OCI_LANDLOCK_ABI_H

#ifndef OLL_KERNEL_SIDE
#include <linux/types.h>
#endif

#ifndef OLL_ABI_VERSION /* the tests build a program with another one */
#define OLL_ABI_VERSION 8
#endif

enum oll_limit {
	OLL_MAX_SLOTS = 65536,
	OLL_MAX_CONTAINERS = 16384,
	OLL_MAX_ENTRIES = 16,
	OLL_NO_ENTRY = OLL_MAX_ENTRIES, /* in the place of one */
	OLL_MAX_LAYERS = 16,
	OLL_MAX_PROGRAMS = 128, /* a path and what it resolves to count apart */
	OLL_MAX_MEMBERSHIPS = 4, /* containers that one task can belong to, one inside the other */
	OLL_MAX_CGROUP_LEVEL = 24, /* of a container's own cgroup; what it makes beneath does not count */
	OLL_PATH_SIZE = 512, /* of a program's path, with its NUL */
	OLL_ID_SIZE = 256,
	OLL_ABOUT_SIZE = 512,
	OLL_REPORT_SIZE = 2048,
	OLL_MAX_CALLS = 4, /* of one container in the ring at a time, so that there is room for everybody's */
	OLL_RING_SIZE = 1 << 21, /* bytes: that many of each container; one takes 8 more than its size */
	OLL_DIGEST_SIZE = 32,
};

enum oll_applier {
	OLL_APPLIER_KFUNC = 1,
	OLL_APPLIER_INJECT = 2,
};

enum oll_selector {
	OLL_SELECT_ENTRYPOINT = 0, /* the init's first exec inside the container */
	OLL_SELECT_PROGRAM = 1, /* execs of the listed programs */
	OLL_SELECT_EXCEPT = 2, /* execs of all but the listed programs */
	OLL_SELECT_COUNT = 3,
};

/* In the place of audited entries: each that the container has, so that nothing of it is enforced. */
#define OLL_ALL_AUDITED (~0U)

/* LANDLOCK_RESTRICT_SELF_NO_NEW_PRIVS, the value that Linux 7.3 gave it; the bridge uses the same. */
#define OLL_RESTRICT_NO_NEW_PRIVS (1U << 4)

/* How a task came into the container. */
enum oll_origin {
	OLL_ORIGIN_NONE = 0, /* it has not run anything inside the container yet */
	OLL_ORIGIN_INIT_PENDING = 1, /* the init, before its first exec inside the container */
	OLL_ORIGIN_INIT = 2, /* the init and what descends from it */
	OLL_ORIGIN_SESSION = 3, /* brought in from outside (runc exec, podman exec), and what descends from it */
	OLL_ORIGIN_HOOK = 4, /* started by the init before its first exec: a hook of the bundle */
};

/* One ruleset of one entry. Applied in array order. */
struct oll_layer {
	__u64 generation; /* the slot must still have it */
	__u32 slot;
	__u32 entry; /* its bit in the masks of oll_container */
	__u32 restrict_flags;
	__u32 reserved;
};

/* Why an exec was denied; oll_denial.reason. */
enum oll_reason {
	OLL_REASON_NONE = 0,
	OLL_REASON_SLOT = 1, /* the slot is empty or holds another generation */
	OLL_REASON_RESTRICT = 2, /* the kernel refused the domain; oll_denial.error says why */
	OLL_REASON_MEMORY = 3,
	OLL_REASON_TRACER = 4, /* the container's tracer does not trace the task, or there is none */
	OLL_REASON_INJECTION = 5, /* the program could not be made to restrict itself, and was killed */
	OLL_REASON_OWED = 6, /* the task has not got the domain of its last exec yet */
	OLL_REASON_GONE = 7, /* a container that the task belongs to has no entry any more */
	OLL_REASON_MEMBERSHIPS = 8, /* the task would belong to more than OLL_MAX_MEMBERSHIPS containers */
	OLL_REASON_PROGRAMS = 9, /* a program that the container lists is missing from the map */
	OLL_REASON_NAMESPACE = 10, /* the init is in the mount namespace of another container */
	OLL_REASON_NO_TRACER = 11, /* nobody holds the container's rulesets any more */
	OLL_REASON_REPLACES = 12, /* the exec needs several layers, and this kernel would keep the last one only */
};

/* An exec that was denied. Times: CLOCK_BOOTTIME, nanoseconds. */
struct oll_denial {
	__u64 time;
	__u32 tgid; /* in the initial pid namespace */
	__u32 reason;
	__s32 error; /* negative errno */
	__u32 entry; /* the first of those that it was denied for, or OLL_NO_ENTRY */
	char comm[16];
};

struct oll_denials {
	__u64 count; /* execs that were denied because they could not get their domain */
	struct oll_denial last;
};

/* For people and for the hook; the selector does not decide by it. */
struct oll_record {
	__u64 created; /* CLOCK_REALTIME, seconds */
	__u8 digest[OLL_DIGEST_SIZE]; /* of all that the entry was made from */
	char container_id[OLL_ID_SIZE];
	char about[OLL_ABOUT_SIZE]; /* JSON: what people call the container, and the digests of its documents */
	char report[OLL_REPORT_SIZE]; /* JSON: what `status` shows about the entries */
};

/*
 * A container, by the id of its cgroup. Written once by the hook, before the init may run; afterwards only the selector
 * changes it (mount_ns, and from `started` on).
 */
struct oll_container {
	__u64 generation; /* never 0, never used twice while the node is loaded */
	__u64 cgroup_id;
	__u64 hook_mount_ns; /* unique ids, not inode numbers */
	__u64 host_mount_ns;
	__u64 mount_ns; /* where the init did its first exec; 0: not yet, and then the next two as well */
	__u64 init_start_time; /* CLOCK_BOOTTIME, nanoseconds; with the tgid, it names one process for ever */
	__u32 init_tgid; /* in the initial pid namespace */
	__u32 audited; /* entries of which nothing is applied, a bit each, or OLL_ALL_AUDITED */
	__u32 selected_by[OLL_SELECT_COUNT]; /* entries with each selector, a bit each */
	__u32 sessions; /* entries that exec sessions are targets of, likewise */
	__u32 layer_count;
	__u32 program_count;
	struct oll_layer layers[OLL_MAX_LAYERS];
	__u32 started; /* the init has done its first exec inside the container */
	__u32 reserved2;
	__u64 applied; /* execs that got a domain */
	struct oll_denials denied;
	struct oll_record record;
};

/* Which container a mount namespace is. */
struct oll_place {
	__u64 generation;
	__u64 cgroup_id;
};

/* A file, wherever it is reached from, and what changes when somebody writes to it. */
struct oll_file_id {
	__u64 inode;
	__u32 device; /* of the superblock, as the kernel encodes it */
	__u32 inode_generation;
	__u64 size;
	__s64 changed; /* ctime */
	__u32 changed_nsec;
	__u32 reserved;
};

struct oll_program_key {
	__u64 generation; /* of the container */
	__u64 index;
};

struct oll_program {
	__u64 generation;
	__u32 entries; /* bit i: listed by entry i */
	__u32 has_file;
	struct oll_file_id file;
	char path[OLL_PATH_SIZE]; /* from the container's root; NUL-padded */
};

/* A container that a task belongs to. */
struct oll_membership {
	__u64 generation; /* 0: none */
	__u64 cgroup_id;
	__u32 origin; /* enum oll_origin */
	__u32 applied; /* bit i: entry i restricts this task; or would, if it is an audited one */
	__u32 staged_origin; /* of the exec under way; takes effect when it succeeds */
	__u32 staged; /* likewise, for `applied` */
	__u32 owed; /* bit i: the tracer must still apply entry i; until then the task may not fork or execute */
	__u32 foreseen; /* bit i: an exec that begins anew has come to be a target of entry i */
	__u32 audited; /* the container's, which does not change */
	__u32 reserved;
};

/* A task's line of descent: task-local storage, inherited at fork. In the order of entering. */
struct oll_task {
	struct oll_membership of[OLL_MAX_MEMBERSHIPS];
	__u32 exec_under_way;
	__u32 exec_layers; /* that it has been given (kfunc applier, where the kernel does not stack them) */
};

/* Who may let targets of a container pass (inject applier). */
struct oll_tracer {
	__u64 start_time; /* CLOCK_BOOTTIME, nanoseconds; with the tgid, it names one process for ever */
	__u32 tgid; /* in the initial pid namespace */
	__u32 calls; /* of its container that are in the ring; OLL_MAX_CALLS at most */
};

/* In the ring `calls`: a thread wants to execute a target, and waits until its container's tracer has attached. */
struct oll_call {
	__u64 generation; /* of the container */
	__u32 thread; /* in the initial pid namespace */
	__u32 reserved;
};

/* The single element of the map `node`; written last when a node is loaded. */
struct oll_node {
	__u32 abi_version;
	__u32 applier; /* enum oll_applier */
	__u64 next_generation;
	__u32 slot_hint;
	__u32 stacks; /* kfunc applier: what one exec is given stacks; 0: the last one would replace the others */
	char version[32];
};

/*
 * Contexts of the syscall programs, which the hook (under the node's lock) and the tracers run in their own descriptor
 * tables. `error`: 0 or a negative errno.
 */

/* `hand_over`: puts one ruleset into a free slot. */
struct oll_hand_over {
	__u64 generation; /* of the container */
	__u64 cgroup_id;
	__s32 ruleset; /* descriptor */
	__u32 slot; /* out */
	__s64 error; /* -ENOSPC: no slot is free; nothing is held then */
};

/* `take_ruleset`: with this one the caller's next exec is tried (kfunc applier, at load). */
struct oll_take_ruleset {
	__s32 ruleset; /* descriptor */
	__u32 reserved;
};

/* `revoke`: empties a slot, if it still has that generation. */
struct oll_revoke {
	__u64 generation;
	__u32 slot;
	__u32 reserved;
};

/* `identify`: what the selector will see of a file. */
struct oll_identify {
	__s32 file; /* descriptor */
	__s32 error; /* out */
	struct oll_file_id id; /* out */
};

/* `survey`: where a container to be is, as the kernel sees it. */
struct oll_survey {
	__u64 cgroup_id;
	__s32 mount_namespace; /* descriptor of its init's namespace, /proc/PID/ns/mnt */
	__s32 error; /* out */
	__u64 container_mount_ns; /* out: its id, that of the caller's, and that of the host's pid 1 */
	__u64 own_mount_ns;
	__u64 host_mount_ns;
	__u32 cgroup_level; /* out: from the true root */
	__u32 reserved;
};

/* `look_for_init`: whether the container's init lives. */
struct oll_look_for_init {
	__u64 start_time;
	__u32 tgid;
	__u32 alive; /* out */
};

/* `register_tracer`: the caller is the tracer of this container from now on. */
struct oll_register_tracer {
	__u64 generation; /* of the container */
	__u32 tgid; /* out: the caller's, in the initial pid namespace */
	__s32 error; /* out */
};

/* `find_held`: is this thread on its way into a target, and does it wait for its tracer? */
struct oll_find_held {
	__u64 generation; /* of its container */
	__u32 thread; /* in the initial pid namespace */
	__u32 taken; /* its call was taken out of the ring */
	__u32 held; /* out */
	__s32 error; /* out; 0: `held` is so */
};

/* `debt`: what a task that has just executed something is owed. */
struct oll_debt {
	__u64 generation; /* out: of its container */
	__u32 pid; /* in the initial pid namespace */
	__u32 settle; /* it has it now, or is to die */
	__u32 entries; /* out: a bit each */
	__s32 error; /* out; 0: `entries` is so */
};

/* `guard`: nobody in a container may receive this ruleset, but a target that is about to enforce it. */
struct oll_guard {
	__s32 ruleset; /* descriptor of the caller */
	__u32 release; /* the ruleset is about to be closed */
	__s32 error; /* out */
	__u32 reserved;
};

/* `report_failure`: the caller has killed a program that it could not restrict. */
struct oll_report_failure {
	__u64 cgroup_id;
	__u32 pid;
	__s32 error; /* negative errno */
	__u32 entry;
	__u32 reason; /* enum oll_reason */
};

/* In the place of a slot's generation: whoever put it there frees the slot. */
#define OLL_SLOT_EMPTYING (~0ULL)

/* What user space sees of a slot; the ruleset itself is never shown. */
struct oll_slot_view {
	__u64 generation; /* 0: free */
	__u64 cgroup_id;
	__u64 ruleset;
	__u64 timer[2];
};

#ifdef __cplusplus
#define OLL_ASSERT static_assert
#else
#define OLL_ASSERT _Static_assert
#endif
OLL_ASSERT(sizeof(struct oll_layer) == 24, "layout");
OLL_ASSERT(sizeof(struct oll_denial) == 40, "layout");
OLL_ASSERT(sizeof(struct oll_denials) == 48, "layout");
OLL_ASSERT(sizeof(struct oll_record) == 8 + OLL_DIGEST_SIZE + OLL_ID_SIZE + OLL_ABOUT_SIZE +
						OLL_REPORT_SIZE, "layout");
OLL_ASSERT(sizeof(struct oll_container) == 80 + 24 * OLL_MAX_LAYERS + 16 + sizeof(struct oll_denials) +
						   sizeof(struct oll_record), "layout");
OLL_ASSERT(sizeof(struct oll_place) == 16, "layout");
OLL_ASSERT(sizeof(struct oll_file_id) == 40, "layout");
OLL_ASSERT(sizeof(struct oll_program_key) == 16, "layout");
OLL_ASSERT(sizeof(struct oll_program) == 56 + OLL_PATH_SIZE, "layout");
OLL_ASSERT(sizeof(struct oll_membership) == 48, "layout");
OLL_ASSERT(sizeof(struct oll_task) == 8 + 48 * OLL_MAX_MEMBERSHIPS, "layout");
OLL_ASSERT(sizeof(struct oll_node) == 56, "layout");
OLL_ASSERT(sizeof(struct oll_hand_over) == 32, "layout");
OLL_ASSERT(sizeof(struct oll_take_ruleset) == 8, "layout");
OLL_ASSERT(sizeof(struct oll_revoke) == 16, "layout");
OLL_ASSERT(sizeof(struct oll_identify) == 48, "layout");
OLL_ASSERT(sizeof(struct oll_survey) == 48, "layout");
OLL_ASSERT(sizeof(struct oll_look_for_init) == 16, "layout");
OLL_ASSERT(sizeof(struct oll_tracer) == 16, "layout");
OLL_ASSERT(sizeof(struct oll_register_tracer) == 16, "layout");
OLL_ASSERT(sizeof(struct oll_call) == 16, "layout");
OLL_ASSERT((sizeof(struct oll_call) + 8) * OLL_MAX_CALLS * OLL_MAX_CONTAINERS <= OLL_RING_SIZE, "room");
OLL_ASSERT(sizeof(struct oll_find_held) == 24, "layout");
OLL_ASSERT(sizeof(struct oll_debt) == 24, "layout");
OLL_ASSERT(sizeof(struct oll_guard) == 16, "layout");
OLL_ASSERT(sizeof(struct oll_report_failure) == 24, "layout");
OLL_ASSERT(sizeof(struct oll_slot_view) == 40, "layout");
#undef OLL_ASSERT

#endif
