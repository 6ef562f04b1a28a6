/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a file is called, from the root of its mount namespace. */
#ifndef OCI_LANDLOCK_NAMES_H
#define OCI_LANDLOCK_NAMES_H

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

/* What follows its NUL may be anything. */
struct name {
	char text[OLL_PATH_SIZE];
};

/* Too big for the stack. */
struct names {
	struct name of[NAME_COUNT];
	char raw[OLL_PATH_SIZE + MAX_NAME + 1];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct names);
} scratch SEC(".maps");

static __always_inline struct names *own_names(void)
{
	return bpf_task_storage_get(&scratch, bpf_get_current_task_btf(), NULL, 0);
}

/* The way up from a file: what is left of it, and where its name begins in names.raw. */
struct walk {
	struct names *names;
	struct dentry *dentry;
	struct mount *mount;
	__u32 start;
	int error;
};

static long step_up(__u64 i, struct walk *walk)
{
	struct dentry *dentry = bpf_rdonly_cast(walk->dentry, bpf_core_type_id_kernel(struct dentry));
	struct mount *mount = bpf_rdonly_cast(walk->mount, bpf_core_type_id_kernel(struct mount));
	struct dentry *parent = dentry->d_parent;
	struct names *names = walk->names;
	__u32 start = walk->start;
	__u32 length, after;

	walk->error = -ENOENT;
	if (dentry == mount->mnt.mnt_root) {
		walk->mount = mount->mnt_parent;
		walk->dentry = mount->mnt_mountpoint;
		if (walk->mount != mount)
			return 0;
		walk->error = 0; /* the top of the namespace */
		return 1;
	}
	if (parent == dentry) /* outside of any mount */
		return 1;
	length = dentry->d_name.len;
	if (length > MAX_NAME || start > OLL_PATH_SIZE - 1 || length + 1 > start)
		return 1;
	start -= length + 1;
	/* Nothing new, but the verifier must see the bound on the very value that indexes. */
	asm volatile("" : "+r"(start));
	start &= OLL_PATH_SIZE - 1;
	names->raw[start] = '/';
	after = start + 1;
	asm volatile("" : "+r"(after));
	after &= OLL_PATH_SIZE - 1;
	if (bpf_probe_read_kernel(&names->raw[after], length, dentry->d_name.name))
		return 1;
	walk->start = start;
	walk->dentry = parent;
	return 0;
}

/*
 * Like d_path, but up to the root of the mount namespace whatever the task's own root is. False, and nothing is
 * written: it has none. That root's own name is empty.
 */
static __always_inline bool name_from_root(struct vfsmount *mount, struct dentry *dentry, struct names *names)
{
	struct walk walk = {
		.names = names,
		.dentry = dentry,
		.mount = (void *)mount - bpf_core_field_offset(struct mount, mnt),
		.start = OLL_PATH_SIZE - 1,
		.error = -ENOENT,
	};

	names->raw[OLL_PATH_SIZE - 1] = 0;
	bpf_loop(MAX_DEPTH, step_up, &walk, 0);
	if (walk.error || walk.start >= OLL_PATH_SIZE)
		return false;
	bpf_probe_read_kernel_str(&names->of[NAME_FROM_ROOT], OLL_PATH_SIZE, &names->raw[walk.start]);
	return true;
}

#endif
