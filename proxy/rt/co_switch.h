/*
 * co_switch.h - changing from one stack to another.
 */
#ifndef PROXY_RT_CO_SWITCH_H
#define PROXY_RT_CO_SWITCH_H

#include <stddef.h>

#if !defined(CO_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define CO_UCONTEXT
#endif

#ifdef CO_UCONTEXT
#include <ucontext.h>
struct co_context {
	ucontext_t uc;
};
#else
struct co_context {
	void *sp; /* all else is saved on the stack itself */
};
#endif

/* Prepares c so that the first switch to it calls entry, which must never return, on the stack
 * [stack, stack + size). */
void co_context_make(struct co_context *c, void *stack, size_t size, void (*entry)(void));
/* Saves where we are in from and goes on where to was saved. */
void co_context_switch(struct co_context *from, struct co_context *to);

/* Shadow stacks of the processor know nothing of ours: turns them off for this thread. */
void co_context_init(void);

#endif
