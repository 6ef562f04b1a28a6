/* SPDX-License-Identifier: Apache-2.0 */
#include "selection.h"

#include "bpf/selector.h"

#include <stdlib.h>
#include <string.h>

/* ---- The maps */

static struct oll_container container_table[SELECTION_CONTAINERS];

static struct {
	__u64 mount_ns;
	struct oll_place place;
} namespace_table[SELECTION_CONTAINERS];

static struct {
	struct oll_program_key key;
	struct oll_program program;
} program_table[OLL_MAX_PROGRAMS];
static unsigned int program_count;

static struct {
	bool used;
	struct oll_task value;
} storage[SELECTION_TASKS];

static struct {
	bool used;
	struct names value;
} scratch_storage[SELECTION_TASKS];

static struct room room;

static struct oll_denials stray_denials;

/* ---- The kernel */

static struct {
	struct task_struct task;
	struct cgroup cgroup;
	struct css_set set;
	struct nsproxy proxy;
	struct mnt_namespace___with_id mount_ns;
	__u64 cgroups[OLL_MAX_CGROUP_LEVEL + 8];
} machine[SELECTION_TASKS];

static int current;
static const char *current_seen;

static int index_of(struct task_struct *task)
{
	int i;

	for (i = 0; i < SELECTION_TASKS; i++) {
		if (&machine[i].task == task)
			return i;
	}
	abort();
}

struct task_struct *bpf_get_current_task_btf(void)
{
	return &machine[current].task;
}

__u64 bpf_get_current_ancestor_cgroup_id(int level)
{
	return level <= machine[current].cgroup.level ? machine[current].cgroups[level] : 0;
}

__u64 bpf_get_current_pid_tgid(void)
{
	return (__u64)current << 32;
}

long bpf_get_current_comm(void *buffer, __u32 size)
{
	memset(buffer, 0, size);
	return 0;
}

__u64 bpf_ktime_get_boot_ns(void)
{
	return 1;
}

void *bpf_rdonly_cast(const void *object, __u32 type)
{
	(void)type;
	return (void *)object;
}

void bpf_rcu_read_lock(void)
{
}

void bpf_rcu_read_unlock(void)
{
}

long bpf_probe_read_kernel(void *to, __u32 size, const void *from)
{
	memcpy(to, from, size);
	return 0;
}

long bpf_probe_read_kernel_str(void *to, __u32 size, const void *from)
{
	size_t length = strnlen(from, size - 1);

	memcpy(to, from, length);
	((char *)to)[length] = '\0';
	return (long)length + 1;
}

long bpf_d_path(struct path *path, char *buffer, __u32 size)
{
	(void)path;
	if (strlen(current_seen) >= size)
		return -ENAMETOOLONG;
	return bpf_probe_read_kernel_str(buffer, size, current_seen);
}

void *bpf_map_lookup_elem(void *map, const void *key)
{
	__u64 id;
	unsigned int i;

	if (map == &strays)
		return &stray_denials;
	if (map == &rooms)
		return &room;
	if (map == &programs) {
		for (i = 0; i < program_count; i++) {
			if (!memcmp(&program_table[i].key, key, sizeof(struct oll_program_key)))
				return &program_table[i].program;
		}
		return NULL;
	}
	memcpy(&id, key, sizeof(id));
	for (i = 0; i < SELECTION_CONTAINERS; i++) {
		if (map == &containers && container_table[i].generation && container_table[i].cgroup_id == id)
			return &container_table[i];
		if (map == &namespaces && namespace_table[i].place.generation && namespace_table[i].mount_ns == id)
			return &namespace_table[i].place;
	}
	return NULL;
}

long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags)
{
	unsigned int i;

	(void)flags;
	if (map != &namespaces)
		abort();
	bpf_map_delete_elem(map, key);
	for (i = 0; i < SELECTION_CONTAINERS; i++) {
		if (namespace_table[i].place.generation)
			continue;
		memcpy(&namespace_table[i].mount_ns, key, sizeof(__u64));
		memcpy(&namespace_table[i].place, value, sizeof(struct oll_place));
		return 0;
	}
	return -E2BIG;
}

