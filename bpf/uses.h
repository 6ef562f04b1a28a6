/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What `oci-landlock learn` looks on with: what restricted tasks do, in Landlock's own rights, where Landlock
 * would be asked for them; and `oci-landlock events`, at those that audited entries select. Each is told once, by
 * whichever task and however often it is done, as long as the same entries are about it.
 *
 * By LSM programs, for the kernel skips others where another task was taken from the same processor at work in them.
 * They are not asked of what another module has refused; the others only tell of that, and are done at once else.
 */
#ifndef OCI_LANDLOCK_USES_H
#define OCI_LANDLOCK_USES_H

#include "events.h"
#include "rights.h"

#define USES_KNOWN 65536 /* what was forgotten is told again */

/* include/linux/fs.h, linux/mount.h */
#define FMODE_CREATED 0x100000
#define SB_NOUSER (1UL << 31)
#define S_PRIVATE (1 << 9)
#define MNT_INTERNAL 0x4000

/* asm-generic/fcntl.h, ioctls.h; linux/fs.h, socket.h */
#define O_TMPFILE_ALONE 020000000
#define O_TRUNC 01000
#define FIONBIO 0x5421
#define FIONCLEX 0x5450
#define FIOCLEX 0x5451
#define FIOASYNC 0x5452
#define RENAME_EXCHANGE (1 << 1)
#define MSG_FASTOPEN 0x20000000

/* The same access of the same container has the same. */
struct use {
	__u64 cgroup_id;
	__u64 mount;
	__u64 inode;
	__u64 parent;
	__u64 name; /* hash and length */
	__u64 rights;
	__u32 device;
	__u32 about;
	__u32 port;
	__u32 round;
	__u32 refused;
	__u32 late;
	__u32 entries;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, USES_KNOWN);
	__type(key, struct use);
	__type(value, __u32);
} uses SEC(".maps");

/*
 * When a directory gets another name, everything beneath it does: for the container that has renamed it, and for all
 * others as far as they are on its file system. More would be told them again, of their shares, for what is not theirs.
 */
#define USE_DEVICES 1024
volatile __u32 use_rounds[USE_DEVICES] = {}; /* two file systems can have the same one, by chance */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct qstr___with_hash {
	__u64 hash_len;
};

struct dentry___with_place {
	struct super_block *d_sb;
	struct inode *d_inode;
	struct qstr___with_hash d_name;
};

struct file___with_cred {
	const struct cred *f_cred;
};

struct super_block___with_flags {
	unsigned long s_flags;
};

struct inode___with_flags {
	unsigned int i_flags;
};

struct vfsmount___with_flags {
	int mnt_flags;
};

struct task_struct___with_creds {
	const struct cred *real_cred;
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[];
};

struct unix_sock {
	struct unix_address *addr;
	struct path path;
};

#pragma clang attribute pop

/* What Landlock lets pass whatever its rules are: files that are in no file tree. */
static __always_inline bool is_apart(struct vfsmount *mount, struct dentry *dentry)
{
	struct dentry___with_place *place = (void *)dentry;
	struct super_block___with_flags *block = (void *)BPF_CORE_READ(place, d_sb);
	struct inode___with_flags *inode = (void *)BPF_CORE_READ(place, d_inode);

	/* What is read of no inode is 0. */
	return (BPF_CORE_READ(block, s_flags) & SB_NOUSER) | (BPF_CORE_READ(inode, i_flags) & S_PRIVATE) |
	       (BPF_CORE_READ((struct vfsmount___with_flags *)mount, mnt_flags) & MNT_INTERNAL);
}

/*
 * The membership whose restriction counts here, as last_with() says it. File systems that open files of others do so as
 * somebody else.
 */
static __always_inline int acts(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	int place = last_with(learning ? EVERY_ENTRY : 0, EVERY_ENTRY);

	if (place >= 0 &&
	    BPF_CORE_READ(task, cred) != BPF_CORE_READ((struct task_struct___with_creds *)task, real_cred))
		return -1;
	return place;
}

/* True if it has not been told yet. */
static __always_inline bool is_new(struct use *use)
{
	struct oll_share *share = share_of(use->cgroup_id);
	__u32 one = 1;

	/* Neither ever goes down, and so the sum is another one as soon as one of them is. */
	use->round = use_rounds[use->device % USE_DEVICES] + (share ? share->round : 0);
	if (bpf_map_lookup_elem(&uses, use))
		return false;
	bpf_map_update_elem(&uses, use, &one, BPF_ANY);
	return true;
}

