/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SELECTION_BPF_TRACING_H
#define SELECTION_BPF_TRACING_H

#define BPF_PROG(name, ...) name(__VA_ARGS__)

#endif