long bpf_map_delete_elem(void *map, const void *key)
{
	struct oll_place *place = map == &namespaces ? bpf_map_lookup_elem(map, key) : NULL;

	if (!place)
		return -ENOENT;
	memset(place, 0, sizeof(*place));
	return 0;
}

void *bpf_task_storage_get(void *map, struct task_struct *task, void *value, __u64 flags)
{
	int i = index_of(task);
	bool create = flags & BPF_LOCAL_STORAGE_GET_F_CREATE;

	(void)value;
	if (map == &scratch) {
		if (create && !scratch_storage[i].used)
			memset(&scratch_storage[i].value, 0, sizeof(struct names));
		scratch_storage[i].used |= create;
		return scratch_storage[i].used ? &scratch_storage[i].value : NULL;
	}
	if (create && !storage[i].used)
		memset(&storage[i].value, 0, sizeof(struct oll_task));
	storage[i].used |= create;
	return storage[i].used ? &storage[i].value : NULL;
}

long bpf_task_storage_delete(void *map, struct task_struct *task)
{
	if (map != &scratch)
		abort();
	scratch_storage[index_of(task)].used = false;
	return 0;
}

/* ---- The applier: everything that is wanted takes hold at once */

static struct {
	__u64 generation;
	__u32 entries;
} applied[SELECTION_CONTAINERS];

static int admit(struct oll_container *container, __u32 entries)
{
	(void)container;
	(void)entries;
	return 0;
}

static int apply(struct linux_binprm *bprm, struct oll_container *container, __u32 entries)
{
	int i;

	(void)bprm;
	for (i = 0; i < SELECTION_CONTAINERS; i++) {
		if (!applied[i].generation) {
			applied[i].generation = container->generation;
			applied[i].entries = entries;
			return 0;
		}
	}
	abort();
}

static __u32 still_owed(__u32 entries)
{
	(void)entries;
	return 0;
}

static void drop(struct oll_container *container, __u64 cgroup_id, __u64 generation)
{
	(void)container;
}

static int wait_turn(struct task_struct *task)
{
	(void)task;
	return 0;
}

/* ---- Files */

struct tree {
	struct mount mount;
	struct inode inode;
	struct super_block super;
	struct dentry dentries[OLL_PATH_SIZE];
	struct file file;
};

static void grow(struct tree *tree, const struct selection_file *given)
{
	const char *at = given->path;
	struct dentry *dentry = tree->dentries;

	memset(tree, 0, sizeof(*tree));
	/* Its times are read where these are, because nothing is relocated: they are what they are. */
	tree->super.s_dev = 1;
	tree->inode.i_ino = given->inode;
	tree->inode.i_size = given->size;
	tree->inode.i_sb = &tree->super;
	dentry->d_parent = dentry;
	tree->mount.mnt_parent = &tree->mount;
	tree->mount.mnt.mnt_root = dentry;
	tree->mount.mnt_mountpoint = dentry;
	while (*at == '/') {
		size_t length = strcspn(++at, "/");

		if (dentry + 1 == tree->dentries + OLL_PATH_SIZE)
			abort();
		dentry[1].d_parent = dentry;
		dentry[1].d_name.name = (const unsigned char *)at;
		dentry[1].d_name.len = (__u32)length;
		dentry++;
		at += length;
	}
	tree->file.f_inode = &tree->inode;
	tree->file.f_path.mnt = &tree->mount.mnt;
	tree->file.f_path.dentry = dentry;
	current_seen = given->seen ? given->seen : given->path;
}

struct oll_file_id selection_identify(const struct selection_file *file)
{
	static struct tree tree;

	grow(&tree, file);
	return file_id(&tree.file);
}

/* ---- What tests do */

void selection_reset(void)
{
	int i;

	memset(container_table, 0, sizeof(container_table));
	memset(namespace_table, 0, sizeof(namespace_table));
	memset(storage, 0, sizeof(storage));
	memset(scratch_storage, 0, sizeof(scratch_storage));
	memset(&room.names, '/', sizeof(room.names)); /* as whoever was there before has left it */
	room.in_use = 0;
	memset(machine, 0, sizeof(machine));
	program_count = 0;
	for (i = 0; i < SELECTION_TASKS; i++)
		machine[i].task.group_leader = &machine[i].task;
}

