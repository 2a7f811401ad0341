/*
 * libvirt domain XML: reading and printing.
 *
 * What domain XML has an element for is read from and printed to that element. What it has none for goes into
 * <metadata> as <bulkhead:config>, a key each with its value in JSON. To lose nothing by construction, the
 * writer reads its own output back and puts every key that came out different there too; such keys win when
 * they are read.
 */
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "doc.h"

#define NAMESPACE "https://bulkhead.example/domain/1"

static bool named(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && strcmp((const char *)node->name, name) == 0;
}

static unsigned int line_of(const xmlNode *node)
{
    long line = xmlGetLineNo(node);

    return line > 0 ? line : 0;
}

/* Text of an element, without blanks around; malloc'ed, never NULL unless memory is short. */
static char *text_of(const xmlNode *node)
{
    xmlChar *content = xmlNodeGetContent(node);
    const char *from = content ? (const char *)content : "", *to;
    char *text;

    from += strspn(from, " \t\r\n");
    to = from + strlen(from);
    while (to > from && strchr(" \t\r\n", to[-1]))
        to--;
    text = strndup(from, to - from);
    xmlFree(content);
    return text;
}

/* Attribute, malloc'ed; NULL: not there. */
static char *attribute(const xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetProp(node, (const xmlChar *)name);
    char *text = value ? strdup((char *)value) : NULL;

    xmlFree(value);
    return text;
}

static const xmlNode *child(const xmlNode *node, const char *name)
{
    for (const xmlNode *c = node ? node->children : NULL; c; c = c->next)
        if (named(c, name))
            return c;
    return NULL;
}

/* map[name] = attribute, when it is there. */
static void take_attribute(struct value *map, const char *name, const xmlNode *node, const char *attr)
{
    char *text = node ? attribute(node, attr) : NULL;

    if (text)
        map_set_string(map, name, text, line_of(node));
    free(text);
}

/* ---- reading ---- */

static void read_text_key(struct doc *doc, const char *key, const xmlNode *node)
{
    char *text = text_of(node);

    if (text)
        map_set_string(doc->root, key, text, line_of(node));
    free(text);
}

static void read_memory(struct doc *doc, const char *key, const xmlNode *node)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {{"b", 1},           {"bytes", 1},           {"KB", 1000},       {"k", 1024},
                 {"KiB", 1024},      {"MB", 1000000},        {"M", 1 << 20},     {"MiB", 1 << 20},
                 {"GB", 1000000000}, {"G", 1UL << 30},       {"GiB", 1UL << 30}, {"T", 1UL << 40},
                 {"TiB", 1UL << 40}, {"TB", 1000000000000UL}};
    char *unit = attribute(node, "unit"), *text = text_of(node), *end = NULL;
    uint64_t bytes = unit ? 0 : 1024, number = text ? strtoull(text, &end, 10) : 0;

    for (unsigned int i = 0; unit && i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(unit, units[i].name) == 0)
            bytes = units[i].bytes;
    if (!text || !*text || *end || !bytes || number > UINT64_MAX / bytes / 2) {
        doc_say(doc, DIAG_ERROR, line_of(node), (const char *)node->name,
                "\"%s\" %s is not an amount of memory", text ? text : "", unit ? unit : "KiB");
    } else {
        if (number * bytes % (1 << 20))
            doc_say(doc, DIAG_WARNING, line_of(node), (const char *)node->name,
                    "%lu bytes are rounded down to whole MiB", number * bytes);
        map_set_int(doc->root, key, number * bytes >> 20, line_of(node));
    }
    free(unit);
    free(text);
}

static void read_number(struct doc *doc, const char *key, unsigned int line, const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);

    if (!*text || *end)
        doc_say(doc, DIAG_ERROR, line, key, "\"%s\" is not a number", text);
    else
        map_set_int(doc->root, key, number, line);
}

static void read_vcpu(struct doc *doc, const xmlNode *node)
{
    char *text = text_of(node), *current = attribute(node, "current"), *cpus = attribute(node, "cpuset");

    if (text && current) {
        read_number(doc, "maxvcpus", line_of(node), text);
        read_number(doc, "vcpus", line_of(node), current);
    } else if (text) {
        read_number(doc, "vcpus", line_of(node), text);
    }
    if (cpus)
        map_set_string(doc->root, "cpus", cpus, line_of(node));
    free(text);
    free(current);
    free(cpus);
}

