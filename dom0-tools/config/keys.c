/*
 * The keys of a configuration, in one table: what type each has, what is allowed, whether it has an effect,
 * and where its value goes. xl.cfg(5) names them; keys of XML and JSON are these too. The schema, the manual
 * and the checker are made from this table.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "../lib/cpuid.h"
#include "doc.h"

#define ACTIONS "destroy|restart|rename-restart|preserve|coredump-destroy|coredump-restart|soft-reset"

/* ---- where values go ---- */

#define STRING_KEY(member)                                                                                   \
    static bool put_##member(struct doc *doc, const struct key *key, const struct value *v,                  \
                             struct bh_config *c)                                                            \
    {                                                                                                        \
        free(c->member);                                                                                     \
        c->member = strdup(v->text);                                                                         \
        return c->member != NULL;                                                                            \
    }
#define INT_KEY(member)                                                                                      \
    static bool put_##member(struct doc *doc, const struct key *key, const struct value *v,                  \
                             struct bh_config *c)                                                            \
    {                                                                                                        \
        c->member = v->number;                                                                               \
        return true;                                                                                         \
    }
#define ACTION_KEY(member)                                                                                   \
    static bool put_##member(struct doc *doc, const struct key *key, const struct value *v,                  \
                             struct bh_config *c)                                                            \
    {                                                                                                        \
        unsigned int index = 0;                                                                              \
                                                                                                             \
        choice_index(key->choices, v->text, &index);                                                         \
        c->member = (enum bh_action)index;                                                                   \
        return true;                                                                                         \
    }

STRING_KEY(kernel)
STRING_KEY(ramdisk)
STRING_KEY(cmdline)
STRING_KEY(pool)
STRING_KEY(backend_user)
INT_KEY(vcpus)
INT_KEY(max_vcpus)
INT_KEY(weight)
INT_KEY(cap)
INT_KEY(max_event_channels)
INT_KEY(max_grant_frames)
INT_KEY(max_maptrack_frames)
INT_KEY(max_grant_version)
INT_KEY(nomigrate)
INT_KEY(driver_domain)
INT_KEY(msr_relaxed)
ACTION_KEY(on_poweroff)
ACTION_KEY(on_reboot)
ACTION_KEY(on_crash)
ACTION_KEY(on_watchdog)
ACTION_KEY(on_soft_reset)

static bool put_name(struct doc *doc, const struct key *key, const struct value *v, struct bh_config *c)
{
    size_t length = strlen(v->text);

    if (!length || length > 255 || strchr(v->text, '/') || v->text[strspn(v->text, "0123456789")] == 0) {
        doc_say(doc, DIAG_ERROR, v->line, key->name,
                "\"%s\": allowed are 1 to 255 characters without '/', and not digits alone", v->text);
        return false;
    }
    c->name = strdup(v->text);
    return c->name != NULL;
}

static bool put_uuid(struct doc *doc, const struct key *key, const struct value *v, struct bh_config *c)
{
    c->has_uuid = bh_uuid_parse(v->text, c->uuid);
    if (!c->has_uuid)
        doc_say(doc, DIAG_ERROR, v->line, key->name,
                "\"%s\" is not a UUID (32 hexadecimal digits, e.g. 6b2b1d1e-8d3c-4d1e-9a55-0a5b8e2f7c11)",
                v->text);
    return c->has_uuid;
}

static bool put_memory(struct doc *doc, const struct key *key, const struct value *v, struct bh_config *c)
{
    c->memory_kib = (uint64_t)v->number << 10;
    return true;
}

static bool put_max_memory(struct doc *doc, const struct key *key, const struct value *v, struct bh_config *c)
{
    c->max_memory_kib = (uint64_t)v->number << 10;
    return true;
}

static bool put_strings(const struct value *v, char ***out, unsigned int *count)
{
    unsigned int n = v->type == VALUE_LIST ? v->count : 1;

    *out = calloc(n ? n : 1, sizeof(**out));
    for (unsigned int i = 0; *out && i < n; i++) {
        char buffer[24];
        const char *text = value_text(v->type == VALUE_LIST ? v->items[i] : v, buffer);

        (*out)[i] = strdup(text ? text : "");
        if (!(*out)[i])
            return false;
        *count = i + 1;
    }
    return *out != NULL;
}

