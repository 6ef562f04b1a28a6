/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf/inject.bpf.c and src/applier/inject/tracer.cpp: a program that a profile selects is executed while tracers come
 * and go, and somebody in the container traces it, too. The kernel gives these promises (kernel/ptrace.c): nobody
 * attaches to a task, or lets go of one that is not stopped, while it executes something (in_exec); and who is traced
 * with PTRACE_O_EXITKILL is killed in one step with its tracer's end.
 */
#define NOBODY 0
#define HOSTILE 9		/* with the same options as ours */

byte registered;		/* whom the gate knows as the container's tracer: 1 or 2 */
byte tracer;			/* whose the task is */
bool in_exec;			/* from the gate to the event */
bool at_event;			/* PTRACE_EVENT_EXEC: stopped in front of the first instruction */
bool killed;			/* SIGKILL is on its way */
bool owed, restricted;

active proctype task()
{
	byte known, found;

again:
	in_exec = true;
	/* admit() */
	known = registered;
	if
	:: known == NOBODY -> goto denied
	:: else
	fi;
	/* traced_by(): first its options, then whose it is */
	if
	:: tracer == NOBODY ->
		in_exec = false;	/* held: the call begins anew, or is given up */
		if
		:: goto again
		:: goto denied
		fi
	:: else
	fi;
	found = tracer;
#ifdef ANYBODYS
	skip;
#else
	if
	:: found != known -> goto denied
	:: else
	fi;
#endif
	/* commit_exec() */
	owed = true;
	if
	:: killed -> goto dead
	:: !killed && tracer == NOBODY
	:: !killed && tracer != NOBODY ->
		at_event = true;
		if
		:: !at_event
		:: killed -> goto dead
		fi
	fi;
	/* Back in user space, if nobody has killed it. */
	if
	:: killed -> goto dead
	:: else -> assert(restricted)
	fi;
denied:
	in_exec = false;
dead:
	skip
}

/* A task that is stopped stays so until its tracer says otherwise: that is one step. */
inline let_go(own)
{
	atomic { tracer == own && (at_event || !in_exec) -> tracer = NOBODY; at_event = false }
}

inline die(own)
{
	atomic {
		if
		:: tracer == own ->
			tracer = NOBODY;
#ifdef SURVIVES_ITS_TRACER
			at_event = false
#else
			killed = true
#endif
		:: else
		fi
	}
}

proctype ours(byte own)
{
	registered = own;
	do
	:: atomic { tracer == NOBODY && !in_exec -> tracer = own }
	:: atomic { tracer == own && !in_exec -> tracer = NOBODY }
	:: tracer == own && at_event ->
#ifdef SETTLED_FIRST
		owed = false;
		let_go(own);
		restricted = true
#else
		/* The calls that it makes for us; we can die between any two. */
		if
		:: restricted = true; owed = false; let_go(own)
		:: break
		fi
#endif
	:: break
	od;
	die(own)
}

active proctype hostile()
{
	do
	:: atomic { tracer == NOBODY && !in_exec -> tracer = HOSTILE }
	:: let_go(HOSTILE)
	:: break
	od
}

init {
	run ours(1);
	run ours(2)
}
