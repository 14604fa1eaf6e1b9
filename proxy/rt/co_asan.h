/*
 * co_asan.h - tells AddressSanitizer and LeakSanitizer about our stacks; nothing in other builds.
 */
#ifndef PROXY_RT_CO_ASAN_H
#define PROXY_RT_CO_ASAN_H

#include <stddef.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define CO_ASAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define CO_ASAN 1
#endif

#ifdef CO_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>

#define asan_switch_start(save, stack, size) __sanitizer_start_switch_fiber(save, stack, size)
#define asan_switch_finish(saved, stack, size) __sanitizer_finish_switch_fiber(saved, stack, size)
#define asan_stack_idle(stack, size) __asan_poison_memory_region(stack, size)
#define asan_stack_used(stack, size) __asan_unpoison_memory_region(stack, size)
#define asan_stack_new(stack, size) __lsan_register_root_region(stack, size)
#define asan_stack_gone(stack, size) __lsan_unregister_root_region(stack, size)
#else
#define asan_switch_start(save, stack, size) ((void)(save), (void)(stack), (void)(size))
#define asan_switch_finish(saved, stack, size) ((void)(saved), (void)(stack), (void)(size))
#define asan_stack_idle(stack, size) ((void)(stack), (void)(size))
#define asan_stack_used(stack, size) ((void)(stack), (void)(size))
#define asan_stack_new(stack, size) ((void)(stack), (void)(size))
#define asan_stack_gone(stack, size) ((void)(stack), (void)(size))
#endif

#endif