static bool put_cpus(struct doc *doc, const struct key *key, const struct value *v, struct bh_config *c)
{
    return put_strings(v, &c->cpus, &c->cpus_count);
}

static bool put_cpus_soft(struct doc *doc, const struct key *key, const struct value *v, struct bh_config *c)
{
    return put_strings(v, &c->cpus_soft, &c->cpus_soft_count);
}

static bool put_cpuid(struct doc *doc, const struct key *key, const struct value *v, struct bh_config *c)
{
    struct cpuid_rule rules[CPUID_RULES_MAX];
    const char *wrong;

    if (!put_strings(v, &c->cpuid, &c->cpuid_count))
        return false;
    for (unsigned int i = 0; i < c->cpuid_count; i++)
        if (bh_cpuid_parse(c->cpuid[i], rules, CPUID_RULES_MAX, &wrong) < 0) {
            doc_say(doc, DIAG_ERROR, v->line, key->name,
                    "\"%.*s\" is not understood; allowed: \"host,FEATURE=0|1|x|k|s,...\", or a list of "
                    "\"LEAF[,SUBLEAF]:REGISTER=32 of these,...\"",
                    (int)strcspn(wrong, ","), wrong);
            return false;
        }
    return true;
}

static bool put_disks(struct doc *doc, const struct key *key, const struct value *v, struct bh_config *c)
{
    bool good = true;

    c->disks = calloc(v->count ? v->count : 1, sizeof(*c->disks));
    for (unsigned int i = 0; c->disks && i < v->count; i++) {
        unsigned int devid, other;
        bool this_good = disk_from_map(doc, v->items[i], &c->disks[c->disk_count]);

        good &= this_good;
        if (!this_good)
            continue;
        bh_vdev_to_devid(c->disks[c->disk_count].vdev, &devid);
        for (unsigned int j = 0; j < c->disk_count; j++)
            if (bh_vdev_to_devid(c->disks[j].vdev, &other) == 0 && other == devid) {
                doc_say(doc, DIAG_ERROR, v->items[i]->line, key->name, "vdev=%s is given to two disks",
                        c->disks[c->disk_count].vdev);
                good = false;
            }
        c->disk_count++;
    }
    return good && c->disks;
}

static bool put_vifs(struct doc *doc, const struct key *key, const struct value *v, struct bh_config *c)
{
    bool good = true;

    c->vifs = calloc(v->count ? v->count : 1, sizeof(*c->vifs));
    for (unsigned int i = 0; c->vifs && i < v->count; i++) {
        bool this_good = vif_from_map(doc, v->items[i], &c->vifs[c->vif_count]);

        good &= this_good;
        c->vif_count += this_good;
    }
    return good && c->vifs;
}

static bool put_type(struct doc *doc, const struct key *key, const struct value *v, struct bh_config *c)
{
    if (strcmp(v->text, "pv") == 0 || strcmp(v->text, "linux") == 0 || strcmp(v->text, "generic") == 0)
        return true;
    doc_say(doc, DIAG_ERROR, v->line, key->name, "\"%s\" guests cannot be built yet; only pv can", v->text);
    return false;
}

/* ---- the table ---- */

#define USED(n, t, f, note_text)                                                                             \
    {                                                                                                        \
        .name = n, .type = t, .use = KEY_USED, .apply = f, .note = note_text                                 \
    }
#define USED_INT(n, lo, hi, f, note_text)                                                                    \
    {                                                                                                        \
        .name = n, .type = KEY_INT, .use = KEY_USED, .min = lo, .max = hi, .apply = f, .note = note_text     \
    }
#define USED_CHOICE(n, c, f, note_text)                                                                      \
    {                                                                                                        \
        .name = n, .type = KEY_CHOICE, .use = KEY_USED, .choices = c, .apply = f, .note = note_text          \
    }
#define NO_EFFECT(n, t)                                                                                      \
    {                                                                                                        \
        .name = n, .type = t, .use = KEY_NO_EFFECT, .min = INT64_MIN, .max = INT64_MAX                       \
    }
