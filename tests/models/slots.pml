/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf/kfunc.bpf.c: containers share slots for rulesets. hand_over() takes a free one, empty_slot() frees it, which the
 * removal of a cgroup and a poststop hook may both do, at once; restrict_with() reads it on an exec. Each statement is
 * one step of a processor; the ones that are atomic there (an exchange, a compare-and-swap) are here.
 */
#ifndef CONTAINERS
#define CONTAINERS 2
#endif
#define SLOTS 2
#define FREE 0
#define EMPTYING 255

byte generation[SLOTS];			/* FREE, EMPTYING, or the container's */
byte ruleset[SLOTS];			/* whose it is; 0: none */
byte slot_of[CONTAINERS + 1];
bool written[CONTAINERS + 1];		/* the container's entry, so that its execs are looked at */
bool ended[CONTAINERS + 1];

proctype container(byte own)
{
	byte slot;

	/* take_free_slot() */
	if
	:: atomic { generation[0] == FREE -> generation[0] = own; slot = 0 }
	:: atomic { generation[1] == FREE -> generation[1] = own; slot = 1 }
	fi;
#ifdef RULESET_AFTER_ENTRY
	slot_of[own] = slot;
	written[own] = true;
	ruleset[slot] = own;
#else
	ruleset[slot] = own;
	slot_of[own] = slot;
	written[own] = true;
#endif
	ended[own] = true		/* at any time from here on */
}

proctype empty_slot(byte own)
{
	byte slot;
	bool won;

	ended[own];
	slot = slot_of[own];
#ifdef LOOK_THEN_EMPTY
	if
	:: generation[slot] != own -> goto done
	:: else
	fi;
#else
	d_step {
		won = generation[slot] == own;
		if
		:: won -> generation[slot] = EMPTYING
		:: else
		fi
	}
	if
	:: !won -> goto done
	:: else
	fi;
#endif
#ifdef FREE_THEN_EMPTY
	generation[slot] = FREE;
	ruleset[slot] = 0;
#else
	ruleset[slot] = 0;
#ifdef LOOK_THEN_EMPTY
	d_step {
		if
		:: generation[slot] == own -> generation[slot] = FREE
		:: else
		fi
	}
#else
	generation[slot] = FREE;
#endif
#endif
done:
	skip
}

proctype restrict_with(byte own)
{
	byte slot, found, seen;

	written[own];
	slot = slot_of[own];
#ifdef GENERATION_FIRST
	seen = generation[slot];
	found = ruleset[slot];
#else
	found = ruleset[slot];
	seen = generation[slot];
#endif
	if
	:: found != 0 && seen == own ->
		/* A program never gets the ruleset of another container. */
		assert(found == own)
	:: else ->
		/* A program is denied only when its own container has ended: nobody else's end is felt. */
		assert(ended[own])
	fi
}

init {
	byte i;

	atomic {
		for (i : 1 .. CONTAINERS) {
			run container(i);
			run empty_slot(i);
			run empty_slot(i);
			run restrict_with(i)
		}
	}
}
