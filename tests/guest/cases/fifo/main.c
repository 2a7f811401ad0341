/*
 * FIFO event channels: a control block and an event array are taken, events are linked in the order of their
 * sending and by priority; pages that are not the guest's, wrong offsets and forged links are refused or
 * ignored.
 */
#include "guest.h"

static evtchn_fifo_control_block_t *control;
static volatile event_word_t *words;
static evtchn_port_t order[64];
static unsigned int arrived;

static uint32_t word_set(evtchn_port_t port, unsigned int bit, bool on)
{
    return on ? __atomic_fetch_or(&words[port], 1u << bit, __ATOMIC_SEQ_CST)
              : __atomic_fetch_and(&words[port], ~(1u << bit), __ATOMIC_SEQ_CST);
}

static void take_queue(unsigned int priority)
{
    evtchn_port_t port = control->head[priority];

    while (port) {
        uint32_t word = word_set(port, EVTCHN_FIFO_LINKED, false);

        if ((word & (1u << EVTCHN_FIFO_PENDING)) && !(word & (1u << EVTCHN_FIFO_MASKED))) {
            word_set(port, EVTCHN_FIFO_PENDING, false);
            if (arrived < ARRAY_SIZE(order))
                order[arrived++] = port;
        }
        port = word & EVTCHN_FIFO_LINK_MASK;
    }
}

static void consume(struct regs *regs)
{
    shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
    for (uint32_t ready = __atomic_exchange_n(&control->ready, 0, __ATOMIC_SEQ_CST); ready;
         ready |= __atomic_exchange_n(&control->ready, 0, __ATOMIC_SEQ_CST)) {
        unsigned int priority = (unsigned int)__builtin_ctz(ready);

        ready &= ready - 1;
        take_queue(priority);
    }
    (void)regs;
}

static void setup(void)
{
    evtchn_init_control_t init = {.vcpu = 0};
    evtchn_expand_array_t expand;

    control = new_page();
    words = new_page();
    init.control_gfn = 1UL << 40;
    REFUSED(event_op(EVTCHNOP_init_control, &init), "a control block in an absent frame");
    init.control_gfn = mfn_of(control);
    init.offset = 4092;
    REFUSED(event_op(EVTCHNOP_init_control, &init), "a control block over the page's end");
    init.offset = 4;
    REFUSED(event_op(EVTCHNOP_init_control, &init), "a control block at an odd offset");
    init.offset = 0;
    init.vcpu = 4711;
    REFUSED(event_op(EVTCHNOP_init_control, &init), "a control block for a vcpu that is not");
    init.vcpu = 0;
    expand.array_gfn = mfn_of((void *)words);
    REFUSED(event_op(EVTCHNOP_expand_array, &expand), "an array before the control block");
    RETURNS(event_op(EVTCHNOP_init_control, &init), 0, "a good control block");
    expand.array_gfn = 1UL << 40;
    REFUSED(event_op(EVTCHNOP_expand_array, &expand), "an array in an absent frame");
    expand.array_gfn = maddr_of((void *)start_info->pt_base) / PAGE_SIZE;
    REFUSED(event_op(EVTCHNOP_expand_array, &expand), "a page table as array");
    expand.array_gfn = mfn_of((void *)words);
    RETURNS(event_op(EVTCHNOP_expand_array, &expand), 0, "a good array");
}

static evtchn_port_t new_ipi(unsigned int priority)
{
    evtchn_bind_ipi_t bind = {.vcpu = 0};
    evtchn_set_priority_t set = {.priority = priority};

    if (event_op(EVTCHNOP_bind_ipi, &bind) != 0)
        test_error("no port");
    set.port = bind.port;
    if (event_op(EVTCHNOP_set_priority, &set) != 0)
        property(false, "a priority can be set", "%u", priority);
    unmask(bind.port);
    return bind.port;
}

static void ordering(void)
{
    evtchn_port_t low = new_ipi(EVTCHN_FIFO_PRIORITY_MIN), first = new_ipi(7), second = new_ipi(7);
    evtchn_port_t high = new_ipi(EVTCHN_FIFO_PRIORITY_MAX);
    evtchn_port_t sent[] = {low, second, first, high, second};

    events_off();
    for (unsigned int i = 0; i < ARRAY_SIZE(sent); i++)
        event_op(EVTCHNOP_send, &(evtchn_send_t){.port = sent[i]});
    PROPERTY(arrived == 0, "nothing arrives while events are off", "%u", arrived);
    events_on();
    PROPERTY(arrived == 4, "four ports, one of them sent twice", "%u", arrived);
    PROPERTY(order[0] == high && order[1] == second && order[2] == first && order[3] == low,
             "in the order of priority, then of sending", "%u %u %u %u", order[0], order[1], order[2],
             order[3]);
}

static void masking(void)
{
    evtchn_port_t port = new_ipi(7);
    unsigned int before = arrived;

    word_set(port, EVTCHN_FIFO_MASKED, true);
    event_op(EVTCHNOP_send, &(evtchn_send_t){.port = port});
    PROPERTY(arrived == before, "a masked port does not arrive", "it did");
    PROPERTY(words[port] & (1u << EVTCHN_FIFO_PENDING), "but is pending", "%x", words[port]);
    unmask(port);
    PROPERTY(arrived == before + 1, "unmasking delivers it", "%u", arrived - before);
}

/* Links and ready bits that the guest forges must only ever hurt itself. */
static void forged(void)
{
    evtchn_port_t port = new_ipi(7);

    for (unsigned int i = 0; i < 200; i++) {
        for (unsigned int w = 1; w < 1024; w += 7)
            words[w] = (event_word_t)random64();
        for (unsigned int q = 0; q < EVTCHN_FIFO_MAX_QUEUES; q++)
            control->head[q] = (event_word_t)random64();
        control->ready = (uint32_t)random64();
        events_off();
        event_op(EVTCHNOP_send, &(evtchn_send_t){.port = port});
        control->ready = 0;
        shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
    }
    memset((void *)words, 0, PAGE_SIZE);
    memset(control, 0, sizeof(*control));
    events_on();
    SURVIVED("forged words do no harm");
}

void test_main(void)
{
    on_trap(VECTOR_EVENT, consume);
    setup();
    events_on();
    ordering();
    masking();
    REFUSED(event_op(EVTCHNOP_set_priority, &(evtchn_set_priority_t){.port = 1, .priority = 16}),
            "priority 16");
    REFUSED(event_op(EVTCHNOP_set_priority, &(evtchn_set_priority_t){.port = 100000, .priority = 1}),
            "priority of a port that is not");
    forged();
}