#define LATER(n, t, note_text)                                                                               \
    {                                                                                                        \
        .name = n, .type = t, .use = KEY_LATER, .min = INT64_MIN, .max = INT64_MAX, .note = note_text        \
    }

const struct key config_keys[] = {
    USED("name", KEY_STRING, put_name, "name of the domain, unique on the machine"),
    USED_CHOICE("type", "pv|pvh|hvm", put_type, "kind of guest; pv can be built"),
    USED_CHOICE("builder", "generic|linux|hvm", put_type, "older word for type"),
    USED("uuid", KEY_STRING, put_uuid, "UUID; a random one when left out"),
    USED_INT("memory", 4, 1 << 30, put_memory, "MiB of memory at the start"),
    USED_INT("maxmem", 4, 1 << 30, put_max_memory, "MiB of memory that it may ever have; default: memory"),
    USED_INT("vcpus", 1, 512, put_vcpus, "vcpus online at the start, default 1"),
    USED_INT("maxvcpus", 1, 512, put_max_vcpus, "vcpus that it may ever have, default: vcpus"),
    USED("kernel", KEY_STRING, put_kernel, "path of the kernel: bzImage or ELF"),
    USED("ramdisk", KEY_STRING, put_ramdisk, "path of the initrd"),
    USED("cmdline", KEY_STRING, put_cmdline, "the kernel's command line; takes the place of root and extra"),
    USED("root", KEY_STRING, NULL, "root=... on the command line"),
    USED("extra", KEY_STRING, NULL, "added to the command line after root"),
    USED("pool", KEY_STRING, put_pool, "cpupool by name or number"),
    USED("cpus", KEY_CPUS, put_cpus,
         "CPUs that the vcpus may run on: \"0-3,^2\", or a list with one for each vcpu"),
    USED("cpus_soft", KEY_CPUS, put_cpus_soft, "CPUs that the vcpus prefer"),
    USED_INT("cpu_weight", 1, 65535, put_weight, "share of CPU time, default 256"),
    USED_INT("cap", 0, 51200, put_cap, "most CPU time in percent of one CPU; 0: no limit"),
    USED_CHOICE("on_poweroff", ACTIONS, put_on_poweroff, "what happens when it powers off, default destroy"),
    USED_CHOICE("on_reboot", ACTIONS, put_on_reboot, "what happens when it reboots, default restart"),
    USED_CHOICE("on_crash", ACTIONS, put_on_crash, "what happens when it crashes, default destroy"),
    USED_CHOICE("on_watchdog", ACTIONS, put_on_watchdog,
                "what happens when its watchdog fires, default destroy"),
    USED_CHOICE("on_soft_reset", ACTIONS, put_on_soft_reset, "what happens when it asks for a soft reset"),
    USED_INT("max_event_channels", 1, 131071, put_max_event_channels,
             "event channels it may have, default 1023"),
    USED_INT("max_grant_frames", 1, 4096, put_max_grant_frames, "grant table frames it may have"),
    USED_INT("max_maptrack_frames", 0, 1 << 20, put_max_maptrack_frames, "maptrack frames it may have"),
    USED_INT("max_grant_version", 1, 2, put_max_grant_version, "newest grant table version it may use"),
    USED("cpuid", KEY_ANY, put_cpuid, "what CPUID tells it: \"host,sse3=0\", or a list of \"1:ecx=xx...\""),
    USED("msr_relaxed", KEY_BOOL, put_msr_relaxed,
         "an MSR that it is not offered, but the machine has, reads 0"),
    USED("nomigrate", KEY_BOOL, put_nomigrate, "never move it to another machine"),
    USED("driver_domain", KEY_BOOL, put_driver_domain, "it serves devices to other domains"),
    USED("disk", KEY_DISKS, put_disks, "disks, as in xl-disk-configuration(5)"),
    USED("vif", KEY_VIFS, put_vifs, "network interfaces, as in xl-network-configuration(5)"),
    USED("backend_user", KEY_STRING, put_backend_user, "account that its back ends run as"),
    /* Known, without meaning for a PV guest here. */
    NO_EFFECT("acpi", KEY_BOOL),
    NO_EFFECT("acpi_firmware", KEY_STRING),
    NO_EFFECT("acpi_laptop_slate", KEY_BOOL),
    NO_EFFECT("acpi_s3", KEY_BOOL),
    NO_EFFECT("acpi_s4", KEY_BOOL),
    NO_EFFECT("altp2m", KEY_ANY),
    NO_EFFECT("altp2mhvm", KEY_BOOL),
    NO_EFFECT("apic", KEY_BOOL),
    NO_EFFECT("bios", KEY_STRING),
    NO_EFFECT("bios_path_override", KEY_STRING),
    NO_EFFECT("blkdev_start", KEY_STRING),
    NO_EFFECT("boot", KEY_STRING),
    NO_EFFECT("bootloader_args", KEY_ANY),
    NO_EFFECT("device_model", KEY_STRING),
    NO_EFFECT("device_model_args", KEY_ANY),
    NO_EFFECT("device_model_args_hvm", KEY_ANY),
    NO_EFFECT("device_model_args_pv", KEY_ANY),
    NO_EFFECT("device_model_override", KEY_STRING),
    NO_EFFECT("device_model_stubdomain_override", KEY_BOOL),
    NO_EFFECT("device_model_stubdomain_seclabel", KEY_STRING),
    NO_EFFECT("device_model_user", KEY_STRING),
    NO_EFFECT("device_model_version", KEY_STRING),
    NO_EFFECT("dm_restrict", KEY_BOOL),
    NO_EFFECT("firmware_override", KEY_STRING),
    NO_EFFECT("gfx_passthru", KEY_ANY),
    NO_EFFECT("gic_version", KEY_STRING),
    NO_EFFECT("hap", KEY_BOOL),
    NO_EFFECT("hdtype", KEY_STRING),
    NO_EFFECT("hpet", KEY_BOOL),
    NO_EFFECT("init_seclabel", KEY_STRING),
    NO_EFFECT("keymap", KEY_STRING),
    NO_EFFECT("localtime", KEY_BOOL),
    NO_EFFECT("mca_caps", KEY_ANY),
    NO_EFFECT("mmio_hole", KEY_INT),
    NO_EFFECT("ms_vm_genid", KEY_STRING),
    NO_EFFECT("nestedhvm", KEY_BOOL),
    NO_EFFECT("nographic", KEY_BOOL),
    NO_EFFECT("nx", KEY_BOOL),
    NO_EFFECT("oos", KEY_BOOL),
    NO_EFFECT("opengl", KEY_BOOL),
    NO_EFFECT("pae", KEY_BOOL),
    NO_EFFECT("parallel", KEY_STRING),
    NO_EFFECT("pvshim", KEY_BOOL),
    NO_EFFECT("pvshim_cmdline", KEY_STRING),
    NO_EFFECT("pvshim_extra", KEY_STRING),
    NO_EFFECT("pvshim_path", KEY_STRING),
    NO_EFFECT("rtc_timeoffset", KEY_INT),
    NO_EFFECT("sdl", KEY_BOOL),
    NO_EFFECT("seclabel", KEY_STRING),
    NO_EFFECT("serial", KEY_ANY),
    NO_EFFECT("shadow_memory", KEY_INT),
    NO_EFFECT("smbios_firmware", KEY_STRING),
    NO_EFFECT("soundhw", KEY_STRING),
    NO_EFFECT("spice", KEY_BOOL),
    NO_EFFECT("spice_clipboard_sharing", KEY_BOOL),
    NO_EFFECT("spice_image_compression", KEY_STRING),
    NO_EFFECT("spice_streaming_video", KEY_STRING),
    NO_EFFECT("spiceagent_mouse", KEY_BOOL),
    NO_EFFECT("spicedisable_ticketing", KEY_BOOL),
    NO_EFFECT("spicehost", KEY_STRING),
    NO_EFFECT("spicepasswd", KEY_STRING),
    NO_EFFECT("spiceport", KEY_INT),
    NO_EFFECT("spicetls_port", KEY_INT),
    NO_EFFECT("spiceusbredirection", KEY_INT),
    NO_EFFECT("spicevdagent", KEY_BOOL),
    NO_EFFECT("stdvga", KEY_BOOL),
    NO_EFFECT("stubdomain_cmdline", KEY_STRING),
    NO_EFFECT("stubdomain_kernel", KEY_STRING),
    NO_EFFECT("stubdomain_memory", KEY_INT),
    NO_EFFECT("stubdomain_ramdisk", KEY_STRING),
    NO_EFFECT("tee", KEY_STRING),
    NO_EFFECT("timer_mode", KEY_ANY),
    NO_EFFECT("usb", KEY_BOOL),
    NO_EFFECT("usbdevice", KEY_ANY),
    NO_EFFECT("usbversion", KEY_INT),
    NO_EFFECT("vendor_device", KEY_STRING),
    NO_EFFECT("vga", KEY_STRING),
    NO_EFFECT("videoram", KEY_INT),
    NO_EFFECT("viridian", KEY_ANY),
    NO_EFFECT("vkb_device", KEY_BOOL),
    NO_EFFECT("vnc", KEY_BOOL),
    NO_EFFECT("vncdisplay", KEY_INT),
    NO_EFFECT("vnclisten", KEY_STRING),
    NO_EFFECT("vncpasswd", KEY_STRING),
    NO_EFFECT("vncunused", KEY_BOOL),
    NO_EFFECT("vpt_align", KEY_BOOL),
    NO_EFFECT("vuart", KEY_STRING),
    NO_EFFECT("xauthority", KEY_STRING),
    NO_EFFECT("display", KEY_STRING),
    NO_EFFECT("xen_platform_pci", KEY_BOOL),
    NO_EFFECT("xend_suspend_evtchn_compat", KEY_BOOL),
    NO_EFFECT("description", KEY_STRING),
    NO_EFFECT("python", KEY_ANY),
    /* Known, but what they ask for cannot be done yet. */
    LATER("bootloader", KEY_STRING, "boot loaders inside the guest's disk"),
    LATER("firmware", KEY_STRING, "firmware for guests"),
    LATER("channel", KEY_ANY, "channels"),
    LATER("device_tree", KEY_STRING, "device trees"),
    LATER("dtdev", KEY_ANY, "devices of a device tree"),
    LATER("e820_host", KEY_BOOL, "the host's memory map"),
    LATER("iomem", KEY_ANY, "memory of devices"),
    LATER("ioports", KEY_ANY, "ports of devices"),
    LATER("irqs", KEY_ANY, "interrupts of devices"),
    LATER("p9", KEY_ANY, "9pfs file systems"),
    LATER("passthrough", KEY_STRING, "devices passed through"),
    LATER("pci", KEY_ANY, "PCI devices passed through"),
    LATER("pci_msitranslate", KEY_BOOL, "PCI devices passed through"),
    LATER("pci_permissive", KEY_BOOL, "PCI devices passed through"),
    LATER("pci_power_mgmt", KEY_BOOL, "PCI devices passed through"),
    LATER("pci_seize", KEY_BOOL, "PCI devices passed through"),
    LATER("pvcalls", KEY_ANY, "pvcalls sockets"),
    LATER("rdm", KEY_STRING, "reserved device memory"),
    LATER("rdm_mem_boundary", KEY_INT, "reserved device memory"),
    LATER("tsc_mode", KEY_ANY, "modes of the time stamp counter"),
    LATER("usbctrl", KEY_ANY, "USB controllers"),
    LATER("usbdev", KEY_ANY, "USB devices"),
    LATER("vdispl", KEY_ANY, "displays"),
    LATER("vfb", KEY_ANY, "framebuffers"),
    LATER("vkb", KEY_ANY, "keyboards"),
    LATER("vmtrace_buf_kb", KEY_INT, "processor traces"),
    LATER("vnuma", KEY_ANY, "NUMA inside guests"),
    LATER("vpmu", KEY_BOOL, "performance counters"),
    LATER("vscsi", KEY_ANY, "SCSI devices"),
    LATER("vsnd", KEY_ANY, "sound cards"),
    LATER("vtpm", KEY_ANY, "TPMs"),
    LATER("nodes", KEY_ANY, "placement on NUMA nodes"),
};
const unsigned int config_key_count = sizeof(config_keys) / sizeof(config_keys[0]);

const struct key *key_find(const char *name)
{
    for (unsigned int i = 0; i < config_key_count; i++)
        if (strcmp(config_keys[i].name, name) == 0)
            return &config_keys[i];
    return NULL;
}