static __always_inline struct oll_seen *begin_use(struct use *use, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct oll_membership *member = membership(acts());
	__u64 *domain = member ? bpf_task_storage_get(&domains, task, NULL, 0) : NULL;
	struct oll_seen *event;

	if (!member)
		return NULL;
	use->cgroup_id = member->cgroup_id;
	use->refused = result != 0;
	use->late = !domain;
	use->entries = member->applied & ~member->owed;
	if (!learning)
		use->entries &= member->audited;
	if (!is_new(use))
		return NULL;
	event = begin(member->cgroup_id, OLL_SEEN_USED);
	if (!event) {
		bpf_map_delete_elem(&uses, use); /* it has not been told */
		return NULL;
	}
	event->entries = use->entries;
	event->generation = member->generation;
	event->error = result;
	event->about = use->about;
	event->rights = use->rights;
	event->port = use->port;
	event->domain = domain ? *domain : 0;
	if (!learning) {
		about_task(event, task);
		return event;
	}
	event->tgid = BPF_CORE_READ(task, tgid);
	event->start_time = 0;
	event->comm[0] = 0;
	return event;
}

__noinline int used_at(__u32 about, __u64 rights, __u64 mount_address, __u64 dentry_address, int result)
{
	struct vfsmount *mount = (void *)mount_address;
	struct dentry *dentry = (void *)dentry_address;
	struct dentry___with_place *place = (void *)dentry;
	struct dentry___with_place *parent = (void *)BPF_CORE_READ(dentry, d_parent);
	struct use use = {
		.mount = mount_address,
		.inode = BPF_CORE_READ(place, d_inode, i_ino), /* 0: none */
		.parent = BPF_CORE_READ(parent, d_inode, i_ino),
		.name = BPF_CORE_READ(place, d_name.hash_len),
		.rights = rights,
		.device = BPF_CORE_READ(place, d_sb, s_dev),
		.about = about,
	};
	struct oll_seen *event;

	if (is_apart(mount, dentry))
		return 0;
	event = begin_use(&use, result);
	if (!event)
		return 0;
	copy_name(event->path, mount, dentry);
	end(event);
	return 0;
}

static __always_inline void used(__u32 about, __u64 rights, struct vfsmount *mount, struct dentry *dentry, int result)
{
	used_at(about, rights, address_of(mount), address_of(dentry), result);
}

static __always_inline void used_path(const struct path *path, __u64 rights, int result)
{
	used(OLL_ABOUT_FS, rights, BPF_CORE_READ(path, mnt), BPF_CORE_READ(path, dentry), result);
}

static __always_inline void used_file(__u32 about, struct file *file, __u64 rights, int result)
{
	used(about, rights, BPF_CORE_READ(file, f_path.mnt), BPF_CORE_READ(file, f_path.dentry), result);
}

/*
 * The hook's arguments, and after so many of them what was answered. Everybody on the node comes by here: so who it is
 * is asked before anything is read.
 */
