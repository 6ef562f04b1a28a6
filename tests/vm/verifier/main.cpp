// SPDX-License-Identifier: Apache-2.0
// Tests of the kernel side alone, on a kernel with the BPF bridge to Landlock. Runs as root in the virtual machine.
//
// bridge-tests rules rules.bpf.o
// bridge-tests behaviour behaviour.bpf.o [replacing]
// bridge-tests storm behaviour.bpf.o SECONDS
// bridge-tests held held.bpf.o /sys/fs/bpf/…/slots
#include <cstdio>
#include <string>

#include "program.hpp"
#include "tests.hpp"

int main(int argc, char** argv)
{
    if (const int status = runProgram(argc, argv); status >= 0) {
        return status;
    }
    const std::string command = argc > 1 ? argv[1] : "";
    if (command == "rules" && argc > 2) {
        return testRules(argv[2]);
    }
    if (command == "behaviour" && argc > 2) {
        return testBehaviour(argv[2], argc < 4 || std::string(argv[3]) != "replacing");
    }
    if (command == "storm" && argc > 3) {
        return testStorm(argv[2], std::atoi(argv[3]));
    }
    if (command == "held" && argc > 3) {
        return countHeld(argv[2], argv[3]);
    }
    std::fprintf(stderr,
                 "usage: %s rules OBJECT, behaviour OBJECT [replacing], storm OBJECT SECONDS, or held OBJECT MAP\n",
                 argv[0]);
    return 2;
}
