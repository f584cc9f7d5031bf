/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that no compiler makes, with the CFI that tells the truth about them. */
	.text

/* rbx and rbp in an order of their own, and both used for something else. */
	.globl odd_order
	.type odd_order, @function
odd_order:
	.cfi_startproc
	push %r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	push %rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	push %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	sub $48, %rsp
	.cfi_adjust_cfa_offset 48
	mov $0x1234, %ebp
	mov $0x5678, %ebx
	call *%rdi
	add $48, %rsp
	.cfi_adjust_cfa_offset -48
	pop %rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbp
	pop %rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	pop %r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r12
	ret
	.cfi_endproc
	.size odd_order, .-odd_order

/* CFA = rbx + 16 while rsp is realigned, as in ld.so's _dl_runtime_resolve. */
	.globl odd_base
	.type odd_base, @function
odd_base:
	.cfi_startproc
	push %rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	mov %rsp, %rbx
	.cfi_def_cfa_register %rbx
	and $-64, %rsp
	sub $128, %rsp
	call *%rdi
	mov %rbx, %rsp
	.cfi_def_cfa_register %rsp
	pop %rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	ret
	.cfi_endproc
	.size odd_base, .-odd_base

/* Saved by mov into slots of which none is beside the return address; rbp is zeroed. */
	.globl odd_slots
	.type odd_slots, @function
odd_slots:
	.cfi_startproc
	sub $72, %rsp
	.cfi_adjust_cfa_offset 72
	mov %rbp, 40(%rsp)
	.cfi_rel_offset %rbp, 40
	mov %rbx, 16(%rsp)
	.cfi_rel_offset %rbx, 16
	xor %ebp, %ebp
	xor %ebx, %ebx
	call *%rdi
	mov 16(%rsp), %rbx
	.cfi_restore %rbx
	mov 40(%rsp), %rbp
	.cfi_restore %rbp
	add $72, %rsp
	.cfi_adjust_cfa_offset -72
	ret
	.cfi_endproc
	.size odd_slots, .-odd_slots

	.section .note.GNU-stack, "", @progbits