struct oll_container *selection_add(__u64 cgroup, __u64 generation)
{
	int i;

	for (i = 0; i < SELECTION_CONTAINERS; i++) {
		if (container_table[i].generation)
			continue;
		memset(&container_table[i], 0, sizeof(container_table[i]));
		container_table[i].generation = generation;
		container_table[i].cgroup_id = cgroup;
		return &container_table[i];
	}
	abort();
}

void selection_remove(__u64 cgroup)
{
	struct oll_container *container = bpf_map_lookup_elem(&containers, &cgroup);

	if (container)
		container->generation = 0;
}

void selection_list(__u64 generation, __u64 index, const struct oll_program *program)
{
	if (program_count == OLL_MAX_PROGRAMS)
		abort();
	program_table[program_count].key.generation = generation;
	program_table[program_count].key.index = index;
	program_table[program_count++].program = *program;
}

void selection_place(int task, __u64 mount_ns, const __u64 *cgroups, int count)
{
	if (count >= OLL_MAX_CGROUP_LEVEL + 8)
		abort();
	machine[task].task.cgroups = &machine[task].set;
	machine[task].set.dfl_cgrp = &machine[task].cgroup;
	machine[task].cgroup.level = count;
	memcpy(&machine[task].cgroups[1], cgroups, (size_t)count * sizeof(*cgroups));
	machine[task].task.nsproxy = &machine[task].proxy;
	machine[task].proxy.mnt_ns = (struct mnt_namespace *)&machine[task].mount_ns;
	machine[task].mount_ns.ns.ns_id = mount_ns;
}

void selection_mark_init(int task, __u64 cgroup, __u64 generation)
{
	struct oll_membership *member = storage[task].value.of;

	storage[task].used = true;
	while (member->generation)
		member++;
	member->generation = generation;
	member->cgroup_id = cgroup;
	member->origin = OLL_ORIGIN_INIT_PENDING;
	for (int i = 0; i < SELECTION_CONTAINERS; i++) {
		if (container_table[i].generation == generation)
			member->audited = container_table[i].audited;
	}
}

int selection_fork(int parent, int child)
{
	current = parent;
	storage[child].used = false;
	selection_place(child, machine[parent].mount_ns.ns.ns_id, &machine[parent].cgroups[1],
			machine[parent].cgroup.level);
	return inherit(&machine[child].task, 0, 0);
}

int selection_run(int task, const struct selection_exec *exec)
{
	static struct tree trees[SELECTION_FILES];
	struct linux_binprm bprm = { .filename = exec->given, .interp = exec->given };
	int error, i;

	current = task;
	memset(applied, 0, sizeof(applied));
	grow(&trees[0], &exec->files[0]);
	bprm.file = &trees[0].file;
	error = select_exec(&bprm, 0);
	for (i = 0; !error && i < exec->count; i++) {
		grow(&trees[i], &exec->files[i]);
		bprm.file = &trees[i].file;
		if (i > 0)
			bprm.interp = exec->files[i].path;
		error = select_file(&bprm, 0);
	}
	if (!error)
		error = restrict_exec(&bprm, bprm.file, 0);
	if (!error && exec->fails)
		error = -ENOEXEC;
	if (error)
		memset(applied, 0, sizeof(applied));
	else
		commit_exec(&bprm);
	return error;
}

void selection_interrupt(int in_use)
{
	room.in_use = in_use;
}

int selection_room_is_left(int in_use)
{
	int i;

	for (i = 0; i < SELECTION_TASKS; i++) {
		if (scratch_storage[i].used)
			return 0;
	}
	return room.in_use == (__u32)in_use;
}

__u32 selection_applied(__u64 generation)
{
	__u32 entries = 0;
	int i;

	for (i = 0; i < SELECTION_CONTAINERS; i++) {
		if (applied[i].generation == generation)
			entries |= applied[i].entries;
	}
	return entries;
}

struct oll_membership selection_member(int task, __u64 generation)
{
	struct oll_membership none = {};
	int i;

	for (i = 0; i < OLL_MAX_MEMBERSHIPS; i++) {
		if (storage[task].used && storage[task].value.of[i].generation == generation)
			return storage[task].value.of[i];
	}
	return none;
}
