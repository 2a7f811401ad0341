/*
 * A PV kernel that ends in the way its command line's first letter says, and does nothing else:
 *   0 to 5  shuts down for this reason (SHUTDOWN_poweroff, _reboot, _suspend, _crash, _watchdog, _soft_reset)
 *   u       an invalid instruction without a trap table, which ends the domain as a crash
 *   w       a watchdog of one second, which nobody feeds
 *   b       waits for no port, for ever: with events masked, so that Xen does not crash it for having no callback
 *   c       powers off when CPUID says that there is SSE3, reboots when it does not
 *   m       reads an MSR that a PV guest is not offered (DEBUGCTL), then powers off
 *   e       takes event channels until it gets no more; powers off when the last was port 100, reboots otherwise
 *   g       powers off when its grant table can have 3 frames and not 4, reboots otherwise
 *   anything else: spins
 * Built with FIRST, its first instruction is the invalid one.
 */
#define HYPERVISOR_GRANT_TABLE_OP   20
#define HYPERVISOR_SCHED_OP         29
#define HYPERVISOR_EVENT_CHANNEL_OP 32
#define GNTTABOP_SETUP_TABLE        2
#define EVTCHNOP_ALLOC_UNBOUND      6
#define SCHEDOP_SHUTDOWN            2
#define SCHEDOP_POLL                3
#define SCHEDOP_WATCHDOG            6
#define START_INFO_CMD_LINE         128

        .macro note type, value
        .pushsection .note.Xen, "a", @note
        .align  4
        .long   4, 8, \type
        .asciz  "Xen"
        .quad   \value
        .popsection
        .endm
        note    3, 0                    /* virt base */
        note    4, 0                    /* physical offset */
        note    1, start                /* entry */
        .pushsection .note.Xen, "a", @note
        .align  4
        .long   4, 8, 8                 /* loader */
        .asciz  "Xen"
        .asciz  "generic"
        .popsection

        .section .text.start, "ax"
        .globl  start
start:
#ifdef FIRST
        ud2
#endif
        movzbl  START_INFO_CMD_LINE(%rsi), %eax
        cmp     $'u', %eax
        je      invalid
        cmp     $'w', %eax
        je      watchdog
        cmp     $'b', %eax
        je      blocked
        cmp     $'c', %eax
        je      features
        cmp     $'m', %eax
        je      unoffered
        cmp     $'e', %eax
        je      events
        cmp     $'g', %eax
        je      grants
        sub     $'0', %eax
        cmp     $5, %eax
        ja      spin
end:
        mov     %eax, argument(%rip)
        mov     $SCHEDOP_SHUTDOWN, %edi
        call    sched_op
invalid:
        ud2
features:
        mov     $1, %eax
        ud2
        .ascii  "xen"
        cpuid
        xor     %eax, %eax
        test    $1, %ecx
        setz    %al
        jmp     end
unoffered:
        mov     $0x1d9, %ecx
        rdmsr
        xor     %eax, %eax
        jmp     end
events:
        mov     $EVTCHNOP_ALLOC_UNBOUND, %edi
        lea     unbound(%rip), %rsi
        mov     $HYPERVISOR_EVENT_CHANNEL_OP, %eax
        syscall
        test    %eax, %eax
        jz      events
        xor     %eax, %eax
        cmpl    $100, unbound + 4(%rip)
        setne   %al
        jmp     end
grants:
        mov     $3, %ebx
        call    grant_frames
        jne     differs
        inc     %ebx
        call    grant_frames
        je      differs
        xor     %eax, %eax
        jmp     end
differs:
        mov     $1, %eax
        jmp     end
grant_frames:                           /* sets up ebx frames; equal: it was done */
        mov     %ebx, table + 4(%rip)
        lea     frames(%rip), %rax
        mov     %rax, table + 16(%rip)
        mov     $GNTTABOP_SETUP_TABLE, %edi
        lea     table(%rip), %rsi
        mov     $1, %edx
        mov     $HYPERVISOR_GRANT_TABLE_OP, %eax
        syscall
        cmpw    $0, table + 8(%rip)
        ret
watchdog:
        movl    $1, argument + 4(%rip)
        mov     $SCHEDOP_WATCHDOG, %edi
        call    sched_op
spin:
        pause
        jmp     spin
blocked:
        mov     $SCHEDOP_POLL, %edi
        lea     no_ports(%rip), %rsi
        call    sched_op_with
        jmp     blocked

sched_op:
        lea     argument(%rip), %rsi
sched_op_with:
        mov     $HYPERVISOR_SCHED_OP, %eax
        syscall
        ret

        .data
        .align  8
argument:
        .long   0, 0
no_ports:
        .quad   0, 0, 0                 /* ports, their number, no end */
unbound:
        .short  0x7ff0, 0               /* DOMID_SELF, for domain 0 */
        .long   0                       /* the port */
table:
        .short  0x7ff0, 0
        .long   0                       /* number of frames */
        .short  0, 0                    /* status */
        .long   0
        .quad   0                       /* where they are told */
frames:
        .fill   8, 8, 0
        .bss
        .align  4096
        .skip   4096
        .section .note.GNU-stack, "", @progbits
