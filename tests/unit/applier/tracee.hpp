// SPDX-License-Identifier: Apache-2.0
// Runs a program the way the tracer does: the exec is held at the open of the program, the task is seized and
// interrupted there, and an Injection gets every stop from the exec event on.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "applier/injection/injection.hpp"

namespace support {

struct Plan {
    std::vector<std::string> command;  // the first is the program's path
    std::vector<std::string> environment;
    std::vector<applier::injection::InjectedLayer> layers;
    applier::injection::Options options = {};
    bool trace = true;  // false: nobody interferes, for comparison
    // When the parent has seen its child stop, it waits until it is not traced any more, and sends SIGCONT unless it
    // has written something. The child's standard input ends when the parent sees it continue.
    bool continueWhenStopped = false;

    // In the child, before the exec, and with the exec itself for whoever wants another way than execve.
    std::function<void()> prepare = [] {};
    std::function<void(char** arguments, char** environment)> execute;
    // In the tracer, at the n-th stop that the injection gets, from 0 on: before and after it does.
    std::function<void(pid_t task, int stop)> before = [](pid_t, int) {};
    std::function<void(pid_t task, int stop)> after = [](pid_t, int) {};
};

struct Outcome {
    applier::injection::Injection::State state = applier::injection::Injection::State::underWay;
    std::string error;
    int errorCode = 0;
    int stops = 0;              // that the injection got
    std::vector<int> statuses;  // that the child's parent got from waitpid(2), with WUNTRACED and WCONTINUED
    std::string output;         // the program's standard output
};

// Throws std::runtime_error when it cannot be done here.
Outcome run(const Plan& plan);

}  // namespace support
