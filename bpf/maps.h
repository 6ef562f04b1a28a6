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
 * Which cgroups have an entry. Decides that a cgroup is in scope: its lookup cannot fail spuriously, whereas cgroup
 * storage could not be read on older kernels while the same CPU was busy with it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OLL_MAX_CONTAINERS);
	__type(key, __u64);
	__type(value, struct oll_record);
} records SEC(".maps");

/* What the entry says. Lives and dies with the cgroup, so that it cannot be another container's. */
struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct oll_container);
} containers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4 * OLL_MAX_CONTAINERS);
	__type(key, struct oll_program_key);
	__type(value, struct oll_program);
} programs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct oll_task);
} tasks SEC(".maps");

#endif
