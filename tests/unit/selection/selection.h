/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The selector (bpf/selector.h, bpf/membership.h, bpf/match.h) as an ordinary program: the same source, with tables for
 * the maps and a few structs for the kernel. What needs a kernel, such as relocations, the verifier and locking, is not
 * tested here.
 */
#ifndef SELECTION_H
#define SELECTION_H

#include "bpf/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
	SELECTION_TASKS = 16,
	SELECTION_CONTAINERS = 8,
	SELECTION_FILES = 4,
};

/* Forgets everything. */
void selection_reset(void);

/* An entry for that cgroup; the rest is the caller's to fill in. */
struct oll_container *selection_add(__u64 cgroup, __u64 generation);
void selection_remove(__u64 cgroup);
void selection_list(__u64 generation, __u64 index, const struct oll_program *program);

/* Its own cgroup is the last one; the root's is not among them. */
void selection_place(int task, __u64 mount_ns, const __u64 *cgroups, int count);
/* As the hook does. */
void selection_mark_init(int task, __u64 cgroup, __u64 generation);
/* 0, or why there is no child. */
int selection_fork(int parent, int child);

struct selection_file {
	const char *path; /* from the root of the mount namespace */
	const char *seen; /* from the root of the task */
	unsigned long inode;
	long long size;
};

/* As the hook sees it. */
struct oll_file_id selection_identify(const struct selection_file *file);

/* The file that is named, and the interpreters, one after the other. */
struct selection_exec {
	const char *given;
	struct selection_file files[SELECTION_FILES];
	int count;
	int fails; /* after everything has been decided */
};

/* 0, or why it is denied. */
int selection_run(int task, const struct selection_exec *exec);

/* Another task has been interrupted with names in the processor's room, or goes on. */
void selection_interrupt(int in_use);
/* Whether what execs took room in is as it was before them. */
int selection_room_is_left(int in_use);

/* What a task is in a container; of none, if it does not belong to it. */
struct oll_membership selection_member(int task, __u64 generation);

/* Which entries of a container the last exec got. */
__u32 selection_applied(__u64 generation);

#ifdef __cplusplus
}
#endif

#endif
