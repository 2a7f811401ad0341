/* The manual pages, made from the tables of commands and keys so that they cannot say something else. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "../config/doc.h"
#include "manual.h"

/* Text with what troff would take for its own made harmless. */
static void put(const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
    }
}

static void put_command(const struct command *c)
{
    fputs(".TP\n.B ", stdout);
    put(c->name);
    putchar('\n');
    if (*c->arguments) {
        fputs("Arguments: ", stdout);
        put(c->arguments);
        fputs("\n.br\n", stdout);
    }
    put(c->summary);
    fputs(".\n", stdout);
    for (unsigned int i = 0; i < OPTIONS_MAX && c->options[i].letter; i++) {
        const struct option_row *o = &c->options[i];

        fputs(".br\n", stdout);
        if (!isdigit((unsigned char)o->letter))
            printf("\\fB\\-%c\\fR%s", o->letter, o->name ? ", " : "");
        if (o->name) {
            fputs("\\fB\\-\\-", stdout);
            put(o->name);
            fputs("\\fR", stdout);
        }
        if (o->value)
            printf(" \\fI%s\\fR", o->value);
        fputs(": ", stdout);
        put(o->help);
        putchar('\n');
    }
}

void manual_commands(void)
{
    puts(".TH BH 8 \"\" \"Bulkhead " BULKHEAD_VERSION
         "\" \"Bulkhead\"\n.SH NAME\nbh \\- control domains\n.SH SYNOPSIS\n"
         ".B bh\n[\\fB\\-\\-json\\fR] [\\fB\\-v\\fR] [\\fB\\-f\\fR] [\\fB\\-N\\fR] \\fICOMMAND\\fR "
         "[\\fIARGUMENTS\\fR]\n"
         ".SH DESCRIPTION\n"
         "\\fBbh\\fR creates, shows and controls the domains of this machine. It runs in domain 0, on "
         "Bulkhead and on\n"
         "Xen 4.17. Names, options and columns are those of xl(1) where xl has them; called by the name "
         "\\fBxl\\fR it is\n"
         "the same program.\n.PP\n"
         "A domain may be given by number, name or UUID. A command may be shortened as long as it is not "
         "ambiguous.\n"
         "\\fB\\-\\-json\\fR makes every command that lists print JSON; \\fB\\-\\-help\\fR explains a "
         "command.\n"
         ".PP\nAfter a failure \\fBbh why\\fR tells the chain of causes, on Bulkhead down to the check "
         "inside the\n"
         "hypervisor that failed.\n.SH COMMANDS");
    for (unsigned int i = 0; i < command_count; i++)
        put_command(&commands[i]);
    puts(".SH \"EXIT STATUS\"\n0: done. 1: it failed; nothing is left half done. 2: wrong usage.\n"
         ".SH ENVIRONMENT\n"
         ".TP\n.B BULKHEAD_RUN_DIR\nwhere state is kept while the machine runs, /run/bulkhead\n"
         ".TP\n.B BULKHEAD_CACHE_DIR\nwhere unpacked kernels are kept, /var/cache/bulkhead\n"
         ".TP\n.B BULKHEAD_LOG_DIR\nwhere the daemons log, /var/log/bulkhead\n"
         ".TP\n.B XENSTORED_PATH\nthe store's socket, /run/xenstored/socket\n"
         ".SH FILES\n.TP\n.I /run/bulkhead/domains/UUID.json\nthe configuration of a running domain\n"
         ".TP\n.I /run/bulkhead/last\\-failure.json\nwhat bh why explains\n"
         ".TP\n.I /var/cache/bulkhead/kernels\nunpacked kernels, at most 256 MiB; whatever is missing or "
         "damaged is "
         "made again\n"
         ".TP\n.I /var/log/bulkhead/console/guest\\-NAME.log\nwhat a domain wrote to its console\n"
         ".TP\n.I /var/lib/bulkhead/dump\ncores of domains whose on_crash asks for one\n"
         ".SH \"SEE ALSO\"\nbh.cfg(5)");
}

static const char *type_words(enum key_type type)
{
    static const char *const words[] = {
        [KEY_INT] = "a number",          [KEY_BOOL] = "0 or 1",
        [KEY_STRING] = "a string",       [KEY_CHOICE] = "one of a few words",
        [KEY_STRINGS] = "strings",       [KEY_CPUS] = "a list of CPUs, or one for each vcpu",
        [KEY_DISKS] = "a list of disks", [KEY_VIFS] = "a list of interfaces",
        [KEY_ANY] = "anything",
    };

    return words[type];
}

