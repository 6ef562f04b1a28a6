// SPDX-License-Identifier: Apache-2.0
// The three tests. Each returns its exit status.
#pragma once

int testRules(const char* path);
int testBehaviour(const char* path);
int testStorm(const char* path, int seconds);
