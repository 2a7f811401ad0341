/*
 * The hypervisor's command line: words separated by spaces, each "name", "name=value" or "no-name". One row
 * of the table per option says how its value is read and where it goes. Reading is separate from complaining:
 * words that no row knows or accepts are remembered, and cmdline_report() prints them when there is a
 * console.
 */
#include <bh/cmdline.h>
#include <bh/printk.h>
#include <bh/string.h>

#define COMPLAINTS_MAX 16
#define MAX_CPU_COUNT  128

struct options options = {
    .console = CONSOLE_COM1 | CONSOLE_VGA,
    .com = {{.data_bits = 8, .stop_bits = 1, .parity = 'n'}, {.data_bits = 8, .stop_bits = 1, .parity = 'n'}},
    .conring_size = 64 << 10,
    .sched_credit_tslice_ms = 30,
    .sched_ratelimit_us = 1000,
    .smep = true,
    .smap = true,
    .umip = true,
    .spec_ctrl = CHOICE_ON,
    .ibpb_entry = CHOICE_DEFAULT,
    .bhb_entry = CHOICE_DEFAULT,
    .bhi_dis_s = CHOICE_DEFAULT,
    .xpti = {CHOICE_DEFAULT, CHOICE_DEFAULT},
    .pv_l1tf = {CHOICE_DEFAULT, CHOICE_DEFAULT},
};

char saved_cmdline[CMDLINE_MAX];

static struct {
    const char *what;
    char word[48];
} complaint[COMPLAINTS_MAX];
static unsigned int nr_complaints;

/* A value being read: [at, end). */
struct text {
    const char *at, *end;
};

static bool at_end(const struct text *t)
{
    return t->at == t->end;
}

static bool take_char(struct text *t, char c)
{
    if (at_end(t) || *t->at != c)
        return false;
    t->at++;
    return true;
}

static bool take_word(struct text *t, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(t->end - t->at) < n || strncmp(t->at, word, n))
        return false;
    t->at += n;
    return true;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* A number, decimal or 0x hexadecimal, at most `max`. */
static bool take_number(struct text *t, uint64_t max, uint64_t *out)
{
    int base = take_word(t, "0x") ? 16 : 10;
    const char *start = t->at;
    uint64_t n = 0;

    while (!at_end(t) && digit_of(*t->at) < base) {
        int digit = digit_of(*t->at);

        if (n > (max - (uint64_t)digit) / (uint64_t)base || (uint64_t)digit > max)
            return false;
        n = n * (uint64_t)base + (uint64_t)digit;
        t->at++;
    }
    *out = n;
    return t->at != start;
}

/* A size: a number with a suffix B, K, M, G or T; `shift` is the unit without one. */
static bool take_size(struct text *t, unsigned int shift, uint64_t *out)
{
    static const char suffix[] = "bkmgt";
    uint64_t n;

    if (!take_number(t, UINT64_MAX >> 1, &n))
        return false;
    for (unsigned int i = 0; i < sizeof(suffix) - 1; i++) {
        if (take_char(t, suffix[i]) || take_char(t, (char)(suffix[i] - 'a' + 'A'))) {
            shift = i * 10;
            break;
        }
    }
    if (n > UINT64_MAX >> 1 >> shift)
        return false;
    *out = n << shift;
    return true;
}

static bool is_one_of(const struct text *t, const char *const *words)
{
    for (; *words; words++)
        if ((size_t)(t->end - t->at) == strlen(*words) && !strncmp(t->at, *words, strlen(*words)))
            return true;
    return false;
}

struct option {
    const char *name;
    bool (*read)(struct text *t, const struct option *o);
    void *out;
    uint64_t min, max; /* numbers */
};

/* Rows' readers: false, or text left over, means malformed, and leaves the option as it was. */

static bool read_bool(struct text *t, const struct option *o)
{
    static const char *const yes[] = {"", "1", "y", "yes", "on", "true", "enable", NULL};
    static const char *const no[] = {"0", "n", "no", "off", "false", "disable", NULL};
    bool on = is_one_of(t, yes);

    if (!on && !is_one_of(t, no))
        return false;
    t->at = t->end;
    *(bool *)o->out = on;
    return true;
}

/* One of several choices that an option has. */
struct choice {
    const char *name; /* NULL: none */
    uint8_t *out;     /* NULL: the list ends */
    bool bare;        /* set by a value without a name */
};

static const struct choice xpti_choices[] = {
    {"dom0", &options.xpti.dom0, true},
    {"domu", &options.xpti.domu, true},
    {NULL, NULL, false},
};
static const struct choice pv_l1tf_choices[] = {
    {"dom0", &options.pv_l1tf.dom0, true},
    {"domu", &options.pv_l1tf.domu, true},
    {NULL, NULL, false},
};
static const struct choice spec_ctrl_choices[] = {
    {NULL, &options.spec_ctrl, true},
    {"ibpb-entry", &options.ibpb_entry, false},
    {"bhb-entry", &options.bhb_entry, false},
    {"bhi-dis-s", &options.bhi_dis_s, false},
    {NULL, NULL, false},
};

