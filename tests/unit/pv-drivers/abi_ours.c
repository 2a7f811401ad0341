#include <public/io/blkif.h>
#include <public/io/console.h>
#include <public/io/netif.h>
#include <public/io/xenbus.h>
#include <public/io/xs_wire.h>

#include "abi_list.h"

const struct abi_fact abi_ours[] = {ABI_FACTS};
const size_t abi_ours_count = sizeof(abi_ours) / sizeof(abi_ours[0]);