static void put_keys(enum key_use use)
{
    for (unsigned int i = 0; i < config_key_count; i++) {
        const struct key *k = &config_keys[i];

        if (k->use != use)
            continue;
        printf(".TP\n.B %s\n", k->name);
        put(k->note ? k->note : "");
        printf("%s%s", k->note ? "; " : "", type_words(k->type));
        if (k->type == KEY_INT && k->min != INT64_MIN)
            printf(", %ld to %ld", k->min, k->max);
        if (k->choices) {
            fputs(": ", stdout);
            put(k->choices);
        }
        puts(".");
    }
}

static void put_names(enum key_use use)
{
    bool first = true;

    for (unsigned int i = 0; i < config_key_count; i++) {
        if (config_keys[i].use != use)
            continue;
        printf("%s%s", first ? "" : ",\n", config_keys[i].name);
        first = false;
    }
    puts(".");
}

void manual_config(void)
{
    puts(".TH BH.CFG 5 \"\" \"Bulkhead " BULKHEAD_VERSION "\" \"Bulkhead\"\n.SH NAME\n"
         "bh.cfg \\- configurations of domains\n.SH DESCRIPTION\n"
         "\\fBbh create\\fR reads three formats and tells them apart by their first character: xl.cfg as in "
         "xl.cfg(5),\n"
         "libvirt domain XML (begins with <) and JSON (begins with {). All hold the same keys; \\fBbh config "
         "convert\\fR\n"
         "turns each into each without loss, \\fBbh config schema\\fR prints the schema of the JSON form. "
         "What domain XML has\n"
         "no element for stands in its <metadata>.\n.PP\n"
         "Every mistake is told, with file, line, key, value and what is allowed. Keys that are known but "
         "have no effect\n"
         "for the kind of guest are warned of.\n.SH SYNTAX\n"
         "xl.cfg: one \\fIkey\\fR = \\fIvalue\\fR a line, or several with ; between. A value is a number, a "
         "string in quotes, or\n"
         "a list in brackets, which may go over lines. += adds to a list or string. # starts a comment.\n.SH "
         "KEYS");
    put_keys(KEY_USED);
    puts(".SH DISKS\nIn xl.cfg a string as in xl\\-disk\\-configuration(5): target, format, vdev and access "
         "in this order, or by\n"
         "name; elsewhere an object with these names. \\fBbackendtype\\fR=\\fIphy\\fR gives the disk to "
         "Linux's own back end;\n"
         "left out, bh\\-blkback serves it. Besides xl's: \\fBoverlay\\fR=\\fIPATH\\fR takes all writes "
         "(made if missing; deleting\n"
         "it while the disk is not in use drops them), \\fBiops\\fR and \\fBbandwidth\\fR limit requests and "
         "bytes a second,\n"
         "\\fBburst\\fR says how many milliseconds of unused allowance may be saved up (100), "
         "\\fBsecure-erase\\fR offers secure\n"
         "discard, for media that are known to overwrite in place.\n"
         ".SH INTERFACES\nIn xl.cfg a string as in xl\\-network\\-configuration(5); elsewhere an object. "
         "Besides xl's:\n"
         "\\fBbackendtype\\fR=\\fIlinux\\fR gives the interface to Linux's own back end (left out, "
         "bh\\-netback serves it),\n"
         "\\fBvlan\\fR tags all its traffic, \\fBqueues\\fR limits its queues, \\fBantispoof\\fR=\\fI1\\fR "
         "lets it send\n"
         "only from its own \\fBmac\\fR and the addresses in \\fBip\\fR.\n"
         ".SH \"KEYS WITHOUT EFFECT\"\nKnown from xl.cfg(5), without meaning for PV guests here:");
    put_names(KEY_NO_EFFECT);
    puts(".SH \"KEYS REFUSED\"\nKnown from xl.cfg(5); what they ask for cannot be done yet:");
    put_names(KEY_LATER);
    puts(".SH EXAMPLE\n.nf\nname = \"web\"\nmemory = 512\nvcpus = 2\nkernel = \"/boot/vmlinuz\"\nramdisk = "
         "\"/boot/initrd.img\"\n"
         "extra = \"root=/dev/xvda console=hvc0\"\ndisk = [ \"/var/lib/bulkhead/web.qcow2,qcow2,xvda,w\" ]\n"
         "vif = [ \"bridge=xenbr0\" ]\non_crash = \"coredump\\-restart\"\n.fi\n.SH \"SEE ALSO\"\nbh(8)");
}
