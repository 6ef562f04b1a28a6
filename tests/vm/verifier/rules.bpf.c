// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One program for each rule that the verifier enforces on users of the bridge.
 * main.cpp loads them one by one and says which must be refused, and why. */
#include "bridge.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct store_args {
    int fd;
    __u32 slot;
};

/* ---- accepted ---- */

SEC("syscall")
int ok_store(struct store_args* args)
{
    struct bpf_landlock_ruleset* ruleset = bpf_landlock_ruleset_from_fd(args->fd);
    if (!ruleset) {
        return 1;
    }
    return exchange(args->slot, ruleset);
}

SEC("syscall")
int ok_revoke_syscall(struct store_args* args)
{
    return exchange(args->slot, NULL);
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(ok_restrict_for_exec, struct linux_binprm* bprm)
{
    struct bpf_landlock_ruleset* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    int error = bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS);
    bpf_landlock_put_ruleset(ruleset);
    return clamp_errno(error);
}

SEC("lsm.s/bprm_creds_from_file")
int BPF_PROG(ok_restrict_from_file, struct linux_binprm* bprm, struct file* file)
{
    struct bpf_landlock_ruleset* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    int error = bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS);
    bpf_landlock_put_ruleset(ruleset);
    return clamp_errno(error);
}

/* A program that cannot sleep is in an RCU section all the time. */
SEC("lsm/task_free")
int BPF_PROG(ok_acquire_nonsleepable, struct task_struct* task)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 0;
    }
    struct bpf_landlock_ruleset* ruleset = slot->ruleset;
    if (!ruleset) {
        return 0;
    }
    ruleset = bpf_landlock_ruleset_acquire(ruleset);
    if (ruleset) {
        bpf_landlock_put_ruleset(ruleset);
    }
    return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(ok_revoke_tp_btf, struct cgroup* cgroup, const char* path)
{
    exchange(0, NULL);
    return 0;
}

SEC("fentry/do_exit")
int BPF_PROG(ok_revoke_fentry)
{
    exchange(0, NULL);
    return 0;
}

/* The filter leaves the kfuncs of others alone. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(ok_other_kfunc, struct cgroup* cgroup, const char* path)
{
    struct task_struct* task = bpf_task_from_pid(1);
    if (task) {
        bpf_task_release(task);
    }
    return 0;
}

/* ---- refused: wrong place ---- */

SEC("lsm.s/bprm_check_security")
int BPF_PROG(bad_restrict_check_security, struct linux_binprm* bprm)
{
    struct bpf_landlock_ruleset* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    int error = bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS);
    bpf_landlock_put_ruleset(ruleset);
    return clamp_errno(error);
}

SEC("lsm.s/bprm_committed_creds")
int BPF_PROG(bad_restrict_committed_creds, struct linux_binprm* bprm)
{
    struct bpf_landlock_ruleset* ruleset = borrow(0);
    if (ruleset) {
        bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS);
        bpf_landlock_put_ruleset(ruleset);
    }
    return 0;
}

SEC("lsm/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_nonsleepable, struct linux_binprm* bprm)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 0;
    }
    struct bpf_landlock_ruleset* ruleset = bpf_kptr_xchg(&slot->ruleset, NULL);
    if (!ruleset) {
        return 0;
    }
    int error = bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS);
    bpf_landlock_put_ruleset(ruleset);
    return clamp_errno(error);
}

SEC("lsm_cgroup/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_lsm_cgroup, struct linux_binprm* bprm)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 1;
    }
    struct bpf_landlock_ruleset* ruleset = bpf_kptr_xchg(&slot->ruleset, NULL);
    if (!ruleset) {
        return 1;
    }
    bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS);
    bpf_landlock_put_ruleset(ruleset);
    return 1;
}

SEC("fentry/security_bprm_creds_for_exec")
int BPF_PROG(bad_restrict_fentry, struct linux_binprm* bprm)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 0;
    }
    struct bpf_landlock_ruleset* ruleset = bpf_kptr_xchg(&slot->ruleset, NULL);
    if (!ruleset) {
        return 0;
    }
    bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS);
    bpf_landlock_put_ruleset(ruleset);
    return 0;
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_from_fd_lsm, struct linux_binprm* bprm)
{
    struct bpf_landlock_ruleset* ruleset = bpf_landlock_ruleset_from_fd(3);
    if (ruleset) {
        bpf_landlock_put_ruleset(ruleset);
    }
    return 0;
}