static void read_os(struct doc *doc, const xmlNode *os)
{
    for (const xmlNode *n = os->children; n; n = n->next) {
        if (named(n, "type")) {
            char *text = text_of(n), *machine = attribute(n, "machine");
            const char *type = "pv";

            if (machine && strcmp(machine, "xenpvh") == 0)
                type = "pvh";
            else if (text && strcmp(text, "hvm") == 0)
                type = "hvm";
            else if (text && strcmp(text, "xenpvh") == 0)
                type = "pvh";
            map_set_string(doc->root, "type", type, line_of(n));
            free(text);
            free(machine);
        } else if (named(n, "kernel")) {
            read_text_key(doc, "kernel", n);
        } else if (named(n, "initrd")) {
            read_text_key(doc, "ramdisk", n);
        } else if (named(n, "cmdline")) {
            read_text_key(doc, "cmdline", n);
        } else if (n->type == XML_ELEMENT_NODE) {
            doc_say(doc, DIAG_WARNING, line_of(n), (const char *)n->name, "in <os> is not used");
        }
    }
}

static void read_disk(struct doc *doc, const xmlNode *node, struct value *list)
{
    struct value *map = value_new(VALUE_MAP, line_of(node));
    const xmlNode *source = child(node, "source"), *driver = child(node, "driver"),
                  *target = child(node, "target");
    const xmlNode *iotune = child(node, "iotune"), *domain = child(node, "backenddomain");

    if (!map)
        return;
    char *device = attribute(node, "device"), *driver_name = driver ? attribute(driver, "name") : NULL;
    take_attribute(map, "target", source, "file");
    take_attribute(map, "target", source, "dev");
    take_attribute(map, "format", driver, "type");
    take_attribute(map, "vdev", target, "dev");
    take_attribute(map, "backend", domain, "name");
    if (child(node, "readonly"))
        map_set_string(map, "access", "ro", line_of(node));
    if (device && strcmp(device, "cdrom") == 0)
        map_set_string(map, "devtype", "cdrom", line_of(node));
    else if (device && strcmp(device, "disk") != 0)
        doc_say(doc, DIAG_ERROR, line_of(node), "disk", "device=\"%s\": allowed are disk and cdrom", device);
    if (driver_name && strcmp(driver_name, "phy") == 0)
        map_set_string(map, "backendtype", "phy", line_of(node));
    for (const xmlNode *n = iotune ? iotune->children : NULL; n; n = n->next) {
        char *text = text_of(n);

        if (named(n, "total_iops_sec") && text)
            map_set_int(map, "iops", atoll(text), line_of(n));
        if (named(n, "total_bytes_sec") && text)
            map_set_int(map, "bandwidth", atoll(text), line_of(n));
        free(text);
    }
    free(device);
    free(driver_name);
    value_append(list, map);
}

static void read_interface(struct doc *doc, const xmlNode *node, struct value *list)
{
    struct value *map = value_new(VALUE_MAP, line_of(node));
    const xmlNode *mtu = child(node, "mtu");

    if (!map)
        return;
    char *type = attribute(node, "type"), *size = mtu ? attribute(mtu, "size") : NULL;
    if (type && strcmp(type, "bridge") != 0 && strcmp(type, "ethernet") != 0 && strcmp(type, "network") != 0)
        doc_say(doc, DIAG_ERROR, line_of(node), "interface",
                "type=\"%s\": allowed are bridge, ethernet and network", type);
    if (type && strcmp(type, "network") == 0)
        doc_say(doc, DIAG_WARNING, line_of(node), "interface",
                "libvirt networks are not known here: the network's name is taken for a bridge");
    take_attribute(map, "mac", child(node, "mac"), "address");
    take_attribute(map, "bridge", child(node, "source"), "network");
    take_attribute(map, "bridge", child(node, "source"), "bridge");
    take_attribute(map, "vifname", child(node, "target"), "dev");
    take_attribute(map, "script", child(node, "script"), "path");
    take_attribute(map, "ip", child(node, "ip"), "address");
    take_attribute(map, "model", child(node, "model"), "type");
    take_attribute(map, "backend", child(node, "backenddomain"), "name");
    if (size)
        map_set_int(map, "mtu", atoll(size), line_of(mtu));
    free(type);
    free(size);
    value_append(list, map);
}

