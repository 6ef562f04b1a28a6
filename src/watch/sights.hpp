// SPDX-License-Identifier: Apache-2.0
// Which programs of bpf/watch.bpf.c the running kernel has a place for, and what is not seen without the others.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

struct btf;

namespace watch {

// The kernel's own types, and functions that are among them.
class KernelTypes {
public:
    // Reads all of them (/sys/kernel/btf/vmlinux): some ten milliseconds. Throws sys::Error where there are none.
    KernelTypes();

    bool haveFunction(const std::string& name) const;
    bool haveTracepoint(const std::string& name) const;

private:
    struct Free {
        void operator()(btf* types) const;
    };
    std::unique_ptr<btf, Free> types_;
};

struct Sights {
    std::vector<std::string> programs;
    std::vector<std::string> blind;  // what nothing is seen of, in the words of the rights; maybe twice
};

// Of denials; std::nullopt: the kernel lacks one of Landlock's tracepoints (Linux 7.3), or names none of its hooks.
std::optional<Sights> denialsByTracepoints(const KernelTypes& types);
std::optional<Sights> denialsByHooks(const KernelTypes& types);

// Of what is done at all: by all restricted tasks, as `learn` wants it, and what else was refused to them; or by those
// that audited entries select.
Sights accessesOfAll(const KernelTypes& types);
Sights accessesOfAudited(const KernelTypes& types);

}  // namespace watch
