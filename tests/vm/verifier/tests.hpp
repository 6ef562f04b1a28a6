// SPDX-License-Identifier: Apache-2.0
// The three tests. Each returns its exit status.
#pragma once

int testRules(const char* path);
// `stacks`: what one exec is given stacks; else the last ruleset replaces the others.
int testBehaviour(const char* path, bool stacks);
int testStorm(const char* path, int seconds);