/* <name>[=<value>] or <value>, which is a switch's or "default". */
static bool take_choice(struct text word, const struct choice *choices)
{
    static const char *const unset[] = {"default", NULL};
    const struct choice *named = NULL;
    uint8_t value = CHOICE_DEFAULT;
    bool on = false;

    for (const struct choice *c = choices; c->out && !named; c++)
        if (c->name && take_word(&word, c->name))
            named = c;
    if (named && !at_end(&word) && !take_char(&word, '='))
        return false;
    if (!is_one_of(&word, unset)) {
        if (!read_bool(&word, &(struct option){.out = &on}))
            return false;
        value = on;
    }
    for (const struct choice *c = choices; c->out; c++)
        if (named ? c == named : c->bare)
            *c->out = value;
    return true;
}

/* <choice>[,<choice>...]; nothing at all is on. */
static bool read_choices(struct text *t, const struct option *o)
{
    const struct options before = options;
    bool ok, bare = at_end(t);

    do {
        const char *comma = memchr(t->at, ',', (size_t)(t->end - t->at));
        struct text word = {t->at, comma ? comma : t->end};

        ok = (bare || !at_end(&word)) && take_choice(word, o->out);
        t->at = word.end;
    } while (ok && take_char(t, ','));
    if (!ok)
        options = before;
    return ok;
}

static bool read_number(struct text *t, const struct option *o)
{
    uint64_t n;

    if (!take_number(t, o->max, &n) || n < o->min || !at_end(t))
        return false;
    *(uint32_t *)o->out = (uint32_t)n;
    return true;
}

static bool read_size(struct text *t, const struct option *o)
{
    uint64_t n;

    if (!take_size(t, 10, &n) || !at_end(t))
        return false;
    *(uint64_t *)o->out = n;
    return true;
}

static bool read_console(struct text *t, const struct option *o)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } kind[] = {{"com1", CONSOLE_COM1}, {"com2", CONSOLE_COM2}, {"vga", CONSOLE_VGA}, {"none", CONSOLE_NONE}};
    uint32_t consoles = 0;
    size_t i;

    do {
        for (i = 0; i < ARRAY_SIZE(kind) && !take_word(t, kind[i].name); i++)
            ;
        if (i == ARRAY_SIZE(kind))
            return false;
        consoles |= kind[i].bit;
    } while (take_char(t, ','));
    if (at_end(t))
        *(uint32_t *)o->out = consoles;
    return true;
}

/* <baud>[,<data bits><parity><stop bits>[,<port>[,<irq>]]], baud may be "auto" */
static bool read_serial(struct text *t, const struct option *o)
{
    struct serial_option s = {.given = true, .data_bits = 8, .parity = 'n', .stop_bits = 1};
    uint64_t n;

    if (!take_word(t, "auto")) {
        if (!take_number(t, 115200, &n) || !n || 115200 % n)
            return false;
        s.baud = (uint32_t)n;
    }
    if (take_char(t, ',') && !at_end(t) && *t->at != ',') {
        if (t->end - t->at < 3)
            return false;
        s.data_bits = (uint8_t)(t->at[0] - '0');
        s.parity = t->at[1];
        s.stop_bits = (uint8_t)(t->at[2] - '0');
        t->at += 3;
        if (s.data_bits < 5 || s.data_bits > 8 || !memchr("noems", s.parity, 5) || s.stop_bits < 1 ||
            s.stop_bits > 2)
            return false;
    }
    if (take_char(t, ',')) {
        if (!take_number(t, 0xfff8, &n))
            return false;
        s.io_base = (uint16_t)n;
    }
    if (take_char(t, ',')) {
        if (!take_number(t, 255, &n))
            return false;
        s.irq = (uint16_t)n;
    }
    if (at_end(t))
        *(struct serial_option *)o->out = s;
    return true;
}

/* [min:<size>,][max:<size>,]<size>; a size with a minus means all but that much. */
static bool read_dom0_mem(struct text *t, const struct option *o)
{
    struct options got = options;

    do {
        struct memory_amount *amount = &got.dom0_mem;

        if (take_word(t, "min:"))
            amount = &got.dom0_mem_min;
        else if (take_word(t, "max:"))
            amount = &got.dom0_mem_max;
        amount->less = take_char(t, '-');
        if (!take_size(t, 10, &amount->bytes))
            return false;
    } while (take_char(t, ','));
    if (at_end(t))
        options = got;
    return true;
}

/* <n> or <min>-<max> */
static bool read_dom0_vcpus(struct text *t, const struct option *o)
{
    uint64_t low, high;

    if (!take_number(t, MAX_CPU_COUNT, &low))
        return false;
    high = low;
    if (take_char(t, '-') && !take_number(t, MAX_CPU_COUNT, &high))
        return false;
    if (!high || low > high || !at_end(t))
        return false;
    options.dom0_max_vcpus_min = (uint32_t)low;
    options.dom0_max_vcpus = (uint32_t)high;
    return true;
}

