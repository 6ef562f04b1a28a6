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
    struct lsm_policy_object* ruleset = bpf_lsm_policy_from_fd(args->fd, 0);
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
    struct lsm_policy_object* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    int error = bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS);
    bpf_lsm_policy_release(ruleset);
    return clamp_errno(error);
}

SEC("lsm.s/bprm_creds_from_file")
int BPF_PROG(ok_restrict_from_file, struct linux_binprm* bprm, struct file* file)
{
    struct lsm_policy_object* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    int error = bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS);
    bpf_lsm_policy_release(ruleset);
    return clamp_errno(error);
}

SEC("syscall")
int ok_prepare_timer(struct store_args* args)
{
    return prepare_timer(args->slot);
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
    struct lsm_policy_object* ruleset = slot->ruleset;
    if (!ruleset) {
        return 0;
    }
    ruleset = bpf_lsm_policy_acquire(ruleset);
    if (ruleset) {
        bpf_lsm_policy_release(ruleset);
    }
    return 0;
}

SEC("lsm/task_free")
int BPF_PROG(ok_revoke_lsm, struct task_struct* task)
{
    exchange(0, NULL);
    return 0;
}

SEC("syscall")
int ok_acquire_syscall(struct store_args* args)
{
    struct lsm_policy_object* ruleset = borrow(0);
    if (ruleset) {
        bpf_lsm_policy_release(ruleset);
    }
    return 0;
}

/* Other programs have a timer drop rulesets, which one that may release them has prepared. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(ok_empty_later_tp_btf, struct cgroup* cgroup, const char* path)
{
    empty_later(0);
    return 0;
}

SEC("fentry/do_exit")
int BPF_PROG(ok_empty_later_fentry)
{
    empty_later(0);
    return 0;
}

SEC("syscall")
int ok_read_fields(struct store_args* args)
{
    struct lsm_policy_object* ruleset = bpf_lsm_policy_from_fd(args->fd, 0);
    if (!ruleset) {
        return 1;
    }
    int result = ruleset->lsmid != 110 || ruleset->type != 1;
    bpf_lsm_policy_release(ruleset);
    return result;
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
    struct lsm_policy_object* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    int error = bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS);
    bpf_lsm_policy_release(ruleset);
    return clamp_errno(error);
}

SEC("lsm.s/bprm_committed_creds")
int BPF_PROG(bad_restrict_committed_creds, struct linux_binprm* bprm)
{
    struct lsm_policy_object* ruleset = borrow(0);
    if (ruleset) {
        bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS);
        bpf_lsm_policy_release(ruleset);
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
    struct lsm_policy_object* ruleset = bpf_kptr_xchg(&slot->ruleset, NULL);
    if (!ruleset) {
        return 0;
    }
    int error = bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS);
    bpf_lsm_policy_release(ruleset);
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
    struct lsm_policy_object* ruleset = bpf_kptr_xchg(&slot->ruleset, NULL);
    if (!ruleset) {
        return 1;
    }
    bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS);
    bpf_lsm_policy_release(ruleset);
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
    struct lsm_policy_object* ruleset = bpf_kptr_xchg(&slot->ruleset, NULL);
    if (!ruleset) {
        return 0;
    }
    bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS);
    bpf_lsm_policy_release(ruleset);
    return 0;
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_from_fd_lsm, struct linux_binprm* bprm)
{
    struct lsm_policy_object* ruleset = bpf_lsm_policy_from_fd(3, 0);
    if (ruleset) {
        bpf_lsm_policy_release(ruleset);
    }
    return 0;
}

SEC("fentry/security_bprm_creds_for_exec")
int BPF_PROG(bad_from_fd_fentry, struct linux_binprm* bprm)
{
    struct lsm_policy_object* ruleset = bpf_lsm_policy_from_fd(3, 0);
    if (ruleset) {
        bpf_lsm_policy_release(ruleset);
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
    struct lsm_policy_object* ruleset = slot->ruleset;
    if (!ruleset) {
        return 0;
    }
    ruleset = bpf_lsm_policy_acquire(ruleset);
    if (ruleset) {
        bpf_lsm_policy_release(ruleset);
    }
    return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(bad_put_tp_btf, struct cgroup* cgroup, const char* path)
{
    exchange(0, NULL);
    return 0;
}

SEC("fentry/do_exit")
int BPF_PROG(bad_put_fentry)
{
    exchange(0, NULL);
    return 0;
}

SEC("syscall")
int bad_restrict_syscall(struct store_args* args)
{
    struct lsm_policy_object* ruleset = borrow(0);
    if (ruleset) {
        bpf_lsm_policy_apply_bprm(ruleset, (void*)args, NO_NEW_PRIVS);
        bpf_lsm_policy_release(ruleset);
    }
    return 0;
}

/* The hooks by which modules offer policies are not for programs. */
SEC("lsm/policy_object_get")
int BPF_PROG(bad_hook_get, struct lsm_policy_object* object)
{
    return 0;
}

