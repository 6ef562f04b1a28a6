// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What `oci-landlock events` and `oci-landlock learn` look on with. They bring these programs and take them away
 * with themselves; they decide nothing, and the selector does not know of them. They read its maps, and what happens
 * to be told by tell(), by Landlock's tracepoints (Linux 7.3), or else by what Landlock's own hooks return; to learn,
 * by what is asked of any security module.
 *
 * Each container has a share of what is told in a second: what one does must not hide what another does.
 */
#include "names.h"
#include "seen.h"

#include <linux/ptrace.h>

#define NSEC_PER_SEC 1000000000ULL

/* include/linux/fs.h, asm-generic/fcntl.h, linux/stat.h */
#define FMODE_READ 0x1
#define FMODE_WRITE 0x2
#define FMODE_EXEC 0x20
#define S_IFMT 00170000
#define S_IFSOCK 0140000
#define S_IFLNK 0120000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFCHR 0020000
#define S_IFIFO 0010000

/* linux/landlock.h */
#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REMOVE_DIR (1ULL << 4)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_CHAR (1ULL << 6)
#define FS_MAKE_DIR (1ULL << 7)
#define FS_MAKE_REG (1ULL << 8)
#define FS_MAKE_SOCK (1ULL << 9)
#define FS_MAKE_FIFO (1ULL << 10)
#define FS_MAKE_BLOCK (1ULL << 11)
#define FS_MAKE_SYM (1ULL << 12)
#define FS_REFER (1ULL << 13)
#define FS_TRUNCATE (1ULL << 14)
#define FS_IOCTL_DEV (1ULL << 15)
#define FS_RESOLVE_UNIX (1ULL << 16)
#define NET_BIND_TCP (1ULL << 0)
#define NET_CONNECT_TCP (1ULL << 1)
#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define SCOPE_SIGNAL (1ULL << 1)

#define AF_INET 2
#define AF_INET6 10

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* How much a container may tell in a second. */
const volatile __u32 share_limit = 1000;
const volatile __u32 use_limit = 1000; /* accesses */

/* Whether accesses of all restricted tasks are told, and which domain each is in; else of audited ones. */
const volatile __u32 learning = 0;

/* Whether there is no selector (launch): denials are told of every cgroup, and the reader knows the containers. */
const volatile __u32 without_selector = 0;

/* What found no room in the ring. */
volatile __u64 lost = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, OLL_SEEN_RING);
} seen SEC(".maps");

/* The reader takes those of containers that are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * OLL_MAX_CONTAINERS);
	__type(key, __u64);
	__type(value, struct oll_share);
} shares SEC(".maps");

/* Without a selector: by cgroup id, the containers that the reader knows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OLL_MAX_CONTAINERS);
	__type(key, __u64);
	__type(value, __u32);
} launched SEC(".maps");

/* By task, which restriction is the one that it is in. Those from before the watch began are not known. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} domains SEC(".maps");

/* Its values are the kernel's. */
enum landlock_request_type {
	LANDLOCK_REQUEST_FS_CHANGE_TOPOLOGY,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct inode___with_mode {
	unsigned short i_mode;
};

struct dentry___with_inode {
	struct inode *d_inode;
};

struct file___with_flags {
	unsigned int f_mode;
	unsigned int f_flags;
};

struct mm_struct {
	struct file *exe_file;
};

struct task_struct___with_mm {
	struct mm_struct *mm;
};

struct trace_event_raw_landlock_deny_access_fs {
	__u64 domain_id;
	enum landlock_request_type blockers_type;
	__u32 blockers_access;
	__u32 __data_loc_pathname;
};

struct trace_event_raw_landlock_deny_access_net {
	__u64 domain_id;
	__u32 blockers_access;
	__s64 port;
};

struct trace_event_raw_landlock_deny_ptrace {
	__u64 domain_id;
};

struct trace_event_raw_landlock_deny_scope_signal {
	__u64 domain_id;
};

struct trace_event_raw_landlock_deny_scope_abstract_unix_socket {
	__u64 domain_id;
};

#pragma clang attribute pop

/*
 * Global functions (not static): the verifier looks at each once, and not again at each call, in each state that leads
 * there. There are dozens of programs, and what it takes for them is most of what a start of `events` takes. They get
 * and return numbers, for nothing else that a caller has is known in them; so kernel addresses are read, not followed.
 */

#define EVERY_ENTRY (~(__u32)0)

/* What a global function can be given in a pointer's place. */
static __always_inline __u64 address_of(const void *pointer)
{
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), &pointer);
	return address;
}

