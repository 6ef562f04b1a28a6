/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is the file that is executed one of the programs that a container's entries list?
 *
 * Three names are compared: the one given to execve(2), the one that the task sees from its own root, and the one
 * from the root of its mount namespace (a chroot does not change that one). And the file itself, so that hard links
 * and bind mounts match as well.
 */
#ifndef OCI_LANDLOCK_MATCH_H
#define OCI_LANDLOCK_MATCH_H

#include "maps.h"

enum {
	MAX_NAME = 255, /* NAME_MAX */
	MAX_DEPTH = 96, /* path components plus mounts on the way up; a deeper file has no name from the root */
	PATH_WORDS = OLL_PATH_SIZE / 8,
};

enum {
	NAME_GIVEN,
	NAME_SEEN,
	NAME_FROM_ROOT,
	NAME_COUNT,
};

/* NUL-padded names. Too big for the stack, and a sleepable program must not keep them per CPU. */
struct names {
	char of[NAME_COUNT][OLL_PATH_SIZE];
	char raw[OLL_PATH_SIZE + MAX_NAME + 1];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct names);
} scratch SEC(".maps");

struct match {
	__u64 generation;
	struct oll_file_id file;
	__u32 named; /* bit i: entry i lists the program, by any of its names or by the file */
	__u32 surely; /* bit i: entry i lists it by name from the root *and* by the file */
};

static __always_inline struct oll_file_id file_id(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct oll_file_id id = {
		.inode = BPF_CORE_READ(inode, i_ino),
		.device = BPF_CORE_READ(inode, i_sb, s_dev),
		.inode_generation = BPF_CORE_READ(inode, i_generation),
	};

	return id;
}

/* Like d_path, but up to the root of the mount namespace whatever the task's own root is. */
static __noinline int name_from_root(struct file *file, struct names *names)
{
	struct dentry *dentry;
	struct vfsmount *vfsmount;
	struct mount *mount;
	__u32 pos = OLL_PATH_SIZE - 1;
	int i;

	if (!file || !names)
		return -EINVAL;
	dentry = BPF_CORE_READ(file, f_path.dentry);
	vfsmount = BPF_CORE_READ(file, f_path.mnt);
	mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
	names->raw[OLL_PATH_SIZE - 1] = 0;
	for (i = 0; i < MAX_DEPTH; i++) {
		struct dentry *parent = BPF_CORE_READ(dentry, d_parent);

		if (dentry == BPF_CORE_READ(mount, mnt.mnt_root)) {
			struct mount *above = BPF_CORE_READ(mount, mnt_parent);

			if (above == mount) /* the top of the namespace */
				return bpf_probe_read_kernel_str(names->of[NAME_FROM_ROOT], OLL_PATH_SIZE,
								 &names->raw[pos & (OLL_PATH_SIZE - 1)]);
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = above;
		} else if (parent == dentry) { /* outside of any mount */
			return -ENOENT;
		} else {
			__u32 length = BPF_CORE_READ(dentry, d_name.len);
			const unsigned char *text = BPF_CORE_READ(dentry, d_name.name);

			if (length > MAX_NAME || length + 1 > pos)
				return -ENAMETOOLONG;
			pos -= length;
			if (bpf_probe_read_kernel(&names->raw[pos & (OLL_PATH_SIZE - 1)], length & MAX_NAME, text))
				return -EFAULT;
			pos -= 1;
			names->raw[pos & (OLL_PATH_SIZE - 1)] = '/';
			dentry = parent;
		}
	}
	return -ENAMETOOLONG;
}

static __noinline int same_name(const char *left, const char *right)
{
	const __u64 *a = (const __u64 *)left;
	const __u64 *b = (const __u64 *)right;
	int i;

	for (i = 0; i < PATH_WORDS; i++) {
		if (a[i] != b[i])
			return 0;
	}
	return 1;
}

static long match_program(__u64 index, struct match *match)
{
	struct oll_program_key key = { .generation = match->generation, .index = index };
	struct oll_program *program = bpf_map_lookup_elem(&programs, &key);
	struct names *names = bpf_task_storage_get(&scratch, bpf_get_current_task_btf(), NULL, 0);
	bool same_file, from_root;

	if (!program || !names)
		return 0;
	same_file = program->has_file && program->file.inode == match->file.inode &&
		    program->file.device == match->file.device &&
		    program->file.inode_generation == match->file.inode_generation;
	from_root = same_name(program->path, names->of[NAME_FROM_ROOT]);
	if (same_file && from_root)
		match->surely |= program->entries;
	if (same_file || from_root || same_name(program->path, names->of[NAME_GIVEN]) ||
	    same_name(program->path, names->of[NAME_SEEN]))
		match->named |= program->entries;
	return 0;
}

/* 0, or -ENOMEM. `given` may be NULL. */
static __always_inline int find_programs(struct oll_container *container, struct file *file, const char *given,
					 struct match *match)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct names *names;

	bpf_task_storage_delete(&scratch, task);
	names = bpf_task_storage_get(&scratch, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!names)
		return -ENOMEM;
	if (given)
		bpf_probe_read_kernel_str(names->of[NAME_GIVEN], OLL_PATH_SIZE, given);
	if (bpf_d_path(&file->f_path, names->raw, OLL_PATH_SIZE) > 0)
		bpf_probe_read_kernel_str(names->of[NAME_SEEN], OLL_PATH_SIZE, names->raw);
	name_from_root(file, names);

	match->generation = container->generation;
	match->file = file_id(file);
	match->named = 0;
	match->surely = 0;
	bpf_loop(container->program_count, match_program, match, 0);
	bpf_task_storage_delete(&scratch, task);
	return 0;
}

#endif
