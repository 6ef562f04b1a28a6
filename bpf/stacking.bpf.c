// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whether rulesets that are applied to one exec stack, or the last one replaces the others: asked of the kernel, with
 * an exec that is denied. Where they stack, there comes one that is too many; where they do not, there never does.
 */
#include "bridge.h"

struct held {
	oll_ruleset __kptr *ruleset;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct held);
} held SEC(".maps");

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u32 tgid = 0; /* who asks, in the initial pid namespace */
__u32 applied = 0; /* how often it worked */
int error = 0; /* of the call after these; 0: all worked */

/* By the process that will ask, of its own descriptor. */
SEC("syscall")
int take_ruleset(struct oll_take_ruleset *ctx)
{
	__u32 zero = 0;
	struct held *place = bpf_map_lookup_elem(&held, &zero);
	struct lsm_policy_object *ruleset;

	ruleset = bpf_lsm_policy_from_fd(ctx->ruleset, 0);
	if (!ruleset)
		return 0;
	if (place)
		ruleset = bpf_kptr_xchg(&place->ruleset, ruleset);
	if (ruleset)
		bpf_lsm_policy_release(ruleset);
	tgid = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

SEC("lsm.s/bprm_creds_for_exec")
int BPF_PROG(try_stacking, struct linux_binprm *bprm, int ret)
{
	__u32 zero = 0, i;
	struct held *place = bpf_map_lookup_elem(&held, &zero);
	struct lsm_policy_object *ruleset;

	if (ret || !tgid || bpf_get_current_pid_tgid() >> 32 != tgid)
		return ret;
	ruleset = place ? bpf_kptr_xchg(&place->ruleset, NULL) : NULL;
	if (!ruleset)
		return -EPERM;
	for (i = 0; i <= OLL_MAX_LAYERS; i++) {
		error = bpf_lsm_policy_apply_bprm(ruleset, bprm, OLL_RESTRICT_NO_NEW_PRIVS);
		if (error)
			break;
		applied = i + 1;
	}
	bpf_lsm_policy_release(ruleset);
	return -EPERM;
}