static __always_inline void count_lost(void)
{
	__sync_fetch_and_add(&lost, 1);
}

static __always_inline struct oll_share *share_of(__u64 cgroup_id)
{
	struct oll_share *share = bpf_map_lookup_elem(&shares, &cgroup_id);
	struct oll_share none = {};

	if (share)
		return share;
	bpf_map_update_elem(&shares, &cgroup_id, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&shares, &cgroup_id);
}

/* So that the reader knows the container, also when it has gone by the time that the reader looks. */
static __always_inline void introduce(__u64 cgroup_id, struct oll_share *share)
{
	struct oll_container *container;
	struct oll_seen_container *told;

	if (!cgroup_id || share->introduced)
		return;
	container = bpf_map_lookup_elem(&containers, &cgroup_id);
	if (!container)
		return;
	told = bpf_ringbuf_reserve(&seen, sizeof(*told), 0);
	if (!told)
		return;
	told->kind = OLL_SEEN_CONTAINER;
	told->audited = container->audited;
	told->cgroup_id = cgroup_id;
	told->generation = container->generation;
	bpf_probe_read_kernel(&told->record, sizeof(told->record), &container->record);
	bpf_ringbuf_submit(told, 0);
	share->introduced = 1;
}

/* Whether the container still has a share of this second; if not, that is counted. */
__noinline int admitted(__u64 cgroup_id, __u32 kind, __u64 now)
{
	struct oll_share *share = share_of(cgroup_id);

	if (!share) {
		count_lost();
		return 0;
	}
	/* Two processors at once may both begin a second; a few more are told then. */
	if (now - share->second >= NSEC_PER_SEC) {
		share->second = now;
		share->told = 0;
		share->used = 0;
	}
	if (kind == OLL_SEEN_USED && __sync_fetch_and_add(&share->used, 1) >= use_limit) {
		__sync_fetch_and_add(&share->unjudged, 1);
		return 0;
	}
	if (kind != OLL_SEEN_USED && __sync_fetch_and_add(&share->told, 1) >= share_limit) {
		__sync_fetch_and_add(&share->lost, 1);
		return 0;
	}
	introduce(cgroup_id, share);
	return 1;
}

/* Room for one event, which must be submitted; or NULL: it is counted as lost. */
static __always_inline struct oll_seen *begin(__u64 cgroup_id, __u32 kind)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct oll_seen *event;

	if (!admitted(cgroup_id, kind, now))
		return NULL;
	event = bpf_ringbuf_reserve(&seen, sizeof(*event), 0);
	if (!event) {
		count_lost();
		return NULL;
	}
	event->kind = kind;
	event->time = now;
	event->cgroup_id = cgroup_id;
	event->entries = 0;
	event->reason = 0;
	event->error = 0;
	event->about = 0;
	event->rights = 0;
	event->domain = 0;
	event->port = 0;
	event->exact = 0;
	event->generation = 0;
	event->audited = 0;
	event->path[0] = 0;
	event->program[0] = 0;
	return event;
}

/* The room for names is given back at once: it is taken for whatever number of tasks a container has. */
static __always_inline void end(struct oll_seen *event)
{
	bpf_ringbuf_submit(event, 0);
	bpf_task_storage_delete(&scratch, bpf_get_current_task_btf());
}