static void read_devices(struct doc *doc, const xmlNode *devices)
{
    struct value *disks = value_new(VALUE_LIST, line_of(devices)),
                 *vifs = value_new(VALUE_LIST, line_of(devices));

    for (const xmlNode *n = devices->children; n && disks && vifs; n = n->next) {
        if (named(n, "disk"))
            read_disk(doc, n, disks);
        else if (named(n, "interface"))
            read_interface(doc, n, vifs);
        else if (n->type == XML_ELEMENT_NODE && !named(n, "console") && !named(n, "emulator"))
            doc_say(doc, DIAG_WARNING, line_of(n), (const char *)n->name, "in <devices> is not used");
    }
    if (disks && disks->count)
        map_set(doc->root, "disk", disks);
    else
        value_free(disks);
    if (vifs && vifs->count)
        map_set(doc->root, "vif", vifs);
    else
        value_free(vifs);
}

static void read_cputune(struct doc *doc, const xmlNode *node)
{
    struct value *list = value_new(VALUE_LIST, line_of(node));

    for (const xmlNode *n = node->children; n && list; n = n->next) {
        char *vcpu = attribute(n, "vcpu"), *set = attribute(n, "cpuset");
        unsigned long index = vcpu ? strtoul(vcpu, NULL, 10) : 0;

        if (named(n, "shares")) {
            read_text_key(doc, "cpu_weight", n);
        } else if (named(n, "vcpupin") && vcpu && set && index < 512) {
            while (list->count <= index && value_append(list, value_string("all", line_of(n))))
                continue;
            if (list->count > index) {
                value_free(list->items[index]);
                list->items[index] = value_string(set, line_of(n));
            }
        } else if (n->type == XML_ELEMENT_NODE) {
            doc_say(doc, DIAG_WARNING, line_of(n), (const char *)n->name, "in <cputune> is not used");
        }
        free(vcpu);
        free(set);
    }
    if (list && list->count)
        map_set(doc->root, "cpus", list);
    else
        value_free(list);
}

/* Our own keys: <bulkhead:key name="...">JSON</bulkhead:key>, <bulkhead:absent name="..."/>. */
static void read_metadata(struct doc *doc, const xmlNode *metadata)
{
    const xmlNode *config = child(metadata, "config");

    for (const xmlNode *n = config ? config->children : NULL; n; n = n->next) {
        char *name = n->type == XML_ELEMENT_NODE ? attribute(n, "name") : NULL;

        if (name && named(n, "absent")) {
            map_remove(doc->root, name);
        } else if (name && named(n, "key")) {
            char *text = text_of(n), *wrapped = NULL;
            struct doc *inner = doc_new(doc->file);

            if (text && inner && asprintf(&wrapped, "{\"v\":%s}", text) >= 0) {
                struct value *v;

                read_json(inner, wrapped, strlen(wrapped));
                v = map_get(inner->root, "v");
                if (inner->error_count || !v)
                    doc_say(doc, DIAG_ERROR, line_of(n), name, "the metadata's value is not JSON: %s", text);
                else
                    map_set(doc->root, name, value_copy(v));
            }
            free(wrapped);
            free(text);
            doc_free(inner);
        }
        free(name);
    }
}