/* <level>[/<level of rate limited messages>]; the second is accepted and without effect, as everything is
 * limited. */
static bool read_level(struct text *t, const struct option *o)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"none", LOG_ERROR}, {"error", LOG_ERROR}, {"warning", LOG_WARNING},
                  {"info", LOG_INFO},  {"debug", LOG_DEBUG}, {"all", LOG_DEBUG}};
    bool known = false, first = true;
    int level = 0;

    do {
        known = false;
        for (size_t i = 0; i < ARRAY_SIZE(levels) && !known; i++) {
            known = take_word(t, levels[i].name);
            if (known && first)
                level = levels[i].level;
        }
        first = false;
    } while (known && take_char(t, '/'));
    if (known && at_end(t))
        log_threshold = (enum log_level)level;
    return known;
}

static bool read_sched(struct text *t, const struct option *o)
{
    return take_word(t, "credit");
}

static const struct option table[] = {
    {"console", read_console, &options.console, 0, 0},
    {"com1", read_serial, &options.com[0], 0, 0},
    {"com2", read_serial, &options.com[1], 0, 0},
    {"dom0_mem", read_dom0_mem, NULL, 0, 0},
    {"dom0_max_vcpus", read_dom0_vcpus, NULL, 0, 0},
    {"dom0_vcpus_pin", read_bool, &options.dom0_vcpus_pin, 0, 0},
    {"maxcpus", read_number, &options.maxcpus, 1, NR_CPUS},
    {"noreboot", read_bool, &options.noreboot, 0, 0},
    {"loglvl", read_level, NULL, 0, 0},
    {"conring_size", read_size, &options.conring_size, 0, 0},
    {"sched", read_sched, NULL, 0, 0},
    {"sched_credit_tslice_ms", read_number, &options.sched_credit_tslice_ms, 1, 1000},
    {"sched_ratelimit_us", read_number, &options.sched_ratelimit_us, 0, 500000},
    {"smep", read_bool, &options.smep, 0, 0},
    {"smap", read_bool, &options.smap, 0, 0},
    {"umip", read_bool, &options.umip, 0, 0},
    {"spec-ctrl", read_choices, (void *)spec_ctrl_choices, 0, 0},
    {"pv-l1tf", read_choices, (void *)pv_l1tf_choices, 0, 0},
    {"xpti", read_choices, (void *)xpti_choices, 0, 0},
};

static void complain(const char *what, const char *word, size_t len)
{
    if (nr_complaints == COMPLAINTS_MAX)
        return;
    complaint[nr_complaints].what = what;
    bh_snprintf(complaint[nr_complaints].word, sizeof(complaint[0].word), "%.*s",
                (int)MIN(len, sizeof(complaint[0].word)), word);
    nr_complaints++;
}

static const struct option *find_option(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strlen(table[i].name) == len && !strncmp(table[i].name, name, len))
            return &table[i];
    return NULL;
}

static bool is_switch(const struct option *o)
{
    return o->read == read_bool || o->read == read_choices;
}

static void parse_word(const char *word, size_t len)
{
    const char *equals = memchr(word, '=', len);
    size_t name_len = equals ? (size_t)(equals - word) : len;
    const struct option *o = find_option(word, name_len);
    struct text value = {equals ? equals + 1 : word + len, word + len};

    if (o) {
        if ((!is_switch(o) && !equals) || !o->read(&value, o) || !at_end(&value))
            complain("malformed", word, len);
        return;
    }
    if (!equals && len > 3 && !strncmp(word, "no-", 3)) {
        o = find_option(word + 3, len - 3);
        value = (struct text){word, word + 2}; /* "no" */
        if (o && is_switch(o) && o->read(&value, o))
            return;
    }
    complain("unknown", word, len);
}

void cmdline_apply(const char *text)
{
    size_t len;

    for (; *text; text += len) {
        while (*text == ' ' || *text == '\t' || *text == '\n' || *text == '\r')
            text++;
        for (len = 0; text[len] && !memchr(" \t\n\r", text[len], 4); len++)
            ;
        if (len)
            parse_word(text, len);
    }
}

void cmdline_parse(const char *text)
{
    static bool done;

    if (done || !text)
        return;
    done = true;
    bh_snprintf(saved_cmdline, sizeof(saved_cmdline), "%s", text);
    cmdline_apply(text);
}

void cmdline_report(void)
{
    printk(LOG_INFO, "Command line: %s", saved_cmdline);
    for (unsigned int i = 0; i < nr_complaints; i++)
        printk(LOG_WARNING, "Command line: %s option \"%s\" is ignored", complaint[i].what,
               complaint[i].word);
    if (nr_complaints == COMPLAINTS_MAX)
        printk(LOG_WARNING, "Command line: there may be more of these");
    nr_complaints = 0;
}