#define USE(hook, count)                                                                                               \
	SEC("?lsm/" #hook)                                                                                             \
	int use_##hook(const __u64 *arguments)                                                                         \
	{                                                                                                              \
		if (acts() >= 0)                                                                                       \
			at_##hook(arguments, 0);                                                                       \
		return 0;                                                                                              \
	}                                                                                                              \
                                                                                                                       \
	SEC("?fexit/security_" #hook)                                                                                  \
	int refused_##hook(const __u64 *arguments)                                                                     \
	{                                                                                                              \
		int result = arguments[count];                                                                         \
                                                                                                                       \
		if (result && acts() >= 0)                                                                             \
			at_##hook(arguments, result);                                                                  \
		return 0;                                                                                              \
	}

static __always_inline void made(const struct path *directory, struct dentry *dentry, __u64 rights, int result)
{
	used(OLL_ABOUT_MADE, rights, BPF_CORE_READ(directory, mnt), dentry, result);
}

static __always_inline void at_file_open(const __u64 *arguments, int result)
{
	struct file *file = (void *)arguments[0];
	__u32 mode = BPF_CORE_READ((struct file___with_flags *)file, f_mode);
	__u32 flags = BPF_CORE_READ((struct file___with_flags *)file, f_flags);
	__u64 rights = open_rights(file);

	/* Landlock looks at whose the file is: one that a file system has opened behind its own is somebody else's. */
	if (BPF_CORE_READ((struct file___with_cred *)file, f_cred) != BPF_CORE_READ(bpf_get_current_task_btf(), cred))
		return;
	/* Nobody is asked for a file that was just made: but the next run may find it there. */
	if (learning && (mode & FMODE_CREATED) && (flags & O_TRUNC))
		rights |= FS_TRUNCATE;
	if (flags & O_TMPFILE_ALONE)
		used_file(OLL_ABOUT_MADE, file, 0, result);
	used_file(OLL_ABOUT_FS, file, rights, result);
}

USE(file_open, 1)

static __always_inline void at_path_truncate(const __u64 *arguments, int result)
{
	const struct path *path = (void *)arguments[0];

	used_path(path, FS_TRUNCATE, result);
}

USE(path_truncate, 1)

static __always_inline void at_file_truncate(const __u64 *arguments, int result)
{
	struct file *file = (void *)arguments[0];

	used_file(OLL_ABOUT_OPENED, file, FS_TRUNCATE, result);
}

USE(file_truncate, 1)

static __always_inline void used_ioctl(struct file *file, unsigned int command, int result)
{
	struct inode___with_mode *inode = (void *)BPF_CORE_READ(file, f_inode);
	__u32 kind = BPF_CORE_READ(inode, i_mode) & S_IFMT;

	/* These are about the descriptor, and nobody is asked. */
	if (command == FIOCLEX || command == FIONCLEX || command == FIONBIO || command == FIOASYNC)
		return;
	if (kind == S_IFCHR || kind == S_IFBLK)
		used_file(OLL_ABOUT_OPENED, file, FS_IOCTL_DEV, result);
}

static __always_inline void at_file_ioctl(const __u64 *arguments, int result)
{
	struct file *file = (void *)arguments[0];
	unsigned int command = arguments[1];

	used_ioctl(file, command, result);
}

USE(file_ioctl, 3)

static __always_inline void at_file_ioctl_compat(const __u64 *arguments, int result)
{
	struct file *file = (void *)arguments[0];
	unsigned int command = arguments[1];

	used_ioctl(file, command, result);
}

USE(file_ioctl_compat, 3)

static __always_inline void at_path_mkdir(const __u64 *arguments, int result)
{
	const struct path *directory = (void *)arguments[0];
	struct dentry *dentry = (void *)arguments[1];

	made(directory, dentry, FS_MAKE_DIR, result);
}

USE(path_mkdir, 3)

static __always_inline void at_path_mknod(const __u64 *arguments, int result)
{
	const struct path *directory = (void *)arguments[0];
	struct dentry *dentry = (void *)arguments[1];
	unsigned short mode = arguments[2];

	made(directory, dentry, make_right(mode), result);
}

USE(path_mknod, 4)

static __always_inline void at_path_symlink(const __u64 *arguments, int result)
{
	const struct path *directory = (void *)arguments[0];
	struct dentry *dentry = (void *)arguments[1];

	made(directory, dentry, FS_MAKE_SYM, result);
}

USE(path_symlink, 3)

static __always_inline void at_path_unlink(const __u64 *arguments, int result)
{
	const struct path *directory = (void *)arguments[0];

	used_path(directory, FS_REMOVE_FILE, result);
}

USE(path_unlink, 2)

static __always_inline void at_path_rmdir(const __u64 *arguments, int result)
{
	const struct path *directory = (void *)arguments[0];

	used_path(directory, FS_REMOVE_DIR, result);
}

USE(path_rmdir, 2)

static __always_inline void at_path_link(const __u64 *arguments, int result)
{
	struct dentry *old = (void *)arguments[0];
	const struct path *directory = (void *)arguments[1];
	struct dentry *dentry = (void *)arguments[2];
	struct dentry *from = BPF_CORE_READ(old, d_parent);
	__u64 refer = from == BPF_CORE_READ(directory, dentry) ? 0 : FS_REFER;

	if (refer)
		used(OLL_ABOUT_FS, refer, BPF_CORE_READ(directory, mnt), from, result);
	made(directory, dentry, make_right(mode_of(old)) | refer, result);
}

USE(path_link, 3)

static __always_inline void begin_round(struct dentry *renamed)
{
	struct oll_membership *member = membership(acts());
	struct oll_share *share = member ? share_of(member->cgroup_id) : NULL;
	__u32 device = BPF_CORE_READ((struct dentry___with_place *)renamed, d_sb, s_dev);

	if (share)
		__sync_fetch_and_add(&share->round, 1);
	if (member)
		__sync_fetch_and_add(&use_rounds[device % USE_DEVICES], 1);
}

static __always_inline void at_path_rename(const __u64 *arguments, int result)
{
	const struct path *from = (void *)arguments[0];
	struct dentry *old = (void *)arguments[1];
	const struct path *to = (void *)arguments[2];
	struct dentry *dentry = (void *)arguments[3];
	unsigned int flags = arguments[4];
	__u64 refer = BPF_CORE_READ(from, dentry) == BPF_CORE_READ(to, dentry) ? 0 : FS_REFER;
	__u32 mode = mode_of(old);
	__u32 replaced = mode_of(dentry);

	used_path(from, remove_right(mode) | refer, result);
	if (replaced)
		used_path(to, remove_right(replaced), result);
	made(to, dentry, make_right(mode) | refer, result);
	if ((flags & RENAME_EXCHANGE) && replaced)
		made(from, old, make_right(replaced) | refer, result);
	if ((mode & S_IFMT) == S_IFDIR || (replaced & S_IFMT) == S_IFDIR)
		begin_round(old);
}

USE(path_rename, 5)

static __always_inline void used_port(struct socket *socket, const void *address, __u64 rights, int result)
{
	struct use use = { .about = OLL_ABOUT_NET, .rights = rights };
	struct address known = {};
	struct oll_seen *event;

	if (BPF_CORE_READ(socket, type) != SOCK_STREAM || BPF_CORE_READ(socket, sk, sk_protocol) != IPPROTO_TCP)
		return;
	if (bpf_probe_read_kernel(&known, sizeof(known), address) ||
	    (known.family != AF_INET && known.family != AF_INET6))
		return;
	use.port = __builtin_bswap16(known.port);
	event = begin_use(&use, result);
	if (event)
		end(event);
}

static __always_inline void at_socket_bind(const __u64 *arguments, int result)
{
	struct socket *socket = (void *)arguments[0];
	void *address = (void *)arguments[1];

	used_port(socket, address, NET_BIND_TCP, result);
}

USE(socket_bind, 3)

static __always_inline void at_socket_connect(const __u64 *arguments, int result)
{
	struct socket *socket = (void *)arguments[0];
	void *address = (void *)arguments[1];

	used_port(socket, address, NET_CONNECT_TCP, result);
}

USE(socket_connect, 3)

/* A message that also connects. */
static __always_inline void at_socket_sendmsg(const __u64 *arguments, int result)
{
	struct socket *socket = (void *)arguments[0];
	struct msghdr *message = (void *)arguments[1];
	void *address = BPF_CORE_READ(message, msg_name);

	if (address && (BPF_CORE_READ(message, msg_flags) & MSG_FASTOPEN))
		used_port(socket, address, NET_CONNECT_TCP, result);
}

USE(socket_sendmsg, 3)

static __always_inline void used_scope(__u64 scope, int result)
{
	struct use use = { .about = OLL_ABOUT_SCOPE, .rights = scope };
	struct oll_seen *event = begin_use(&use, result);

	if (event)
		end(event);
}

/* Whoever listens: that it is one of the program's own is not looked at. */
static __always_inline void used_unix(struct sock *other, int result)
{
	struct unix_sock *peer = (void *)other;
	struct dentry *dentry = BPF_CORE_READ(peer, path.dentry);
	struct unix_address *address = BPF_CORE_READ(peer, addr);
	struct {
		__u16 family;
		char first;
	} name = { .first = 1 };

	if (dentry) {
		used(OLL_ABOUT_FS, FS_RESOLVE_UNIX, BPF_CORE_READ(peer, path.mnt), dentry, result);
		return;
	}
	if (address && BPF_CORE_READ(address, len) > 2)
		bpf_probe_read_kernel(&name, 3, (void *)address + bpf_core_field_offset(struct unix_address, name));
	if (!name.first)
		used_scope(SCOPE_ABSTRACT_UNIX_SOCKET, result);
}

static __always_inline void at_unix_stream_connect(const __u64 *arguments, int result)
{
	struct sock *other = (void *)arguments[1];

	used_unix(other, result);
}

USE(unix_stream_connect, 3)

static __always_inline void at_unix_may_send(const __u64 *arguments, int result)
{
	struct socket *other = (void *)arguments[1];

	used_unix(BPF_CORE_READ(other, sk), result);
}

USE(unix_may_send, 2)

static __always_inline void at_task_kill(const __u64 *arguments, int result)
{
	struct task_struct *target = (void *)arguments[0];
	__u64 *own = bpf_task_storage_get(&domains, bpf_get_current_task_btf(), NULL, 0);
	__u64 *other = bpf_task_storage_get(&domains, target, NULL, 0);

	if (!own || !other || *own != *other)
		used_scope(SCOPE_SIGNAL, result);
}

USE(task_kill, 4)

/* Children are in the domain of their parents; so are threads of the kernel that work for one (io_uring). */
SEC("?lsm/task_alloc")
int BPF_PROG(use_task_alloc, struct task_struct *child, unsigned long flags)
{
	__u64 *own = bpf_task_storage_get(&domains, bpf_get_current_task_btf(), NULL, 0);
	__u64 *kept = own ? bpf_task_storage_get(&domains, child, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE) : NULL;

	if (kept)
		*kept = *own;
	return 0;
}

#endif