/* Takes down a file's name, in names.of[NAME_FROM_ROOT]; an empty one where there is none. 0, or -ENOMEM. */
__noinline int take_name(__u64 mount, __u64 dentry)
{
	struct names *names =
		bpf_task_storage_get(&scratch, bpf_get_current_task_btf(), NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	char *name;

	if (!names)
		return -ENOMEM;
	name = names->of[NAME_FROM_ROOT].text;
	name[0] = 0;
	if (name_from_root((struct vfsmount *)mount, (struct dentry *)dentry, names) && !name[0]) {
		name[0] = '/'; /* the top itself */
		name[1] = 0;
	}
	return 0;
}

static __always_inline void copy_name(char *to, struct vfsmount *mount, struct dentry *dentry)
{
	int error = take_name(address_of(mount), address_of(dentry));
	struct names *names = own_names();

	to[0] = 0;
	if (!error && names)
		bpf_probe_read_kernel_str(to, OLL_PATH_SIZE, names->of[NAME_FROM_ROOT].text);
}

static __always_inline void about_task(struct oll_seen *event, struct task_struct *task)
{
	struct file *exe = BPF_CORE_READ((struct task_struct___with_mm *)task, mm, exe_file);

	event->tgid = BPF_CORE_READ(task, tgid);
	event->start_time = BPF_CORE_READ(task, group_leader, start_boottime);
	bpf_probe_read_kernel_str(event->comm, sizeof(event->comm), task->comm);
	if (exe)
		copy_name(event->program, BPF_CORE_READ(exe, f_path.mnt), BPF_CORE_READ(exe, f_path.dentry));
}

static __always_inline void begin_domain(__u32 thread)
{
	struct task_struct *task = bpf_task_from_pid(thread);
	__u64 *domain;

	if (!task)
		return;
	domain = bpf_task_storage_get(&domains, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (domain)
		*domain = bpf_ktime_get_boot_ns();
	bpf_task_release(task);
}

static __always_inline void take_told(__u64 cgroup_id, __u32 thread, __u32 entries, __u32 reason, int error)
{
	struct oll_seen *event = begin(cgroup_id, reason ? OLL_SEEN_FAILED_CLOSED : OLL_SEEN_APPLIED);
	struct oll_container *container = bpf_map_lookup_elem(&containers, &cgroup_id);
	__u32 audited = container ? container->audited : 0;
	struct task_struct *task;

	if (!reason && (learning || (entries & audited)))
		begin_domain(thread);
	if (!event)
		return;
	event->entries = entries;
	event->audited = audited;
	event->reason = reason;
	event->error = error;
	event->tgid = thread;
	event->start_time = 0;
	event->comm[0] = 0;
	task = bpf_task_from_pid(thread);
	if (task) {
		about_task(event, task);
		bpf_task_release(task);
	}
	end(event);
}

/* A program of its own for each program of the selector that calls tell(). */
#define AT_TELL(name)                                                                                                  \
	SEC("?fentry/tell")                                                                                            \
	int BPF_PROG(name, __u64 cgroup_id, __u32 thread, __u32 entries, __u32 reason, int error)                      \
	{                                                                                                              \
		take_told(cgroup_id, thread, entries, reason, error);                                                  \
		return 0;                                                                                              \
	}

AT_TELL(at_select_exec)
AT_TELL(at_select_file)
AT_TELL(at_restrict_exec)
AT_TELL(at_commit_exec)
AT_TELL(at_debt)
AT_TELL(at_report_failure)

/*
 * Which membership of the current task is the last that it has entered of those with an entry applied that enforces, of
 * these `enforced`, or is audited, of these `audited`, a bit each; -1: none is.
 */
__noinline int last_with(__u32 enforced, __u32 audited)
{
	struct oll_task *own = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), NULL, 0);
	int i;

	for (i = OLL_MAX_MEMBERSHIPS - 1; own && i >= 0; i--) {
		struct oll_membership *member = &own->of[i];
		__u32 entries = member->applied & ~member->owed;

		if (member->generation && (entries & ((enforced & ~member->audited) | (audited & member->audited))))
			return i;
	}
	return -1;
}

static __always_inline struct oll_membership *membership(int place)
{
	struct oll_task *own;

	if (place < 0 || place >= OLL_MAX_MEMBERSHIPS)
		return NULL;
	own = bpf_task_storage_get(&tasks, bpf_get_current_task_btf(), NULL, 0);
	return own ? &own->of[place] : NULL;
}

static __always_inline struct oll_membership *restricts(void)
{
	return membership(last_with(EVERY_ENTRY, 0));
}

/* The known container that the current task is in, or beneath; else just its cgroup. */
__noinline __u64 launched_cgroup(void)
{
	__u64 deepest = bpf_get_current_cgroup_id(), found = 0;
	int level;

	for (level = 1; level < 32 && found != deepest; level++) {
		found = bpf_get_current_ancestor_cgroup_id(level);
		if (!found)
			break;
		if (bpf_map_lookup_elem(&launched, &found))
			return found;
	}
	return deepest;
}

static __always_inline struct oll_seen *begin_denied(__u32 about, __u64 rights)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct oll_membership *member = without_selector ? NULL : restricts();
	struct oll_seen *event = NULL;

	if (without_selector)
		event = begin(launched_cgroup(), OLL_SEEN_DENIED);
	else if (member)
		event = begin(member->cgroup_id, OLL_SEEN_DENIED);
	if (!event)
		return NULL;
	if (member)
		event->entries = member->applied & ~(member->owed | member->audited);
	event->about = about;
	event->rights = rights;
	about_task(event, task);
	return event;
}

