/*
 * Event channels, FIFO ABI: a guest's side of the queues (consume() below) against ours, and a guest that
 * breaks its words.
 */
#include "events.h"

#define PENDING (1u << EVTCHN_FIFO_PENDING)
#define MASKED  (1u << EVTCHN_FIFO_MASKED)
#define LINKED  (1u << EVTCHN_FIFO_LINKED)

static struct domain *a, *b;
static struct page_info *control_page[2], *array_page;
static struct evtchn_fifo_control_block *control[2];
static event_word_t *words;

static struct page_info *guest_page(struct domain *d)
{
    struct page_info *pg = page_alloc_domain(d, 0, 0);

    assert_non_null(pg);
    return pg;
}

static long init_control(uint32_t vcpu, struct page_info *pg, uint32_t offset)
{
    struct evtchn_init_control op = {.control_gfn = page_to_mfn(pg).n, .offset = offset, .vcpu = vcpu};
    long rc = evtchn_op(b, EVTCHNOP_init_control, &op);

    if (rc == 0)
        assert_int_equal(op.link_bits, EVTCHN_FIFO_LINK_BITS);
    return rc;
}

static long expand(struct page_info *pg)
{
    struct evtchn_expand_array op = {.array_gfn = page_to_mfn(pg).n};

    return evtchn_op(b, EVTCHNOP_expand_array, &op);
}

static int setup(void **state)
{
    a = fake_domain(false, 1, 64);
    b = fake_domain(false, 2, 256);
    fake_preempt = false;
    for (uint32_t i = 0; i < 2; i++) {
        control_page[i] = guest_page(b);
        control[i] = (void *)((char *)arch_map(page_to_mfn(control_page[i])) + 64);
    }
    array_page = guest_page(b);
    words = arch_map(page_to_mfn(array_page));
    return 0;
}

static void start_fifo(void)
{
    assert_int_equal(init_control(0, control_page[0], 64), 0);
    assert_int_equal(init_control(1, control_page[1], 64), 0);
    assert_int_equal(expand(array_page), 0);
}

static int teardown(void **state)
{
    fake_domain_end(a);
    fake_domain_end(b);
    return 0;
}

/* The guest takes what is first in a queue; 0: it is empty. */
static uint32_t consume(uint32_t vcpu, uint32_t priority)
{
    uint32_t port = control[vcpu]->head[priority], word, next;

    if (!(control[vcpu]->ready & 1u << priority) || port == 0)
        return 0;
    word = words[port];
    next = word & EVTCHN_FIFO_LINK_MASK;
    words[port] = word & ~(LINKED | EVTCHN_FIFO_LINK_MASK | PENDING);
    control[vcpu]->head[priority] = next;
    if (next == 0)
        control[vcpu]->ready &= ~(1u << priority);
    return port;
}

static uint32_t connect(uint32_t *sender)
{
    uint32_t local;

    *sender = offer(a, b->id);
    assert_int_equal(bind_to(b, a, *sender, &local), 0);
    words[local] &= ~PENDING;
    while (consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT) != 0)
        ;
    b->vcpu[0]->info->evtchn_upcall_pending = 0;
    return local;
}

static void test_order(void **state)
{
    uint32_t sender[5], port[5];

    start_fifo();
    for (int i = 0; i < 5; i++)
        port[i] = connect(&sender[i]);
    for (int i = 4; i >= 0; i--)
        assert_int_equal(send_to(a, sender[i]), 0);
    assert_int_equal(send_to(a, sender[2]), 0); /* queued already */
    assert_int_equal(b->vcpu[0]->info->evtchn_upcall_pending, 1);
    for (int i = 4; i >= 0; i--)
        assert_int_equal(consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT), port[i]);
    assert_int_equal(consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT), 0);
    assert_int_equal(send_to(a, sender[0]), 0);
    assert_int_equal(consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT), port[0]);
}

static void test_priorities(void **state)
{
    uint32_t sender, port;
    struct evtchn_set_priority op = {.priority = 3};

    start_fifo();
    port = connect(&sender);
    op.port = port;
    assert_int_equal(evtchn_op(b, EVTCHNOP_set_priority, &op), 0);
    assert_int_equal(send_to(a, sender), 0);
    assert_int_equal(consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT), 0);
    assert_int_equal(consume(0, 3), port);
    op.priority = 16;
    assert_int_equal(evtchn_op(b, EVTCHNOP_set_priority, &op), -EINVAL);
    op = (struct evtchn_set_priority){.port = 100000, .priority = 1};
    assert_int_equal(evtchn_op(b, EVTCHNOP_set_priority, &op), -EINVAL);
    assert_int_equal(evtchn_op(a, EVTCHNOP_set_priority, &op), -ENOSYS);
}

static void test_moves_between_vcpus(void **state)
{
    uint32_t sender, other, port, second;
    struct evtchn_bind_vcpu op = {.vcpu = 1};

    start_fifo();
    port = connect(&sender);
    second = connect(&other);
    assert_int_equal(send_to(a, sender), 0);
    assert_int_equal(consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT), port);
    op.port = port;
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_vcpu, &op), 0);
    assert_int_equal(send_to(a, sender), 0); /* was the tail of vcpu 0's queue */
    assert_int_equal(send_to(a, other), 0);
    assert_int_equal(consume(1, EVTCHN_FIFO_PRIORITY_DEFAULT), port);
    assert_int_equal(consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT), second);
}

