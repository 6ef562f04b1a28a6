// SPDX-License-Identifier: Apache-2.0
// What the tests execute, with the files around it, and what it is restricted by.
#pragma once

// What a program reports about itself in its exit status.
enum : int { restricted = 1, noNewPrivs = 2, isRoot = 4, execFailed = 64 };

inline constexpr const char* secret = "/tmp/bridge/secret";
inline constexpr const char* allowed = "/tmp/bridge/allowed";
inline constexpr const char* probe = "/tmp/bridge/bin/probe";
inline constexpr const char* setuidProbe = "/tmp/bridge/bin/setuid-probe";
inline constexpr const char* badScript = "/tmp/bridge/bin/bad-script";
inline constexpr const char* script = "/tmp/bridge/bin/script";

// What this process can do, in the bits above.
int state();

// "state", "reads", "read PATH", "exec PROGRAM" or "self-restrict", as a test executes it. Its exit status, or -1: none
// of them.
int runProgram(int argc, char** argv);

// All that stands above.
void makeFiles();

// Reading `path` and what is beneath it is allowed from now on.
void allow(int ruleset, const char* path);

// Lets programs run, and denies to read the secret.
int usualRuleset();