struct address {
	__u16 family;
	__u16 port;
};

/* Of the kernel's own copy. */
static __always_inline __u32 port_of(const void *from)
{
	struct address address = {};

	if (bpf_probe_read_kernel(&address, sizeof(address), from) ||
	    (address.family != AF_INET && address.family != AF_INET6))
		return 0;
	return __builtin_bswap16(address.port);
}

/*
 * ---- Landlock's tracepoints: Linux 7.3
 *
 * As a reader of tracefs gets them, with the processor held while a program is at work. The kernel skips those that it
 * calls with the tracepoint's own arguments (tp_btf) where another task has been taken from the processor at work in
 * them: so could a container that is denied something all the time hide most of what another one is denied.
 */

static __always_inline void end_exact(struct oll_seen *event, __u64 domain)
{
	event->exact = 1;
	event->domain = domain;
	end(event);
}

SEC("?tp/landlock/landlock_deny_access_fs")
int deny_access_fs(struct trace_event_raw_landlock_deny_access_fs *denial)
{
	bool topology = denial->blockers_type ==
			bpf_core_enum_value(enum landlock_request_type, LANDLOCK_REQUEST_FS_CHANGE_TOPOLOGY);
	const char *path = (void *)denial + (denial->__data_loc_pathname & 0xffff);
	struct oll_seen *event =
		topology ? begin_denied(OLL_ABOUT_TOPOLOGY, 0) : begin_denied(OLL_ABOUT_FS, denial->blockers_access);

	if (!event)
		return 0;
	/* Half a path is none. */
	if (bpf_probe_read_kernel_str(event->path, sizeof(event->path), path) >= (long)sizeof(event->path))
		event->path[0] = 0;
	end_exact(event, denial->domain_id);
	return 0;
}

SEC("?tp/landlock/landlock_deny_access_net")
int deny_access_net(struct trace_event_raw_landlock_deny_access_net *denial)
{
	struct oll_seen *event = begin_denied(OLL_ABOUT_NET, denial->blockers_access);

	if (!event)
		return 0;
	event->port = denial->port > 0 ? denial->port : 0;
	end_exact(event, denial->domain_id);
	return 0;
}

static __always_inline int denied_by(__u64 domain, __u32 about, __u64 rights)
{
	struct oll_seen *event = begin_denied(about, rights);

	if (event)
		end_exact(event, domain);
	return 0;
}

SEC("?tp/landlock/landlock_deny_ptrace")
int deny_ptrace(struct trace_event_raw_landlock_deny_ptrace *denial)
{
	return denied_by(denial->domain_id, OLL_ABOUT_PTRACE, 0);
}

SEC("?tp/landlock/landlock_deny_scope_signal")
int deny_scope_signal(struct trace_event_raw_landlock_deny_scope_signal *denial)
{
	return denied_by(denial->domain_id, OLL_ABOUT_SCOPE, SCOPE_SIGNAL);
}

SEC("?tp/landlock/landlock_deny_scope_abstract_unix_socket")
int deny_scope_abstract_unix_socket(struct trace_event_raw_landlock_deny_scope_abstract_unix_socket *denial)
{
	return denied_by(denial->domain_id, OLL_ABOUT_SCOPE, SCOPE_ABSTRACT_UNIX_SOCKET);
}

/* ---- What Landlock's hooks return */

static __always_inline bool refused(int result)
{
	return result == -EACCES || result == -EPERM || result == -EXDEV;
}

static __always_inline void denied(__u32 about, __u64 rights)
{
	struct oll_seen *event = begin_denied(about, rights);

	if (event)
		end(event);
}

static __always_inline void denied_at(struct vfsmount *mount, struct dentry *dentry, __u64 rights)
{
	struct oll_seen *event = begin_denied(OLL_ABOUT_FS, rights);

	if (!event)
		return;
	copy_name(event->path, mount, dentry);
	end(event);
}

static __always_inline void denied_path(const struct path *path, __u64 rights)
{
	denied_at(BPF_CORE_READ(path, mnt), BPF_CORE_READ(path, dentry), rights);
}

static __always_inline void denied_in(const struct path *directory, struct dentry *dentry, __u64 rights)
{
	denied_at(BPF_CORE_READ(directory, mnt), dentry, rights);
}

static __always_inline void denied_file(struct file *file, __u64 rights)
{
	denied_at(BPF_CORE_READ(file, f_path.mnt), BPF_CORE_READ(file, f_path.dentry), rights);
}

