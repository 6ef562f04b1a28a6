/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is the file that is executed one of the programs that a container's entries list?
 *
 * Three names are compared: the one given to execve(2), the one that the task sees from its own root, and the one
 * from the root of its mount namespace (a chroot does not change that one). And the file itself, as it was when the
 * container started, so that hard links to it and bind mounts of it match as well.
 */
#ifndef OCI_LANDLOCK_MATCH_H
#define OCI_LANDLOCK_MATCH_H

#include "names.h"

struct match {
	__u64 generation;
	struct oll_file_id file;
	__u32 named; /* bit i: entry i lists the program, by any of its names or by the file */
	__u32 surely; /* bit i: entry i lists it by name from the root *and* by the file, which nobody has changed */
	int error;
};

static __always_inline struct oll_file_id file_id(struct file *file)
{
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct oll_file_id id = {
		.inode = BPF_CORE_READ(inode, i_ino),
		.device = BPF_CORE_READ(inode, i_sb, s_dev),
		.inode_generation = BPF_CORE_READ(inode, i_generation),
		.size = BPF_CORE_READ(inode, i_size),
	};

	if (bpf_core_field_exists(struct inode___with_parts, i_ctime_sec)) {
		struct inode___with_parts *parts = (void *)inode;

		id.changed = BPF_CORE_READ(parts, i_ctime_sec);
		/* The top bit is the kernel's own mark (Linux 6.13). */
		id.changed_nsec = BPF_CORE_READ(parts, i_ctime_nsec) & 0x7fffffff;
	} else {
		struct inode___with_whole *whole = (void *)inode;

		id.changed = BPF_CORE_READ(whole, __i_ctime.tv_sec);
		id.changed_nsec = BPF_CORE_READ(whole, __i_ctime.tv_nsec);
	}
	return id;
}

static __always_inline bool same_file(const struct oll_file_id *left, const struct oll_file_id *right)
{
	return left->inode == right->inode && left->device == right->device &&
	       left->inode_generation == right->inode_generation;
}

static __always_inline bool unchanged(const struct oll_file_id *left, const struct oll_file_id *right)
{
	return left->changed == right->changed && left->changed_nsec == right->changed_nsec &&
	       left->size == right->size;
}

/* Not static: the verifier looks at a global function once, not at each call. */
__noinline int same_name(const struct name *left, const struct name *right)
{
	int i;

	if (!left || !right)
		return 0;
	for (i = 0; i < PATH_WORDS; i++) {
		if (((const __u64 *)left)[i] != ((const __u64 *)right)[i])
			return 0;
	}
	return 1;
}

static long match_program(__u64 index, struct match *match)
{
	struct oll_program_key key = { .generation = match->generation, .index = index };
	struct oll_program *program = bpf_map_lookup_elem(&programs, &key);
	struct names *names = own_names();
	const struct name *listed;
	bool by_file, from_root;

	/* No answer is not "no". */
	if (!program || program->generation != match->generation || !names) {
		match->error = -ENOENT;
		return 1;
	}
	listed = (const struct name *)program->path;
	by_file = program->has_file && same_file(&program->file, &match->file);
	from_root = same_name(listed, &names->of[NAME_FROM_ROOT]);
	if (by_file && from_root && unchanged(&program->file, &match->file))
		match->surely |= program->entries;
	if (by_file || from_root || same_name(listed, &names->of[NAME_GIVEN]) ||
	    same_name(listed, &names->of[NAME_SEEN]))
		match->named |= program->entries;
	return 0;
}

/*
 * Takes down the names of a file that the current task executes, for match_programs(); release_names() must follow. 0,
 * or -ENOMEM.
 */
static __always_inline int take_names(struct file *file, const char *given)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct names *names;

	bpf_task_storage_delete(&scratch, task);
	names = bpf_task_storage_get(&scratch, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!names)
		return -ENOMEM;
	bpf_probe_read_kernel_str(&names->of[NAME_GIVEN], OLL_PATH_SIZE, given);
	if (bpf_d_path(&file->f_path, names->raw, OLL_PATH_SIZE) > 0)
		bpf_probe_read_kernel_str(&names->of[NAME_SEEN], OLL_PATH_SIZE, names->raw);
	name_from_root(BPF_CORE_READ(file, f_path.mnt), BPF_CORE_READ(file, f_path.dentry), names);
	return 0;
}

static __always_inline void release_names(void)
{
	bpf_task_storage_delete(&scratch, bpf_get_current_task_btf());
}

/* Which of the container's entries list the file whose names were taken. 0, or -ENOENT: a listed program is missing. */
static __always_inline int match_programs(struct oll_container *container, struct file *file, struct match *match)
{
	match->generation = container->generation;
	match->file = file_id(file);
	match->named = 0;
	match->surely = 0;
	match->error = 0;
	bpf_loop(container->program_count, match_program, match, 0);
	return match->error;
}

#endif
