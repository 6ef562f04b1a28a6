/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Denials by Landlock, by its tracepoints (Linux 7.3), or else by what its hooks return. */
#ifndef OCI_LANDLOCK_DENIALS_H
#define OCI_LANDLOCK_DENIALS_H

#include "events.h"
#include "rights.h"

#include <linux/ptrace.h>

/* Whether there is no selector (launch): denials are told of every cgroup, and the reader knows the containers. */
const volatile __u32 without_selector = 0;

/* Without a selector: by cgroup id, the containers that the reader knows. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, OLL_MAX_CONTAINERS);
	__type(key, __u64);
	__type(value, __u32);
} launched SEC(".maps");

/* Its values are the kernel's. */
enum landlock_request_type {
	LANDLOCK_REQUEST_FS_CHANGE_TOPOLOGY,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

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

SEC("?fexit/hook_file_ioctl_compat")
int BPF_PROG(file_ioctl_compat, struct file *file, unsigned int command, unsigned long argument, int result)
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
	denied_in(from, old, remove_right(mode) | refer);
	denied_in(to, dentry, make_right(mode) | refer);
	return 0;
}

static __always_inline void denied_port(__u32 port, __u64 rights)
{
	struct oll_seen *event = begin_denied(OLL_ABOUT_NET, rights);

	if (!event)
		return;
	event->port = port;
	end(event);
}

/*
 * Both what it is sent to and, as long as the socket has no port of its own, that it is given any one, for which the
 * right to bind to port 0 is asked.
 */
static __always_inline void denied_udp(struct socket *socket, const void *address)
{
	if (address)
		denied_port(port_of(address), NET_CONNECT_SEND_UDP);
	if (!BPF_CORE_READ(socket, sk, __sk_common.skc_num))
		denied_port(0, NET_BIND_UDP);
}

/* Whom a program sends to or connects with. */
static __always_inline void denied_peer(struct socket *socket, const void *address)
{
	if (is_udp(socket))
		denied_udp(socket, address);
	else
		denied_port(port_of(address), NET_CONNECT_TCP);
}

SEC("?fexit/hook_socket_bind")
int BPF_PROG(socket_bind, struct socket *socket, void *address, int length, int result)
{
	if (refused(result))
		denied_port(port_of(address), is_udp(socket) ? NET_BIND_UDP : NET_BIND_TCP);
	return 0;
}

SEC("?fexit/hook_socket_connect")
int BPF_PROG(socket_connect, struct socket *socket, void *address, int length, int result)
{
	if (refused(result))
		denied_peer(socket, address);
	return 0;
}

/* Of TCP, a message that also connects. */
SEC("?fexit/hook_socket_sendmsg")
int BPF_PROG(socket_sendmsg, struct socket *socket, struct msghdr *message, int size, int result)
{
	if (refused(result))
		denied_peer(socket, BPF_CORE_READ(message, msg_name));
	return 0;
}

SEC("?fexit/hook_unix_find")
int BPF_PROG(unix_find, const struct path *path, void *other, int flags, int result)
{
	if (refused(result))
		denied_path(path, FS_RESOLVE_UNIX);
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

#endif
