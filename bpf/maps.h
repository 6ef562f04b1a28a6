/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Everything that is kept on the node, pinned by name under /sys/fs/bpf/oci-landlock. */
#ifndef OCI_LANDLOCK_MAPS_H
#define OCI_LANDLOCK_MAPS_H

#include "kernel.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct oll_node);
} node SEC(".maps");

/*
 * By cgroup id, which is never used twice: what is in here is in scope. Not cgroup storage, whose lookup fails while
 * the same CPU is busy with it (Linux 6.8 to 6.13, where the kernel is preemptible); this one cannot fail.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OLL_MAX_CONTAINERS);
	__type(key, __u64);
	__type(value, struct oll_container);
} containers SEC(".maps");

/* By id of the mount namespace, never used twice either: the container whose init started there. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OLL_MAX_CONTAINERS);
	__type(key, __u64);
	__type(value, struct oll_place);
} namespaces SEC(".maps");

/* Room for each container's own: nobody can take another's. Empty, it takes 16 bytes an element. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OLL_MAX_CONTAINERS * OLL_MAX_PROGRAMS);
	__type(key, struct oll_program_key);
	__type(value, struct oll_program);
} programs SEC(".maps");

/* Execs that were denied where there is no container to count them for. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct oll_denials);
} strays SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct oll_task);
} tasks SEC(".maps");

#endif
