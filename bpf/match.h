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

/*
 * Room for names that is there already, one a processor: a program stays on the one that it began on, and another that
 * begins there before it is done finds the room in use.
 */
struct room {
	struct names names;
	__u32 in_use;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct room);
} rooms SEC(".maps");

struct match {
	__u64 generation;
	struct oll_file_id file;
	__u32 named; /* bit i: entry i lists the program, by any of its names or by the file */
	__u32 surely; /* bit i: entry i lists it by name from the root *and* by the file, which nobody has changed */
	bool own; /* the names are in the task's own room */
	int error;
};

static __always_inline struct oll_file_id file_id(struct file *file)
{
	struct inode *inode = bpf_rdonly_cast(BPF_CORE_READ(file, f_inode), bpf_core_type_id_kernel(struct inode));
	struct oll_file_id id = {
		.inode = inode->i_ino,
		.device = inode->i_sb->s_dev,
		.inode_generation = inode->i_generation,
		.size = inode->i_size,
	};

	if (bpf_core_field_exists(struct inode___with_parts, i_ctime_sec)) {
		struct inode___with_parts *parts = (void *)inode;

		id.changed = parts->i_ctime_sec;
		/* The top bit is the kernel's own mark (Linux 6.13). */
		id.changed_nsec = parts->i_ctime_nsec & 0x7fffffff;
	} else {
		struct inode___with_whole *whole = (void *)inode;

		id.changed = whole->__i_ctime.tv_sec;
		id.changed_nsec = whole->__i_ctime.tv_nsec;
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

/* In a word. */
#define EACH_BYTE(value) (0x0101010101010101ULL * (value))

/*
 * `listed` is NUL-padded; of the other, what follows its NUL does not count. Not static: the verifier looks at a global
 * function once, not at each call.
 */
__noinline int same_name(const struct name *listed, const struct name *name)
{
	int i;

	if (!listed || !name)
		return 0;
	for (i = 0; i < PATH_WORDS; i++) {
		__u64 word = ((const __u64 *)listed)[i];
		__u64 differs = word ^ ((const __u64 *)name)[i];
		__u64 zeros = (word - EACH_BYTE(1)) & ~word & EACH_BYTE(0x80); /* the lowest bit is right */

		/* It ends here: what is compared is up to the first zero and with it. */
		if (zeros)
			return !(differs & (((zeros & -zeros) << 1) - 1));
		if (differs)
			return 0;
	}
	return 0;
}

static __always_inline struct room *room_of_processor(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&rooms, &zero);
}

static long match_program(__u64 index, struct match *match)
{
	struct oll_program_key key = { .generation = match->generation, .index = index };
	struct oll_program *program = bpf_map_lookup_elem(&programs, &key);
	struct room *room = room_of_processor();
	struct names *names = match->own || !room ? own_names() : &room->names;
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
 * or -ENOMEM. In the processor's room, which costs nothing; in one of the task's own where another task, which was
 * interrupted here, has names in there.
 */
static __always_inline int take_names(struct file *file, const char *given, struct match *match)
{
	struct room *room = room_of_processor();
	struct names *names;

	match->own = !room || __sync_lock_test_and_set(&room->in_use, 1);
	if (!match->own)
		names = &room->names;
	else
		names = bpf_task_storage_get(&scratch, bpf_get_current_task_btf(), NULL,
					     BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!names)
		return -ENOMEM;
	/* No name is that of a listed program. */
	names->of[NAME_GIVEN].text[0] = 0;
	names->of[NAME_SEEN].text[0] = 0;
	names->of[NAME_FROM_ROOT].text[0] = 0;
	bpf_probe_read_kernel_str(&names->of[NAME_GIVEN], OLL_PATH_SIZE, given);
	if (bpf_d_path(&file->f_path, names->raw, OLL_PATH_SIZE) > 0)
		bpf_probe_read_kernel_str(&names->of[NAME_SEEN], OLL_PATH_SIZE, names->raw);
	name_from_root(BPF_CORE_READ(file, f_path.mnt), BPF_CORE_READ(file, f_path.dentry), names);
	return 0;
}

static __always_inline void release_names(const struct match *match)
{
	struct room *room = room_of_processor();

	if (match->own)
		bpf_task_storage_delete(&scratch, bpf_get_current_task_btf());
	else if (room)
		__sync_lock_test_and_set(&room->in_use, 0);
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
