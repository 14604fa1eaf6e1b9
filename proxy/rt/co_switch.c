/*
 * co_switch.c - the context switch: callee-saved registers go onto the old stack, the stack pointer
 * changes, and they come back from the new one.
 *
 * The x86-64 form follows the System V ABI (rbx rbp r12-r15, the control halves of mxcsr and of the
 * x87 word), the aarch64 form AAPCS64 (x19-x30, d8-d15).  Signal masks are not saved: all coroutines
 * share one.  With CO_UCONTEXT the C library does it, at the price of a system call.
 */
#include "proxy/rt/co_switch.h"

#include <stdint.h>
#include <string.h>

#ifdef CO_UCONTEXT

#include "policy/kit/must.h"

void
co_context_make(struct co_context *c, void *stack, size_t size, void (*entry)(void))
{
	MUST(getcontext(&c->uc) == 0);
	c->uc.uc_stack.ss_sp = stack;
	c->uc.uc_stack.ss_size = size;
	c->uc.uc_link = NULL;
	makecontext(&c->uc, entry, 0);
}

void
co_context_switch(struct co_context *from, struct co_context *to)
{
	MUST(swapcontext(&from->uc, &to->uc) == 0);
}

#else

/* In: where to save the stack pointer, the stack pointer to go on with. */
void co_stack_switch(void **save, void *load);

#ifdef __x86_64__
/* endbr64: with indirect branch tracking every function whose address may be taken starts so. */
__asm__(".pushsection .text\n"
	".balign 16\n"
	".globl co_stack_switch\n"
	".hidden co_stack_switch\n"
	".type co_stack_switch,@function\n"
	"co_stack_switch:\n"
	"	endbr64\n"
	"	pushq %rbp\n"
	"	pushq %rbx\n"
	"	pushq %r12\n"
	"	pushq %r13\n"
	"	pushq %r14\n"
	"	pushq %r15\n"
	"	subq $8, %rsp\n"
	"	stmxcsr (%rsp)\n"
	"	fnstcw 4(%rsp)\n"
	"	movq %rsp, (%rdi)\n"
	"	movq %rsi, %rsp\n"
	"	ldmxcsr (%rsp)\n"
	"	fldcw 4(%rsp)\n"
	"	addq $8, %rsp\n"
	"	popq %r15\n"
	"	popq %r14\n"
	"	popq %r13\n"
	"	popq %r12\n"
	"	popq %rbx\n"
	"	popq %rbp\n"
	"	ret\n"
	".size co_stack_switch, .-co_stack_switch\n"
	".popsection\n");

enum { FRAME_WORDS = 10, FRAME_ENTRY = 7 };

/* The control words that every thread starts with are those of the running one. */
static void
frame_fill(uint64_t *frame)
{
	uint32_t mxcsr;
	uint16_t x87;

	__asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
	__asm__ volatile("fnstcw %0" : "=m"(x87));
	memcpy(frame, &mxcsr, sizeof(mxcsr));
	memcpy((char *)frame + 4, &x87, sizeof(x87));
}
#else
/* hint 34 is "bti c", a no-op where branch targets are not checked. */
__asm__(".pushsection .text\n"
	".balign 16\n"
	".globl co_stack_switch\n"
	".hidden co_stack_switch\n"
	".type co_stack_switch,%function\n"
	"co_stack_switch:\n"
	"	hint #34\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp, #0]\n"
	"	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n"
	"	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n"
	"	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n"
	"	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n"
	"	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n"
	"	str x9, [x0]\n"
	"	mov sp, x1\n"
	"	ldp x19, x20, [sp, #0]\n"
	"	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n"
	"	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n"
	"	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n"
	"	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n"
	"	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size co_stack_switch, .-co_stack_switch\n"
	".popsection\n");

enum { FRAME_WORDS = 20, FRAME_ENTRY = 11 };

static void
frame_fill(uint64_t *frame)
{
	(void)frame;
}
#endif

/*
 * The first frame is what co_stack_switch() would have left.  On x86-64 the entry's address lies at a
 * multiple of 16, so that the entry finds the stack as after a call, with zero for return address:
 * there unwinding ends.
 */
void
co_context_make(struct co_context *c, void *stack, size_t size, void (*entry)(void))
{
	uintptr_t top = ((uintptr_t)stack + size) & ~(uintptr_t)15;
	uint64_t *frame = (uint64_t *)(top - (FRAME_WORDS + FRAME_WORDS % 2) * sizeof(uint64_t));

#ifdef __x86_64__
	frame--; /* frame[FRAME_ENTRY] at a multiple of 16 */
#endif
	memset(frame, 0, FRAME_WORDS * sizeof(*frame));
	frame_fill(frame);
	frame[FRAME_ENTRY] = (uint64_t)(uintptr_t)entry;
	c->sp = frame;
}

void
co_context_switch(struct co_context *from, struct co_context *to)
{
	co_stack_switch(&from->sp, to->sp);
}

#endif

#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

/* rdsspq, which does nothing where there is no shadow stack; ARCH_SHSTK_DISABLE of asm/prctl.h. */
void
co_context_init(void)
{
	uint64_t shadow = 0;

	__asm__ volatile("rdsspq %0" : "+r"(shadow));
	if (shadow != 0)
		syscall(SYS_arch_prctl, 0x5002, 1ul);
}
#else
void
co_context_init(void)
{
}
#endif
