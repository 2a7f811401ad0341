/*
 * Control operations from Dom0: the interface version is checked, unknown commands and domains are refused,
 * the basic ones answer. (What needs another domain is tested from a whole Dom0.)
 */
#include "guest.h"
#include <xen/arch-x86/xen-mca.h>

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

/* What drivers/xen/mcelog.c of Linux does when it starts, and what xl's buildid needs. */
static void machine_checks(void)
{
    static xen_mc_t mc;
    static xen_mc_logical_cpu_t cpus[64];
    static mc_info_t record;
    static struct {
        uint32_t len;
        unsigned char buf[64];
    } id = {.len = sizeof(id.buf)};
    uint32_t n;
    long length;

    mc.cmd = XEN_MC_physcpuinfo;
    mc.interface_version = 1;
    REFUSED(hypercall(__HYPERVISOR_mca, (uint64_t)&mc, 0, 0, 0, 0), "mca of another version");
    mc.interface_version = XEN_MCA_INTERFACE_VERSION;
    RETURNS(hypercall(__HYPERVISOR_mca, (uint64_t)&mc, 0, 0, 0, 0), 0, "mca: how many CPUs");
    n = mc.u.mc_physcpuinfo.ncpus;
    PROPERTY(n > 0 && n <= 64, "mca: a number of CPUs", "%u", n);
    mc.u.mc_physcpuinfo.info.p = cpus;
    RETURNS(hypercall(__HYPERVISOR_mca, (uint64_t)&mc, 0, 0, 0, 0), 0, "mca: what they are");
    PROPERTY(mc.u.mc_physcpuinfo.ncpus == n && cpus[0].mc_ncores > 0 && cpus[0].mc_vendorid[0] != 0,
             "mca: describes CPU 0", "%u CPUs, %u cores", mc.u.mc_physcpuinfo.ncpus, cpus[0].mc_ncores);
    mc.cmd = XEN_MC_fetch;
    mc.u.mc_fetch.flags = XEN_MC_URGENT;
    mc.u.mc_fetch.data.p = &record;
    RETURNS(hypercall(__HYPERVISOR_mca, (uint64_t)&mc, 0, 0, 0, 0), 0, "mca: a record");
    PROPERTY(mc.u.mc_fetch.flags & XEN_MC_NODATA, "mca: there is none", "flags %x", mc.u.mc_fetch.flags);
    mc.u.mc_fetch.flags = 0x40;
    REFUSED(hypercall(__HYPERVISOR_mca, (uint64_t)&mc, 0, 0, 0, 0), "mca: flags that are not");
    length = hypercall(__HYPERVISOR_xen_version, XENVER_build_id, 0, 0, 0, 0);
    PROPERTY(length > 0 && length <= 64, "the build id's length", "%ld", length);
    RETURNS(hypercall(__HYPERVISOR_xen_version, XENVER_build_id, (uint64_t)&id, 0, 0, 0), length,
            "the build id");
}

void test_main(void)
{
    unsigned int accepted = 0;

    machine_checks();

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
