// SPDX-License-Identifier: Apache-2.0
// One function a subcommand: takes the words after its name, returns the exit status, throws sys::Error (status 1) or
// UsageError (status 2).
#pragma once

#include <string>
#include <vector>

#include "sys/error.hpp"

namespace cli {

enum ExitStatus { exitOk = 0, exitFailed = 1, exitUsage = 2, exitUnfit = 3 };

class UsageError : public sys::Error {
public:
    using sys::Error::Error;
};

using Arguments = std::vector<std::string>;

// By which an engine hands a socket to a plugin that it starts.
inline constexpr const char* nriSocketVariable = "NRI_PLUGIN_SOCKET";

int runHook(const Arguments& arguments);
int runLoad(const Arguments& arguments);
int runUnload(const Arguments& arguments);
int runStatus(const Arguments& arguments);
int runInspect(const Arguments& arguments);
int runPs(const Arguments& arguments);
int runEvents(const Arguments& arguments);
int runLearn(const Arguments& arguments);
int runMetrics(const Arguments& arguments);
int runDoctor(const Arguments& arguments);
int runRun(const Arguments& arguments);
int runCheck(const Arguments& arguments);
int runSchema(const Arguments& arguments);
int runNode(const Arguments& arguments);
int runNri(const Arguments& arguments);
int runSupervise(const Arguments& arguments);

}  // namespace cli
