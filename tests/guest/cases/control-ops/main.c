/*
 * Control operations from Dom0: the interface version is checked, unknown commands and domains are refused,
 * the basic ones answer. (What needs another domain is tested from a whole Dom0.)
 */
#include "guest.h"

struct control {
    uint32_t cmd, version;
    uint16_t domain, pad[3];
    uint64_t body[128];
};

static struct control op;

static long domctl(uint32_t cmd, uint32_t version, uint16_t domain)
{
    memset(&op, 0, sizeof(op));
    op.cmd = cmd;
    op.version = version;
    op.domain = domain;
    return hypercall(__HYPERVISOR_domctl, (uint64_t)&op, 0, 0, 0, 0);
}

static long sysctl(uint32_t cmd, uint32_t version)
{
    memset(&op, 0, sizeof(op));
    op.cmd = cmd;
    op.version = version;
    return hypercall(__HYPERVISOR_sysctl, (uint64_t)&op, 0, 0, 0, 0);
}

static long platform(uint32_t cmd, uint32_t version)
{
    memset(&op, 0, sizeof(op));
    op.cmd = cmd;
    op.version = version;
    return hypercall(__HYPERVISOR_platform_op, (uint64_t)&op, 0, 0, 0, 0);
}

void test_main(void)
{
    unsigned int accepted = 0;

    RETURNS(domctl(5, 0x14, 0), -EACCES_, "domctl of another version");
    RETURNS(sysctl(3, 0x14), -EACCES_, "sysctl of another version");
    RETURNS(platform(4, 0x02000000), -EACCES_, "platform_op of another version");
    RETURNS(domctl(5, 0x15, 0), 0, "getdomaininfo of Dom0");
    PROPERTY(op.domain == 0, "is of Dom0", "%u", op.domain);
    RETURNS(sysctl(3, 0x15), 0, "physinfo");
    for (uint32_t cmd = 200; cmd < 1000; cmd++)
        accepted += domctl(cmd, 0x15, 0) == 0;
    PROPERTY(accepted == 0 || accepted == 1, "domctl commands that are not", "%u accepted", accepted);
    accepted = 0;
    for (uint32_t cmd = 100; cmd < 1000; cmd++)
        accepted += sysctl(cmd, 0x15) == 0;
    PROPERTY(accepted == 0, "sysctl commands that are not", "%u accepted", accepted);
    accepted = 0;
    for (uint32_t cmd = 100; cmd < 1000; cmd++)
        accepted += platform(cmd, XENPF_INTERFACE_VERSION) == 0;
    PROPERTY(accepted == 0, "platform commands that are not", "%u accepted", accepted);
    accepted = 0;
    for (uint32_t cmd = 2; cmd < 90; cmd++)
        accepted += cmd != 5 && domctl(cmd, 0x15, 1234) == 0;
    PROPERTY(accepted == 0, "every domctl on a domain that is not", "%u accepted", accepted);
    REFUSED(domctl(3, 0x15, 0), "Dom0 pausing itself");
    REFUSED(domctl(2, 0x15, 0), "Dom0 destroying itself");
    SURVIVED("after all that");
}