static void read_domain(struct doc *doc, const xmlNode *domain)
{
    static const char *const same[] = {"name", "uuid", "on_poweroff", "on_reboot", "on_crash", "description"};
    static const char *const quiet[] = {"metadata", "title", "vcpus"};
    const xmlNode *metadata = child(domain, "metadata");
    char *type = attribute(domain, "type");

    if (!type || strcmp(type, "xen") != 0)
        doc_say(doc, DIAG_ERROR, line_of(domain), "domain", "type=\"%s\": only type=\"xen\" can be built",
                type ? type : "");
    free(type);
    for (const xmlNode *n = domain->children; n; n = n->next) {
        bool done = n->type != XML_ELEMENT_NODE;

        for (unsigned int i = 0; !done && i < sizeof(same) / sizeof(same[0]); i++)
            if (named(n, same[i])) {
                read_text_key(doc, same[i], n);
                done = true;
            }
        for (unsigned int i = 0; !done && i < sizeof(quiet) / sizeof(quiet[0]); i++)
            done = named(n, quiet[i]);
        if (done)
            continue;
        if (named(n, "memory"))
            read_memory(doc, "maxmem", n);
        else if (named(n, "currentMemory"))
            read_memory(doc, "memory", n);
        else if (named(n, "vcpu"))
            read_vcpu(doc, n);
        else if (named(n, "os"))
            read_os(doc, n);
        else if (named(n, "devices"))
            read_devices(doc, n);
        else if (named(n, "cputune"))
            read_cputune(doc, n);
        else
            doc_say(doc, DIAG_WARNING, line_of(n), (const char *)n->name, "is not used");
    }
    if (map_get(doc->root, "maxmem") && !map_get(doc->root, "memory"))
        map_set(doc->root, "memory", value_copy(map_get(doc->root, "maxmem")));
    if (metadata)
        read_metadata(doc, metadata);
}

static void ignore_message(void *context, const char *format, ...)
{
}

void read_xml(struct doc *doc, const char *text, size_t size)
{
    xmlParserCtxtPtr parser = xmlNewParserCtxt();
    xmlDocPtr tree = NULL;
    const xmlNode *root;

    if (!parser)
        return;
    xmlSetGenericErrorFunc(NULL, ignore_message);
    tree = xmlCtxtReadMemory(parser, text, size, NULL, NULL,
                             XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    root = tree ? xmlDocGetRootElement(tree) : NULL;
    if (!root) {
        const xmlError *e = xmlCtxtGetLastError(parser);
        const char *why = e && e->message ? e->message : "it is empty";

        doc_say(doc, DIAG_ERROR, e ? e->line : 0, NULL, "not XML: %.*s", (int)strcspn(why, "\n"), why);
    } else if (!named(root, "domain")) {
        doc_say(doc, DIAG_ERROR, line_of(root), NULL, "the outermost element is <%s>; <domain> is wanted",
                root->name);
    } else {
        read_domain(doc, root);
    }
    xmlFreeDoc(tree);
    xmlFreeParserCtxt(parser);
}

/* ---- printing ---- */

static void put_escaped(FILE *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = *text;

        if (c == '<')
            fputs("&lt;", out);
        else if (c == '>')
            fputs("&gt;", out);
        else if (c == '&')
            fputs("&amp;", out);
        else if (c == '"')
            fputs("&quot;", out);
        else if (c == '\'')
            fputs("&apos;", out);
        else if (c == '\n' || c == '\t' || c == '\r')
            fprintf(out, "&#%u;", c);
        else if (c < 0x20)
            fputc('?', out);
        else
            fputc(c, out);
    }
}

static void put_element(FILE *out, const char *indent, const char *element, const char *text)
{
    fprintf(out, "%s<%s>", indent, element);
    put_escaped(out, text);
    fprintf(out, "</%s>\n", element);
}

static void put_key(FILE *out, const struct doc *doc, const char *indent, const char *element,
                    const char *key)
{
    const struct value *v = map_get(doc->root, key);

    if (v && v->type == VALUE_STRING)
        put_element(out, indent, element, v->text);
}

/* <element attribute="map[name]"/> when the map has it. */
static void put_attribute(FILE *out, const struct value *map, const char *name, const char *element,
                          const char *attr)
{
    const struct value *v = map_get(map, name);
    char buffer[24];
    const char *text = value_text(v, buffer);

    if (!text)
        return;
    fprintf(out, "      <%s %s='", element, attr);
    put_escaped(out, text);
    fputs("'/>\n", out);
}