static void test_masked(void **state)
{
    uint32_t sender, port;
    struct evtchn_unmask op;

    start_fifo();
    port = connect(&sender);
    words[port] |= MASKED;
    assert_int_equal(send_to(a, sender), 0);
    assert_true(words[port] & PENDING);
    assert_false(words[port] & LINKED);
    assert_true(evtchn_port_pending(b, port));
    op.port = port;
    assert_int_equal(evtchn_op(b, EVTCHNOP_unmask, &op), 0);
    assert_int_equal(consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT), port);
}

static void test_event_waits_for_its_page(void **state)
{
    uint32_t sender = offer(a, b->id), port;

    assert_int_equal(bind_to(b, a, sender, &port), 0); /* an event in the 2-level bits */
    assert_int_equal(init_control(0, control_page[0], 64), 0);
    assert_int_equal(control[0]->ready, 0);
    assert_true(evtchn_port_pending(b, port));
    assert_int_equal(expand(array_page), 0);
    assert_int_equal(consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT), port);
}

static void test_linked_port_is_not_used_again(void **state)
{
    uint32_t sender, port;

    start_fifo();
    port = connect(&sender);
    assert_int_equal(send_to(a, sender), 0);
    assert_int_equal(close_port(b, port), 0);
    assert_int_not_equal(offer(b, a->id), port);
    words[port] &= ~LINKED;
    assert_int_equal(offer(b, a->id), port);
}

static void test_more_ports_than_2_level(void **state)
{
    struct domain *big = b;
    uint32_t last = 0;

    big->evtchn.limit = 4096; /* the domain's own limit holds in either ABI */
    start_fifo();
    for (uint32_t i = 1; i < 4096; i++)
        last = offer(big, a->id);
    assert_int_equal(last, 4095);
    assert_int_equal(offer(big, a->id), 0);
}

static void test_refused(void **state)
{
    struct page_info *foreign = page_alloc_domain(a, 0, 0);

    assert_int_equal(expand(array_page), -EOPNOTSUPP);
    assert_int_equal(init_control(2, control_page[0], 0), -ENOENT);
    assert_int_equal(init_control(0, control_page[0], 4), -EINVAL);
    assert_int_equal(init_control(0, control_page[0], 4096 - 64), -EINVAL);
    assert_int_equal(init_control(0, foreign, 0), -EINVAL);
    assert_null(b->evtchn.fifo);
    assert_int_equal(init_control(0, control_page[0], 64), 0);
    assert_int_equal(init_control(0, control_page[0], 64), -EINVAL);
    assert_int_equal(expand(foreign), -EINVAL);
    for (int i = 0; i < EVTCHN_FIFO_NR_CHANNELS / 1024; i++)
        assert_int_equal(expand(array_page), 0);
    assert_int_equal(expand(array_page), -ENOSPC);
}

static void test_reset_gives_the_pages_back(void **state)
{
    struct evtchn_reset op = {.dom = DOMID_SELF};
    uint32_t sender;

    start_fifo();
    connect(&sender);
    assert_true((array_page->type & PGT_count_mask) > 0);
    assert_int_equal(evtchn_op(b, EVTCHNOP_reset, &op), 0);
    assert_null(b->evtchn.fifo);
    assert_int_equal(array_page->type & PGT_count_mask, 0);
    assert_int_equal(control_page[0]->type & PGT_count_mask, 0);
    start_fifo();
    memset(words, 0, PAGE_SIZE);
    memset(control[0], 0, sizeof(*control[0]));
    uint32_t port = connect(&sender);
    assert_int_equal(send_to(a, sender), 0);
    assert_int_equal(consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT), port);
}

/* The guest scribbles over its words and control blocks between any two operations: only its own events
 * suffer. */
static void test_hostile_words(void **state)
{
    uint32_t sender[16], port[16];
    uint64_t random = 88172645463325252UL;

    start_fifo();
    for (int i = 0; i < 16; i++)
        port[i] = connect(&sender[i]);
    for (int i = 0; i < 200000; i++) {
        struct evtchn_unmask unmask;
        struct evtchn_bind_vcpu move;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        uint32_t n = random >> 8 & 15;
        switch (random & 7) {
        case 0:
            words[port[n]] = (uint32_t)(random >> 32);
            break;
        case 1:
            control[n & 1]->head[random >> 12 & 15] = (uint32_t)(random >> 32);
            control[n & 1]->ready = (uint32_t)(random >> 20);
            break;
        case 2:
            unmask.port = port[n];
            assert_int_equal(evtchn_op(b, EVTCHNOP_unmask, &unmask), 0);
            break;
        case 3:
            move = (struct evtchn_bind_vcpu){.port = port[n], .vcpu = random >> 12 & 1};
            assert_int_equal(evtchn_op(b, EVTCHNOP_bind_vcpu, &move), 0);
            break;
        default:
            assert_int_equal(send_to(a, sender[n]), 0);
        }
    }
    /* No lock was left behind, and a port that is put in order works. */
    memset(words, 0, PAGE_SIZE);
    memset(control[0], 0, sizeof(*control[0]));
    memset(control[1], 0, sizeof(*control[1]));
    struct evtchn_bind_vcpu home = {.port = port[5], .vcpu = 0};
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_vcpu, &home), 0);
    assert_int_equal(send_to(a, sender[5]), 0);
    assert_int_equal(consume(0, EVTCHN_FIFO_PRIORITY_DEFAULT), port[5]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_priorities, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moves_between_vcpus, setup, teardown),
        cmocka_unit_test_setup_teardown(test_masked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event_waits_for_its_page, setup, teardown),
        cmocka_unit_test_setup_teardown(test_linked_port_is_not_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_ports_than_2_level, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_gives_the_pages_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_words, setup, teardown),
    };

    fake_boot(2);
    fake_domain(true, 1, 64);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