SEC("fentry/security_bprm_creds_for_exec")
int BPF_PROG(bad_from_fd_fentry, struct linux_binprm* bprm)
{
    struct bpf_landlock_ruleset* ruleset = bpf_landlock_ruleset_from_fd(3);
    if (ruleset) {
        bpf_landlock_put_ruleset(ruleset);
    }
    return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(bad_acquire_tp_btf, struct cgroup* cgroup, const char* path)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 0;
    }
    struct bpf_landlock_ruleset* ruleset = slot->ruleset;
    if (!ruleset) {
        return 0;
    }
    ruleset = bpf_landlock_ruleset_acquire(ruleset);
    if (ruleset) {
        bpf_landlock_put_ruleset(ruleset);
    }
    return 0;
}

SEC("syscall")
int bad_acquire_syscall(struct store_args* args)
{
    struct bpf_landlock_ruleset* ruleset = borrow(0);
    if (ruleset) {
        bpf_landlock_put_ruleset(ruleset);
    }
    return 0;
}

SEC("xdp")
int bad_put_xdp(struct xdp_md* packet)
{
    exchange(0, NULL);
    return 2;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(bad_call_dtor, struct cgroup* cgroup, const char* path)
{
    bpf_landlock_put_ruleset_dtor(cgroup);
    return 0;
}

/* ---- refused: wrong object ---- */

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_wrong_type, struct linux_binprm* bprm)
{
    struct task_struct* task = bpf_get_current_task_btf();
    return clamp_errno(bpf_landlock_restrict_binprm(bprm, (void*)task, NO_NEW_PRIVS));
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_wrong_binprm, struct linux_binprm* bprm)
{
    struct bpf_landlock_ruleset* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    int error = bpf_landlock_restrict_binprm((void*)bpf_get_current_task_btf(), ruleset, NO_NEW_PRIVS);
    bpf_landlock_put_ruleset(ruleset);
    return clamp_errno(error);
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_not_acquired, struct linux_binprm* bprm)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 0;
    }
    struct bpf_landlock_ruleset* ruleset = slot->ruleset;
    if (!ruleset) {
        return 0;
    }
    return clamp_errno(bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS));
}

/* Sleeping is not allowed where an RCU pointer is valid. */
SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_in_rcu, struct linux_binprm* bprm)
{
    struct bpf_landlock_ruleset* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    bpf_rcu_read_lock();
    int error = bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS);
    bpf_rcu_read_unlock();
    bpf_landlock_put_ruleset(ruleset);
    return clamp_errno(error);
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_null, struct linux_binprm* bprm)
{
    return clamp_errno(bpf_landlock_restrict_binprm(bprm, NULL, NO_NEW_PRIVS));
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_unchecked, struct linux_binprm* bprm)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 0;
    }
    struct bpf_landlock_ruleset* ruleset = bpf_kptr_xchg(&slot->ruleset, NULL);
    int error = bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS);
    if (ruleset) {
        bpf_landlock_put_ruleset(ruleset);
    }
    return clamp_errno(error);
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_acquire_outside_rcu, struct linux_binprm* bprm)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 0;
    }
    struct bpf_landlock_ruleset* ruleset = slot->ruleset;
    if (!ruleset) {
        return 0;
    }
    ruleset = bpf_landlock_ruleset_acquire(ruleset);
    if (ruleset) {
        bpf_landlock_put_ruleset(ruleset);
    }
    return 0;
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_put_not_owned, struct linux_binprm* bprm)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 0;
    }
    struct bpf_landlock_ruleset* ruleset = slot->ruleset;
    if (ruleset) {
        bpf_landlock_put_ruleset(ruleset);
    }
    return 0;
}

/* ---- refused: wrong count of references ---- */

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_leak_acquired, struct linux_binprm* bprm)
{
    struct bpf_landlock_ruleset* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    return clamp_errno(bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS));
}

SEC("syscall")
int bad_leak_from_fd(struct store_args* args)
{
    return bpf_landlock_ruleset_from_fd(args->fd) != NULL;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(bad_leak_exchanged, struct cgroup* cgroup, const char* path)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (slot) {
        bpf_kptr_xchg(&slot->ruleset, NULL);
    }
    return 0;
}

SEC("syscall")
int bad_put_twice(struct store_args* args)
{
    struct bpf_landlock_ruleset* ruleset = bpf_landlock_ruleset_from_fd(args->fd);
    if (!ruleset) {
        return 1;
    }
    bpf_landlock_put_ruleset(ruleset);
    bpf_landlock_put_ruleset(ruleset);
    return 0;
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_after_put, struct linux_binprm* bprm)
{
    struct bpf_landlock_ruleset* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    bpf_landlock_put_ruleset(ruleset);
    return clamp_errno(bpf_landlock_restrict_binprm(bprm, ruleset, NO_NEW_PRIVS));
}

SEC("syscall")
int bad_store_directly(struct store_args* args)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 1;
    }
    struct bpf_landlock_ruleset* ruleset = bpf_landlock_ruleset_from_fd(args->fd);
    if (!ruleset) {
        return 1;
    }
    slot->ruleset = ruleset;
    return 0;
}
