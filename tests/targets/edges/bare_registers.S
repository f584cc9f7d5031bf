/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Without CFI and without frame pointer, as old assembly is: rbp holds a number,
 * another thread's business, or the stack's own data; or it is left alone, and
 * is the caller's.
 */
	.text
	.globl leaf_rbp_number
	.type leaf_rbp_number, @function
leaf_rbp_number:
	push %rbp
	mov %rdi, %rbp
1:	dec %rbp
	jnz 1b
	pop %rbp
	ret
	.size leaf_rbp_number, .-leaf_rbp_number

/* Points at stack words of which none is a frame. */
	.globl leaf_rbp_data
	.type leaf_rbp_data, @function
leaf_rbp_data:
	push %rbp
	sub $64, %rsp
	movq $0, 8(%rsp)
	movq $1, 16(%rsp)
	lea 8(%rsp), %rbp
1:	dec %rdi
	jnz 1b
	add $64, %rsp
	pop %rbp
	ret
	.size leaf_rbp_data, .-leaf_rbp_data

	.globl leaf_rbp_of_caller
	.type leaf_rbp_of_caller, @function
leaf_rbp_of_caller:
	push %rbx
1:	dec %rdi
	jnz 1b
	pop %rbx
	ret
	.size leaf_rbp_of_caller, .-leaf_rbp_of_caller

	.section .note.GNU-stack, "", @progbits