static bool is(const struct value *map, const char *name, const char *text)
{
    const struct value *v = map_get(map, name);

    return v && v->type == VALUE_STRING && strcmp(v->text, text) == 0;
}

static void put_disk(FILE *out, const struct value *map)
{
    const struct value *target = map_get(map, "target"), *format = map_get(map, "format");
    bool block = target && target->type == VALUE_STRING && strncmp(target->text, "/dev/", 5) == 0;

    fprintf(out, "    <disk type='%s' device='%s'>\n", block ? "block" : "file",
            is(map, "devtype", "cdrom") ? "cdrom" : "disk");
    if (format || is(map, "backendtype", "phy")) {
        fprintf(out, "      <driver name='%s'", is(map, "backendtype", "phy") ? "phy" : "qemu");
        if (format && format->type == VALUE_STRING) {
            fputs(" type='", out);
            put_escaped(out, format->text);
            fputc('\'', out);
        }
        fputs("/>\n", out);
    }
    put_attribute(out, map, "target", "source", block ? "dev" : "file");
    if (map_get(map, "vdev")) {
        fputs("      <target dev='", out);
        put_escaped(out, map_get(map, "vdev")->text ? map_get(map, "vdev")->text : "");
        fputs("' bus='xen'/>\n", out);
    }
    if (is(map, "access", "ro") || is(map, "access", "r"))
        fputs("      <readonly/>\n", out);
    put_attribute(out, map, "backend", "backenddomain", "name");
    if (map_get(map, "iops") || map_get(map, "bandwidth")) {
        fputs("      <iotune>", out);
        if (map_get(map, "iops"))
            fprintf(out, "<total_iops_sec>%ld</total_iops_sec>", map_get(map, "iops")->number);
        if (map_get(map, "bandwidth"))
            fprintf(out, "<total_bytes_sec>%ld</total_bytes_sec>", map_get(map, "bandwidth")->number);
        fputs("</iotune>\n", out);
    }
    fputs("    </disk>\n", out);
}

static void put_interface(FILE *out, const struct value *map)
{
    fprintf(out, "    <interface type='%s'>\n", map_get(map, "bridge") ? "bridge" : "ethernet");
    put_attribute(out, map, "mac", "mac", "address");
    put_attribute(out, map, "bridge", "source", "bridge");
    put_attribute(out, map, "script", "script", "path");
    put_attribute(out, map, "ip", "ip", "address");
    put_attribute(out, map, "vifname", "target", "dev");
    put_attribute(out, map, "model", "model", "type");
    put_attribute(out, map, "mtu", "mtu", "size");
    put_attribute(out, map, "backend", "backenddomain", "name");
    fputs("    </interface>\n", out);
}

static void put_list(FILE *out, const struct doc *doc, const char *key,
                     void (*put)(FILE *out, const struct value *map))
{
    const struct value *list = map_get(doc->root, key);

    for (unsigned int i = 0; list && list->type == VALUE_LIST && i < list->count; i++)
        if (list->items[i]->type == VALUE_MAP)
            put(out, list->items[i]);
}

static void put_numbers(FILE *out, const struct doc *doc)
{
    const struct value *memory = map_get(doc->root, "memory"), *most = map_get(doc->root, "maxmem");
    const struct value *vcpus = map_get(doc->root, "vcpus"), *max_vcpus = map_get(doc->root, "maxvcpus");

    if (!most)
        most = memory;
    if (most && most->type == VALUE_INT)
        fprintf(out, "  <memory unit='MiB'>%ld</memory>\n", most->number);
    if (memory && memory->type == VALUE_INT)
        fprintf(out, "  <currentMemory unit='MiB'>%ld</currentMemory>\n", memory->number);
    if (vcpus && max_vcpus && vcpus->type == VALUE_INT && max_vcpus->type == VALUE_INT)
        fprintf(out, "  <vcpu current='%ld'>%ld</vcpu>\n", vcpus->number, max_vcpus->number);
    else if (vcpus && vcpus->type == VALUE_INT)
        fprintf(out, "  <vcpu>%ld</vcpu>\n", vcpus->number);
}

