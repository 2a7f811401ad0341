#include "sandbox.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "log.h"

/* No open, no exec, no socket, no connect: what the process holds when it gets here is all it will ever have.
 */
static const int allowed[] = {
    SCMP_SYS(read),           SCMP_SYS(write),          SCMP_SYS(readv),
    SCMP_SYS(writev),         SCMP_SYS(pread64),        SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),         SCMP_SYS(pwritev),        SCMP_SYS(ioctl),
    SCMP_SYS(poll),           SCMP_SYS(ppoll),

    SCMP_SYS(munmap),         SCMP_SYS(mremap),         SCMP_SYS(brk),
    SCMP_SYS(madvise),        SCMP_SYS(io_uring_enter), SCMP_SYS(fdatasync),
    SCMP_SYS(fsync),          SCMP_SYS(fallocate),      SCMP_SYS(lseek),
    SCMP_SYS(fstat),          SCMP_SYS(newfstatat),     SCMP_SYS(close),
    SCMP_SYS(fcntl),          SCMP_SYS(futex),          SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday),   SCMP_SYS(sendto),         SCMP_SYS(sendmsg),
    SCMP_SYS(recvfrom),       SCMP_SYS(recvmsg),        SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),   SCMP_SYS(restart_syscall),
    SCMP_SYS(getrandom),      SCMP_SYS(gettid),         SCMP_SYS(getpid),
    SCMP_SYS(tgkill),         SCMP_SYS(exit),           SCMP_SYS(set_robust_list),
    SCMP_SYS(exit_group),     SCMP_SYS(sched_yield),    SCMP_SYS(unlink),
    SCMP_SYS(shutdown),       SCMP_SYS(nanosleep),      SCMP_SYS(clock_nanosleep),
    SCMP_SYS(getsockopt),
};

/* Memory may be mapped and protected, but never be executable. */
static int allow_memory(scmp_filter_ctx filter)
{
    const struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    int rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_exec);
    return rc ? rc : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);
}

static int become(const char *user)
{
    struct passwd *account = getpwnam(user);
    uid_t uid = account ? account->pw_uid : 65534;
    gid_t gid = account ? account->pw_gid : 65534;
    if (getuid() != 0)
        return 0;
    if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid)) {
        log_line("becoming user %s: %s", user, strerror(errno));
        return -errno;
    }
    return 0;
}

int sandbox_enter(const char *user)
{
    int rc = become(user);
    if (rc)
        return rc;
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return -ENOMEM;
    for (size_t i = 0; rc == 0 && i < sizeof(allowed) / sizeof(allowed[0]); i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    if (rc == 0)
        rc = allow_memory(filter);
    if (rc == 0)
        rc = seccomp_load(filter);
    seccomp_release(filter);
    if (rc)
        log_line("installing the system call filter: %s", strerror(-rc));
    return rc;
}