static __always_inline __u32 mode_of(struct dentry *dentry)
{
	struct inode *inode = BPF_CORE_READ((struct dentry___with_inode *)dentry, d_inode);

	return inode ? BPF_CORE_READ((struct inode___with_mode *)inode, i_mode) : 0;
}

static __always_inline __u64 make_right(__u32 mode)
{
	switch (mode & S_IFMT) {
	case S_IFSOCK:
		return FS_MAKE_SOCK;
	case S_IFLNK:
		return FS_MAKE_SYM;
	case S_IFBLK:
		return FS_MAKE_BLOCK;
	case S_IFDIR:
		return FS_MAKE_DIR;
	case S_IFCHR:
		return FS_MAKE_CHAR;
	case S_IFIFO:
		return FS_MAKE_FIFO;
	default:
		return FS_MAKE_REG;
	}
}

static __always_inline __u64 open_rights(struct file *file)
{
	__u32 mode = BPF_CORE_READ((struct file___with_flags *)file, f_mode);
	__u32 flags = BPF_CORE_READ((struct file___with_flags *)file, f_flags);
	struct inode___with_mode *inode = (void *)BPF_CORE_READ(file, f_inode);
	__u32 kind = BPF_CORE_READ(inode, i_mode) & S_IFMT;
	__u64 rights = 0;

	if (mode & FMODE_READ)
		rights |= kind == S_IFDIR ? FS_READ_DIR : FS_READ_FILE;
	if (mode & FMODE_WRITE)
		rights |= FS_WRITE_FILE;
	if (flags & FMODE_EXEC)
		rights |= FS_EXECUTE;
	return rights;
}

static __always_inline void denied_open(struct file *file)
{
	denied_file(file, open_rights(file));
}

SEC("?fexit/hook_file_open")
int BPF_PROG(file_open, struct file *file, int result)
{
	if (refused(result))
		denied_open(file);
	return 0;
}

/* Where the kernel's type information leaves that hook out (Debian's 6.12): the file on the way in, by thread. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} opening SEC(".maps");

SEC("?kprobe/hook_file_open")
int BPF_KPROBE(file_open_begins, struct file *file)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 *kept;

	if (!without_selector && !restricts())
		return 0;
	kept = bpf_task_storage_get(&opening, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (kept)
		*kept = (__u64)file;
	else
		count_lost();
	return 0;
}

SEC("?kretprobe/hook_file_open")
int BPF_KRETPROBE(file_open_ends, int result)
{
	__u64 *kept = bpf_task_storage_get(&opening, bpf_get_current_task_btf(), NULL, 0);
	struct file *file = kept ? (struct file *)*kept : NULL;

	if (!file)
		return 0;
	*kept = 0;
	if (refused(result))
		denied_open(file);
	return 0;
}

SEC("?fexit/hook_path_truncate")
int BPF_PROG(path_truncate, const struct path *path, int result)
{
	if (refused(result))
		denied_path(path, FS_TRUNCATE);
	return 0;
}

SEC("?fexit/hook_file_truncate")
int BPF_PROG(file_truncate, struct file *file, int result)
{
	if (refused(result))
		denied_file(file, FS_TRUNCATE);
	return 0;
}

SEC("?fexit/hook_file_ioctl")
int BPF_PROG(file_ioctl, struct file *file, unsigned int command, unsigned long argument, int result)
{
	if (refused(result))
		denied_file(file, FS_IOCTL_DEV);
	return 0;
}

SEC("?fexit/hook_path_mkdir")
int BPF_PROG(path_mkdir, const struct path *directory, struct dentry *dentry, unsigned short mode, int result)
{
	if (refused(result))
		denied_in(directory, dentry, FS_MAKE_DIR);
	return 0;
}

SEC("?fexit/hook_path_mknod")
int BPF_PROG(path_mknod, const struct path *directory, struct dentry *dentry, unsigned short mode, unsigned int device,
	     int result)
{
	if (refused(result))
		denied_in(directory, dentry, make_right(mode));
	return 0;
}

SEC("?fexit/hook_path_symlink")
int BPF_PROG(path_symlink, const struct path *directory, struct dentry *dentry, const char *old, int result)
{
	if (refused(result))
		denied_in(directory, dentry, FS_MAKE_SYM);
	return 0;
}

SEC("?fexit/hook_path_unlink")
int BPF_PROG(path_unlink, const struct path *directory, struct dentry *dentry, int result)
{
	if (refused(result))
		denied_in(directory, dentry, FS_REMOVE_FILE);
	return 0;
}

SEC("?fexit/hook_path_rmdir")
int BPF_PROG(path_rmdir, const struct path *directory, struct dentry *dentry, int result)
{
	if (refused(result))
		denied_in(directory, dentry, FS_REMOVE_DIR);
	return 0;
}

SEC("?fexit/hook_path_link")
int BPF_PROG(path_link, struct dentry *old, const struct path *directory, struct dentry *dentry, int result)
{
	if (refused(result))
		denied_in(directory, dentry, make_right(mode_of(old)) | (result == -EXDEV ? FS_REFER : 0));
	return 0;
}

/* -EXDEV: the two directories differ, and a right to let the file pass from one to the other is missing. */
SEC("?fexit/hook_path_rename")
int BPF_PROG(path_rename, const struct path *from, struct dentry *old, const struct path *to, struct dentry *dentry,
	     unsigned int flags, int result)
{
	__u64 refer = result == -EXDEV ? FS_REFER : 0;
	__u32 mode;

	if (!refused(result))
		return 0;
	mode = mode_of(old);
	denied_in(from, old, ((mode & S_IFMT) == S_IFDIR ? FS_REMOVE_DIR : FS_REMOVE_FILE) | refer);
	denied_in(to, dentry, make_right(mode) | refer);
	return 0;
}

