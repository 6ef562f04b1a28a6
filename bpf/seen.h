/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * What `events` and `learn record` are told by the programs that they bring (watch.bpf.c): both sides are of one build,
 * always.
 */
#ifndef OCI_LANDLOCK_SEEN_H
#define OCI_LANDLOCK_SEEN_H

#include "abi.h"

enum oll_seen_limit {
	OLL_SEEN_RING = 1 << 25, /* bytes: what 20,000 denials take, and more */
};

enum oll_seen_kind {
	OLL_SEEN_CONTAINER = 1, /* struct oll_seen_container */
	OLL_SEEN_APPLIED = 2, /* struct oll_seen, like those that follow */
	OLL_SEEN_FAILED_CLOSED = 3,
	OLL_SEEN_DENIED = 4,
	OLL_SEEN_USED = 5, /* an access; `error`: it was refused; `domain` 0: not seen to begin */
	/* What `events` makes of those: */
	OLL_SEEN_AUDITED = 6, /* audited entries select the task from here on */
	OLL_SEEN_WOULD_DENY = 7,
};

/* What an access needs, or needed that was denied; oll_seen.about. */
enum oll_seen_about {
	OLL_ABOUT_FS = 1, /* `rights`: LANDLOCK_ACCESS_FS_*; `path` */
	OLL_ABOUT_NET = 2, /* LANDLOCK_ACCESS_NET_*; `port` */
	OLL_ABOUT_SCOPE = 3, /* LANDLOCK_SCOPE_* */
	OLL_ABOUT_PTRACE = 4, /* no right is about it, like the next */
	OLL_ABOUT_TOPOLOGY = 5, /* mounts are fixed */
	OLL_ABOUT_MADE = 6, /* `path` came to be; `rights` are those of its directory */
	OLL_ABOUT_OPENED = 7, /* like FS, if the file was opened by who is restricted */
};

struct oll_seen {
	__u32 kind; /* enum oll_seen_kind */
	__u32 entries; /* bit i: entry i has been applied, failed, or restricts the task; or would, if it is audited */
	__u64 time; /* CLOCK_BOOTTIME, nanoseconds */
	__u64 cgroup_id; /* 0: of no container that is there */
	__u64 start_time; /* CLOCK_BOOTTIME, nanoseconds; with the tgid, it names one process for ever */
	__u32 tgid; /* in the initial pid namespace */
	__u32 reason; /* enum oll_reason */
	__s32 error; /* negative errno */
	__u32 about; /* enum oll_seen_about */
	__u64 rights;
	__u64 domain; /* Landlock's id, of an access one of ours; 0: not known */
	__u32 port;
	__u32 exact; /* `rights` are those that are missing; else all that the access needs */
	__u64 generation; /* of the container whose access it is */
	__u32 audited; /* of the container whose entries are applied: the audited ones */
	__u32 reserved;
	char comm[16];
	char path[OLL_PATH_SIZE]; /* from the root of the task's mount namespace; empty: not known */
	char program[OLL_PATH_SIZE]; /* what the task executes, likewise */
};

/* Comes before the first event of a container. */
struct oll_seen_container {
	__u32 kind;
	__u32 audited; /* entries, a bit each */
	__u64 cgroup_id;
	__u64 generation;
	struct oll_record record;
};

/* By cgroup id: what a container has told in the second that began then, and what was left out since it was asked. */
struct oll_share {
	__u64 second; /* CLOCK_BOOTTIME, nanoseconds */
	__u32 told;
	__u32 introduced;
	__u64 lost;
	/* Of accesses, which have a share of their own: what is denied must not go missing for what is allowed. */
	__u64 unjudged;
	__u32 used;
	__u32 round; /* goes up when the container gives a directory another name */
};

#ifdef __cplusplus
#define OLL_ASSERT static_assert
#else
#define OLL_ASSERT _Static_assert
#endif
OLL_ASSERT(sizeof(struct oll_seen) == 104 + 2 * OLL_PATH_SIZE, "layout");
OLL_ASSERT(sizeof(struct oll_seen_container) == 24 + sizeof(struct oll_record), "layout");
OLL_ASSERT(sizeof(struct oll_share) == 40, "layout");
#undef OLL_ASSERT

#endif
