// SPDX-License-Identifier: Apache-2.0
// The three tests, and what another one asks. Each returns its exit status.
#pragma once

int testRules(const char* path);
// `stacks`: what one exec is given stacks; else the last ruleset replaces the others.
int testBehaviour(const char* path, bool stacks);
int testStorm(const char* path, int seconds);
// Says how many rulesets are in the slots of a loaded node.
int countHeld(const char* path, const char* pinnedSlots);
