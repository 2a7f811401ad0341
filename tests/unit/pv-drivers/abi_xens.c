#include <stdint.h>

#include <xen/xen.h>
#include <xen/io/blkif.h>
#include <xen/io/console.h>
#include <xen/io/netif.h>
#include <xen/io/xenbus.h>
#include <xen/io/xs_wire.h>

#include "abi_list.h"

const struct abi_fact abi_xens[] = {ABI_FACTS};