static __always_inline void denied_port(const void *address, __u64 rights)
{
	struct oll_seen *event = begin_denied(OLL_ABOUT_NET, rights);

	if (!event)
		return;
	event->port = port_of(address);
	end(event);
}

SEC("?fexit/hook_socket_bind")
int BPF_PROG(socket_bind, void *socket, void *address, int length, int result)
{
	if (refused(result))
		denied_port(address, NET_BIND_TCP);
	return 0;
}

SEC("?fexit/hook_socket_connect")
int BPF_PROG(socket_connect, void *socket, void *address, int length, int result)
{
	if (refused(result))
		denied_port(address, NET_CONNECT_TCP);
	return 0;
}

SEC("?fexit/hook_unix_stream_connect")
int BPF_PROG(unix_stream_connect, void *socket, void *other, void *created, int result)
{
	if (refused(result))
		denied(OLL_ABOUT_SCOPE, SCOPE_ABSTRACT_UNIX_SOCKET);
	return 0;
}

SEC("?fexit/hook_unix_may_send")
int BPF_PROG(unix_may_send, void *socket, void *other, int result)
{
	if (refused(result))
		denied(OLL_ABOUT_SCOPE, SCOPE_ABSTRACT_UNIX_SOCKET);
	return 0;
}

SEC("?fexit/hook_task_kill")
int BPF_PROG(task_kill, void *task, void *info, int signal, void *cred, int result)
{
	if (refused(result))
		denied(OLL_ABOUT_SCOPE, SCOPE_SIGNAL);
	return 0;
}

SEC("?fexit/hook_ptrace_access_check")
int BPF_PROG(ptrace_access_check, void *child, unsigned int mode, int result)
{
	if (refused(result))
		denied(OLL_ABOUT_PTRACE, 0);
	return 0;
}

SEC("?fexit/hook_sb_mount")
int BPF_PROG(sb_mount, void *name, void *path, void *type, unsigned long flags, void *data, int result)
{
	if (refused(result))
		denied(OLL_ABOUT_TOPOLOGY, 0);
	return 0;
}

SEC("?fexit/hook_move_mount")
int BPF_PROG(move_mount, void *from, void *to, int result)
{
	if (refused(result))
		denied(OLL_ABOUT_TOPOLOGY, 0);
	return 0;
}

SEC("?fexit/hook_sb_umount")
int BPF_PROG(sb_umount, void *mount, int flags, int result)
{
	if (refused(result))
		denied(OLL_ABOUT_TOPOLOGY, 0);
	return 0;
}

SEC("?fexit/hook_sb_remount")
int BPF_PROG(sb_remount, void *block, void *options, int result)
{
	if (refused(result))
		denied(OLL_ABOUT_TOPOLOGY, 0);
	return 0;
}

SEC("?fexit/hook_sb_pivotroot")
int BPF_PROG(sb_pivotroot, void *old, void *new, int result)
{
	if (refused(result))
		denied(OLL_ABOUT_TOPOLOGY, 0);
	return 0;
}

/* ---- What is done at all, by who is audited or learnt from */

#include "uses.h"
