/* SPDX-License-Identifier: Apache-2.0 */
/* As libbpf's, where nothing is relocated. */
#ifndef SELECTION_BPF_CORE_READ_H
#define SELECTION_BPF_CORE_READ_H

#define SELECTION_READ1(from, a) ((from)->a)
#define SELECTION_READ2(from, a, b) ((from)->a->b)
#define SELECTION_READ3(from, a, b, c) ((from)->a->b->c)
#define SELECTION_CHOOSE(a, b, c, name, ...) name
#define BPF_CORE_READ(from, ...) \
	SELECTION_CHOOSE(__VA_ARGS__, SELECTION_READ3, SELECTION_READ2, SELECTION_READ1, )(from, __VA_ARGS__)
#define BPF_CORE_READ_BITFIELD_PROBED(from, field) ((from)->field)
#define bpf_core_field_offset(type, field) offsetof(type, field)
#define bpf_core_type_id_kernel(...) 0
/* The newest kernel has all fields that anything looks for. */
#define bpf_core_field_exists(...) 1

#endif
