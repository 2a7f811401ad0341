/* The hypervisor's interface as this library uses it, in one place. */
#ifndef BH_LIB_ABI_H
#define BH_LIB_ABI_H

#include <stdint.h>
#include "public/xen.h"
#include "public/domctl.h"
#include "public/sysctl.h"
#include "public/memory.h"
#include "public/version.h"
#include "public/event_channel.h"
#include "public/grant_table.h"
#include "public/sched.h"
#include "public/elfnote.h"
#include "public/io/console.h"
#include "public/io/xs_wire.h"
#include "public/bulkhead.h"

#endif