SEC("lsm/policy_object_put")
int BPF_PROG(bad_hook_put, struct lsm_policy_object* object)
{
    return 0;
}

SEC("lsm/policy_object_from_fd")
int BPF_PROG(bad_hook_from_fd, int fd, struct lsm_policy_object** object)
{
    return 0;
}

SEC("lsm/bprm_apply_policy_object")
int BPF_PROG(bad_hook_apply, struct linux_binprm* bprm, struct lsm_policy_object* object)
{
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
    bpf_lsm_policy_release_dtor(cgroup);
    return 0;
}

/* What a timer does is judged as the program that prepares it. */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(bad_prepare_timer_tp_btf, struct cgroup* cgroup, const char* path)
{
    prepare_timer(0);
    return 0;
}

/* ---- refused: wrong object ---- */

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_wrong_type, struct linux_binprm* bprm)
{
    struct task_struct* task = bpf_get_current_task_btf();
    return clamp_errno(bpf_lsm_policy_apply_bprm((void*)task, bprm, NO_NEW_PRIVS));
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_wrong_binprm, struct linux_binprm* bprm)
{
    struct lsm_policy_object* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    int error = bpf_lsm_policy_apply_bprm(ruleset, (void*)bpf_get_current_task_btf(), NO_NEW_PRIVS);
    bpf_lsm_policy_release(ruleset);
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
    struct lsm_policy_object* ruleset = slot->ruleset;
    if (!ruleset) {
        return 0;
    }
    return clamp_errno(bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS));
}

/* Sleeping is not allowed where an RCU pointer is valid. */
SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_in_rcu, struct linux_binprm* bprm)
{
    struct lsm_policy_object* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    bpf_rcu_read_lock();
    int error = bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS);
    bpf_rcu_read_unlock();
    bpf_lsm_policy_release(ruleset);
    return clamp_errno(error);
}

/* Memory of the program is no policy, whatever is in it. */
SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_forged, struct linux_binprm* bprm)
{
    __u64 forged[16] = {};
    return clamp_errno(bpf_lsm_policy_apply_bprm((void*)forged, bprm, NO_NEW_PRIVS));
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_acquire_forged, struct linux_binprm* bprm)
{
    __u64 forged[16] = {};
    struct lsm_policy_object* ruleset = bpf_lsm_policy_acquire((void*)forged);
    if (ruleset) {
        bpf_lsm_policy_release(ruleset);
    }
    return 0;
}

SEC("syscall")
int bad_write_fields(struct store_args* args)
{
    struct lsm_policy_object* ruleset = bpf_lsm_policy_from_fd(args->fd, 0);
    if (!ruleset) {
        return 1;
    }
    ruleset->type = 2;
    bpf_lsm_policy_release(ruleset);
    return 0;
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_null, struct linux_binprm* bprm)
{
    return clamp_errno(bpf_lsm_policy_apply_bprm(NULL, bprm, NO_NEW_PRIVS));
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_unchecked, struct linux_binprm* bprm)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 0;
    }
    struct lsm_policy_object* ruleset = bpf_kptr_xchg(&slot->ruleset, NULL);
    int error = bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS);
    if (ruleset) {
        bpf_lsm_policy_release(ruleset);
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
    struct lsm_policy_object* ruleset = slot->ruleset;
    if (!ruleset) {
        return 0;
    }
    ruleset = bpf_lsm_policy_acquire(ruleset);
    if (ruleset) {
        bpf_lsm_policy_release(ruleset);
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
    struct lsm_policy_object* ruleset = slot->ruleset;
    if (ruleset) {
        bpf_lsm_policy_release(ruleset);
    }
    return 0;
}

/* ---- refused: wrong count of references ---- */

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_leak_acquired, struct linux_binprm* bprm)
{
    struct lsm_policy_object* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    return clamp_errno(bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS));
}

SEC("syscall")
int bad_leak_from_fd(struct store_args* args)
{
    return bpf_lsm_policy_from_fd(args->fd, 0) != NULL;
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
    struct lsm_policy_object* ruleset = bpf_lsm_policy_from_fd(args->fd, 0);
    if (!ruleset) {
        return 1;
    }
    bpf_lsm_policy_release(ruleset);
    bpf_lsm_policy_release(ruleset);
    return 0;
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(bad_restrict_after_put, struct linux_binprm* bprm)
{
    struct lsm_policy_object* ruleset = borrow(0);
    if (!ruleset) {
        return 0;
    }
    bpf_lsm_policy_release(ruleset);
    return clamp_errno(bpf_lsm_policy_apply_bprm(ruleset, bprm, NO_NEW_PRIVS));
}

SEC("syscall")
int bad_store_directly(struct store_args* args)
{
    __u32 index = 0;
    struct slot* slot = bpf_map_lookup_elem(&slots, &index);
    if (!slot) {
        return 1;
    }
    struct lsm_policy_object* ruleset = bpf_lsm_policy_from_fd(args->fd, 0);
    if (!ruleset) {
        return 1;
    }
    slot->ruleset = ruleset;
    return 0;
}
