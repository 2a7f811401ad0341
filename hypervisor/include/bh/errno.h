/* Error numbers of the hypercall ABI (public/errno.h of the Xen interface); returned negative. */
#ifndef BH_ERRNO_H
#define BH_ERRNO_H

#define EPERM      1
#define ENOENT     2
#define ESRCH      3
#define EIO        5
#define ENXIO      6
#define E2BIG      7
#define EAGAIN     11
#define ENOMEM     12
#define EACCES     13
#define EFAULT     14
#define EBUSY      16
#define EEXIST     17
#define ENODEV     19
#define EISDIR     21
#define EINVAL     22
#define ENOSPC     28
#define EROFS      30
#define EDOM       33
#define ERANGE     34
#define ENOSYS     38
#define ENOTEMPTY  39
#define ENODATA    61
#define ETIME      62
#define EUSERS     87
#define EOPNOTSUPP 95
#define EADDRINUSE 98
#define ENOBUFS    105

#endif
