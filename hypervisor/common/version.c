/* xen_version: what this hypervisor is and can do. Bulkhead speaks the ABI of Xen 4.17 and says so. */
#include <bh/version.h>
#include <bh/cmdline.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/printk.h>
#include <bh/string.h>
#include <public/version.h>

const char version_extra[16] = ".bulkhead-" BULKHEAD_VERSION;
const char version_capabilities[] = "xen-3.0-x86_64 ";
const char version_changeset[64] = "bulkhead " BULKHEAD_VERSION;

/* The linker's note in the image: three words, "GNU" and a NUL, then the build id. */
#define BUILD_ID_NOTE_HEADER 16
extern const uint8_t build_id_note[], build_id_end[];

void version_print_banner(void)
{
    printk(LOG_INFO, "Bulkhead %s, ABI of Xen %d.%d, C compiler %s", BULKHEAD_VERSION, XEN_ABI_MAJOR,
           XEN_ABI_MINOR, __VERSION__);
}

static long put(struct vcpu *v, uint64_t untrusted_dst, const void *src, size_t size)
{
    if (copy_to_guest(v, untrusted_dst, src, size))
        return fail(v, -EFAULT, "xen_version: buffer at {0} cannot be written, {1} bytes", untrusted_dst,
                    size);
    return 0;
}

/* Copies a text into a guest's buffer of `size` bytes, filled up with zeros. */
static long put_text(struct vcpu *v, uint64_t untrusted_dst, const char *text, size_t size)
{
    char buf[1024] = {0};

    memcpy(buf, text, MIN(strlen(text), size - 1));
    return put(v, untrusted_dst, buf, size);
}

static long get_features(struct vcpu *v, uint64_t untrusted_arg)
{
    struct domain *d = v->domain;
    struct xen_feature_info info;

    if (copy_from_guest(v, &info, untrusted_arg, sizeof(info)))
        return fail(v, -EFAULT, "xen_version: argument at {0} cannot be read", untrusted_arg, 0);
    if (info.submap_idx >= XENFEAT_NR_SUBMAPS)
        return fail(v, -EINVAL, "xen_version: no feature submap {0}", info.submap_idx, 0);
    info.submap = 1u << XENFEAT_memory_op_vnode_supported | 1u << XENFEAT_mmu_pt_update_preserve_ad |
                  1u << XENFEAT_highmem_assist | 1u << XENFEAT_gnttab_map_avail_bits |
                  1u << XENFEAT_direct_mapped;
    if (d->vm_assist & (1UL << VMASST_TYPE_pae_extended_cr3))
        info.submap |= 1u << XENFEAT_pae_pgdir_above_4gb;
    if (domain_is_control(d))
        info.submap |= 1u << XENFEAT_dom0;
    return put(v, untrusted_arg, &info, sizeof(info));
}

static long compile_info(struct vcpu *v, uint64_t untrusted_arg)
{
    /* No user, host or date: the same source gives the same image. */
    static const struct xen_compile_info info = {
        .compiler = "C compiler " __VERSION__,
        .compile_by = "bulkhead",
        .compile_domain = "",
        .compile_date = "",
    };

    return put(v, untrusted_arg, &info, sizeof(info));
}

/* Without a buffer only its length is told. */
static long build_id(struct vcpu *v, uint64_t untrusted_arg)
{
    const uint8_t *id = build_id_note + BUILD_ID_NOTE_HEADER;
    uint32_t have = (uint32_t)(build_id_end - id), room;

    if (!domain_is_control(v->domain))
        return fail(v, -EPERM, "xen_version: the build id is for the control domain, not d{0}", v->domain->id,
                    0);
    if (untrusted_arg == 0)
        return have;
    if (copy_from_guest(v, &room, untrusted_arg, sizeof(room)))
        return fail(v, -EFAULT, "xen_version: argument at {0} cannot be read", untrusted_arg, 0);
    if (room < have)
        return fail(v, room == 0 ? -EINVAL : -ENOBUFS, "xen_version: build id: room for {0} bytes of {1}",
                    room, have);
    return put(v, untrusted_arg + sizeof(struct xen_build_id), id, have) ? -EFAULT : (long)have;
}

/* Everything but the two calls that are asked often. */
static __attribute__((noinline)) long slow_op(struct vcpu *v, uint32_t cmd, uint64_t untrusted_arg)
{
    struct xen_platform_parameters params = {.virt_start = HYPERVISOR_VIRT_START};

    switch (cmd) {
    case XENVER_extraversion:
        return put_text(v, untrusted_arg, version_extra, XEN_EXTRAVERSION_LEN);
    case XENVER_compile_info:
        return compile_info(v, untrusted_arg);
    case XENVER_capabilities:
        return put_text(v, untrusted_arg, version_capabilities, XEN_CAPABILITIES_INFO_LEN);
    case XENVER_changeset:
        return put_text(v, untrusted_arg, version_changeset, XEN_CHANGESET_INFO_LEN);
    case XENVER_platform_parameters:
        return put(v, untrusted_arg, &params, sizeof(params));
    case XENVER_get_features:
        return get_features(v, untrusted_arg);
    case XENVER_guest_handle:
        return put(v, untrusted_arg, v->domain->handle, sizeof(v->domain->handle));
    case XENVER_commandline:
        return put_text(v, untrusted_arg, domain_is_control(v->domain) ? saved_cmdline : "<denied>",
                        sizeof(xen_commandline_t));
    case XENVER_build_id:
        return build_id(v, untrusted_arg);
    default:
        return fail(v, -ENOSYS, "xen_version: no operation {0}", cmd, 0);
    }
}

long do_xen_version(struct vcpu *v, unsigned long cmd, unsigned long untrusted_arg, unsigned long a3,
                    unsigned long a4, unsigned long a5)
{
    if (likely((uint32_t)cmd == XENVER_version))
        return XEN_ABI_MAJOR << 16 | XEN_ABI_MINOR;
    if ((uint32_t)cmd == XENVER_pagesize)
        return untrusted_arg ? fail(v, -EINVAL, "xen_version: pagesize takes no argument", 0, 0)
                             : (long)PAGE_SIZE;
    return slow_op(v, (uint32_t)cmd, untrusted_arg);
}
