/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is not selecting, and the same with every applier: cleaning up, and what the hook asks. */
#ifndef OCI_LANDLOCK_UPKEEP_H
#define OCI_LANDLOCK_UPKEEP_H

#include "selector.h"

/* A cgroup is gone, and with it its container: nothing of it stays, whether or not a poststop hook ever runs. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(forget, struct cgroup *cgroup, const char *path)
{
	struct oll_container *container = bpf_cgrp_storage_get(&containers, cgroup, NULL, 0);
	__u32 i;

	if (!container)
		return 0;
	bpf_map_delete_elem(&records, &container->cgroup_id);
	drop(container);
	for (i = 0; i < OLL_MAX_PROGRAMS; i++) {
		struct oll_program_key key = { .generation = container->generation, .index = i };

		if (i >= container->program_count)
			break;
		bpf_map_delete_elem(&programs, &key);
	}
	return 0;
}

/* Behind a descriptor of the caller; NULL: not open. Its fields can be read, no more. */
static __always_inline struct file *file_of(__s32 fd)
{
	struct fdtable *table = BPF_CORE_READ(bpf_get_current_task_btf(), files, fdt);
	struct file **files = BPF_CORE_READ(table, fd);
	struct file *file = NULL;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(&file, sizeof(file), files + fd))
		return NULL;
	return file;
}

SEC("syscall")
int identify(struct oll_identify *ctx)
{
	struct file *file = file_of(ctx->file);
	struct oll_file_id id;

	if (!file)
		return 0;
	id = file_id(file);
	ctx->id.inode = id.inode;
	ctx->id.device = id.device;
	ctx->id.inode_generation = id.inode_generation;
	return 0;
}

SEC("syscall")
int mount_namespaces(struct oll_mount_namespaces *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pid_namespace *ns = BPF_CORE_READ(task, nsproxy, pid_ns_for_children);
	int i;

	for (i = 0; i < 33 && BPF_CORE_READ(ns, level) > 0; i++) /* MAX_PID_NS_LEVEL is 32 */
		ns = BPF_CORE_READ(ns, parent);
	ctx->own = mount_ns_id(task);
	ctx->host = mount_ns_id(BPF_CORE_READ(ns, child_reaper));
	return 0;
}

#endif