static void put_domain(FILE *out, const struct doc *doc, const char *metadata)
{
    const struct value *cpus = map_get(doc->root, "cpus");

    fputs("<domain type='xen'>\n", out);
    put_key(out, doc, "  ", "name", "name");
    put_key(out, doc, "  ", "uuid", "uuid");
    put_key(out, doc, "  ", "description", "description");
    fputs(metadata, out);
    put_numbers(out, doc);
    if (cpus && cpus->type == VALUE_LIST) {
        fputs("  <cputune>\n", out);
        for (unsigned int i = 0; i < cpus->count; i++)
            if (cpus->items[i]->type == VALUE_STRING) {
                fprintf(out, "    <vcpupin vcpu='%u' cpuset='", i);
                put_escaped(out, cpus->items[i]->text);
                fputs("'/>\n", out);
            }
        fputs("  </cputune>\n", out);
    }
    fputs("  <os>\n", out);
    fprintf(out, "    <type arch='x86_64' machine='%s'>%s</type>\n",
            is(doc->root, "type", "pvh") ? "xenpvh" : "xenpv",
            is(doc->root, "type", "hvm")   ? "hvm"
            : is(doc->root, "type", "pvh") ? "xenpvh"
                                           : "linux");
    put_key(out, doc, "    ", "kernel", "kernel");
    put_key(out, doc, "    ", "initrd", "ramdisk");
    put_key(out, doc, "    ", "cmdline", "cmdline");
    fputs("  </os>\n", out);
    put_key(out, doc, "  ", "on_poweroff", "on_poweroff");
    put_key(out, doc, "  ", "on_reboot", "on_reboot");
    put_key(out, doc, "  ", "on_crash", "on_crash");
    fputs("  <devices>\n", out);
    put_list(out, doc, "disk", put_disk);
    put_list(out, doc, "vif", put_interface);
    fputs("    <console type='pty'/>\n  </devices>\n</domain>\n", out);
}

static char *domain_text(const struct doc *doc, const char *metadata)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    put_domain(out, doc, metadata);
    fclose(out);
    return text;
}

static void put_json_key(FILE *out, const char *name, const struct value *v)
{
    struct doc *one = doc_new("");
    char *json = NULL;

    if (one && map_set(one->root, "v", value_copy(v)))
        json = write_json(one);
    if (json) {
        /* The object's braces and its one name go; the value stays. */
        char *from = strchr(json, ':'), *to = strrchr(json, '}');

        *to = 0;
        fputs("      <bulkhead:key name='", out);
        put_escaped(out, name);
        fputs("'>", out);
        from++;
        from += strspn(from, " ");
        to = from + strlen(from);
        while (to > from && strchr(" \n", to[-1]))
            *--to = 0;
        put_escaped(out, from);
        fputs("</bulkhead:key>\n", out);
    }
    free(json);
    doc_free(one);
}

char *write_xml(const struct doc *doc)
{
    char *plain = domain_text(doc, ""), *metadata = NULL, *text;
    struct doc *back = plain ? doc_new("") : NULL;
    bool any = false;
    size_t size;
    FILE *out;

    if (!back) {
        free(plain);
        return NULL;
    }
    read_xml(back, plain, strlen(plain));
    free(plain);
    out = open_memstream(&metadata, &size);
    if (!out) {
        doc_free(back);
        return NULL;
    }
    fputs("  <metadata>\n    <bulkhead:config xmlns:bulkhead='" NAMESPACE "'>\n", out);
    for (unsigned int i = 0; i < doc->root->count; i++) {
        const struct value *other = map_get(back->root, doc->root->names[i]);

        if (other && value_equal(other, doc->root->items[i]))
            continue;
        put_json_key(out, doc->root->names[i], doc->root->items[i]);
        any = true;
    }
    for (unsigned int i = 0; i < back->root->count; i++) {
        if (map_get(doc->root, back->root->names[i]))
            continue;
        fprintf(out, "      <bulkhead:absent name='%s'/>\n", back->root->names[i]);
        any = true;
    }
    fputs("    </bulkhead:config>\n  </metadata>\n", out);
    fclose(out);
    text = domain_text(doc, any ? metadata : "");
    free(metadata);
    doc_free(back);
    return text;
}
