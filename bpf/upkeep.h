/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is not selecting, and the same with every applier: cleaning up, and what the hook asks. */
#ifndef OCI_LANDLOCK_UPKEEP_H
#define OCI_LANDLOCK_UPKEEP_H

#include "selector.h"

#define IS_MAP(map, name) ((map) == (struct bpf_map *)&(name))

/* Is it one of those that only this applier has? */
static bool is_own_map(struct bpf_map *map);

/*
 * What is pinned is for who may load BPF programs. File modes alone would let in whoever has the user id of the host's
 * root, such as a container without any capability that has bpffs mounted, read-only or not.
 */
static __always_inline bool may_administer(void)
{
	const struct cred *cred = BPF_CORE_READ(bpf_get_current_task_btf(), cred);

	return BPF_CORE_READ(cred, user_ns, level) == 0 &&
	       (BPF_CORE_READ(cred, cap_effective.val) & (1ULL << CAP_BPF | 1ULL << CAP_SYS_ADMIN));
}

SEC("lsm/bpf_map")
int BPF_PROG(guard_map, struct bpf_map *map, unsigned int mode, int ret)
{
	if (ret || may_administer())
		return ret;
	if (IS_MAP(map, node) || IS_MAP(map, containers) || IS_MAP(map, namespaces) || IS_MAP(map, programs) ||
	    IS_MAP(map, strays) || IS_MAP(map, tasks) || IS_MAP(map, scratch) || IS_MAP(map, rooms) || is_own_map(map))
		return -EPERM;
	return 0;
}

/* Now, and from memory that others write. */
#define READ_ONCE(field) (*(volatile typeof(field) *)&(field))

static __always_inline bool is_alive(__u32 tgid, __u64 start_time)
{
	struct task_struct *task = tgid ? bpf_task_from_pid(tgid) : NULL;
	bool alive;

	if (!task)
		return false;
	/* Its first thread may have ended before others. */
	alive = BPF_CORE_READ(task, start_boottime) == start_time && BPF_CORE_READ(task, signal, live.counter) > 0;
	bpf_task_release(task);
	return alive;
}

/*
 * A cgroup is gone, and with it its container: nothing of it stays, whether or not a poststop hook ever runs. But not
 * while the init lives: it has left its cgroup and removed it, and there can be sessions. A hierarchy of v1 has ids of
 * its own, which may be those of containers' cgroups.
 */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(forget, struct cgroup *cgroup, const char *path)
{
	__u64 id = BPF_CORE_READ(cgroup, kn, id);
	struct oll_container *container = bpf_map_lookup_elem(&containers, &id);
	__u64 generation, mount_ns;
	__u32 i, program_count;

	if (BPF_CORE_READ(cgroup, root, hierarchy_id))
		return 0;
	if (!container || is_alive(container->init_tgid, container->init_start_time))
		return 0;
	/*
	 * A poststop hook may be at it, too, and the memory another container's as soon as it is through. What was read
	 * while the entry was still there is this one's.
	 */
	generation = READ_ONCE(container->generation);
	mount_ns = READ_ONCE(container->mount_ns);
	program_count = READ_ONCE(container->program_count);
	if (bpf_map_lookup_elem(&containers, &id) != container)
		return 0;
	drop(container, id, generation);
	for (i = 0; i < OLL_MAX_PROGRAMS; i++) {
		struct oll_program_key key = { .generation = generation, .index = i };

		if (i >= program_count)
			break;
		bpf_map_delete_elem(&programs, &key);
	}
	if (mount_ns)
		bpf_map_delete_elem(&namespaces, &mount_ns);
	bpf_map_delete_elem(&containers, &id);
	return 0;
}

SEC("syscall")
int look_for_init(struct oll_look_for_init *ctx)
{
	ctx->alive = is_alive(ctx->tgid, ctx->start_time);
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

	ctx->error = -EBADF;
	if (!file)
		return 0;
	id = file_id(file);
	ctx->id.inode = id.inode;
	ctx->id.device = id.device;
	ctx->id.inode_generation = id.inode_generation;
	ctx->id.size = id.size;
	ctx->id.changed = id.changed;
	ctx->id.changed_nsec = id.changed_nsec;
	ctx->error = 0;
	return 0;
}

SEC("syscall")
int survey(struct oll_survey *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pid_namespace *ns = BPF_CORE_READ(task, nsproxy, pid_ns_for_children);
	struct file *file = file_of(ctx->mount_namespace);
	struct cgroup *cgroup;
	void *common;
	int i;

	ctx->error = -EBADF;
	if (!file)
		return 0;
	common = BPF_CORE_READ(file, f_inode, i_private);
	ctx->container_mount_ns = id_of_mount_ns(common - bpf_core_field_offset(struct mnt_namespace, ns));
	for (i = 0; i < 33 && BPF_CORE_READ(ns, level) > 0; i++) /* MAX_PID_NS_LEVEL is 32 */
		ns = BPF_CORE_READ(ns, parent);
	ctx->own_mount_ns = mount_ns_id(task);
	ctx->host_mount_ns = mount_ns_id(BPF_CORE_READ(ns, child_reaper));
	ctx->error = -ENOENT;
	cgroup = bpf_cgroup_from_id(ctx->cgroup_id);
	if (!cgroup)
		return 0;
	ctx->cgroup_level = BPF_CORE_READ(cgroup, level);
	bpf_cgroup_release(cgroup);
	if (common && ctx->container_mount_ns && ctx->own_mount_ns && ctx->host_mount_ns)
		ctx->error = 0;
	return 0;
}

#endif
