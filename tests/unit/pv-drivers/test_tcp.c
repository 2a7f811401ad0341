/*
 * The small kernel's TCP against a naive peer over a link that loses: the peer keeps what comes out of order and
 * acknowledges each segment, as Linux does without SACK. Time is a number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <string.h>

#include "../../../pv-drivers/guest/net.h"

#define QUEUE  512u
#define STREAM (1u << 20)
#define ROUND  (FE_SECOND / 1000)
#define FIN    1u
#define SYN    2u
#define ACK    16u

static struct net stack;
static uint64_t now;

static struct {
    uint8_t frame[QUEUE][1600];
    unsigned bytes[QUEUE];
    unsigned count;
} wire;

static struct {
    uint8_t data[STREAM + 65536];
    bool have[STREAM + 65536 + 1];
    uint32_t start, expected, window;
    bool connected, finished;
    unsigned segments, useless, data_segments;
} peer;

/* One in lose_every segments of each direction is lost; loses the number'th of the guest's data segments for certain. */
static unsigned lose_every, lose_number;

uint64_t fe_now(void)
{
    return now;
}

uint32_t net_sum(const uint8_t *p, size_t bytes, uint32_t start)
{
    return start + (uint32_t)bytes + p[0];
}

uint16_t net_fold(uint32_t value)
{
    return (uint16_t)value;
}

uint8_t *net_start(struct net *n, const uint8_t *mac, unsigned *number)
{
    *number = wire.count;
    return wire.count < QUEUE ? wire.frame[wire.count] : NULL;
}

void net_finish(struct net *n, unsigned number, uint32_t to, uint8_t protocol, unsigned payload, bool open)
{
    assert_int_equal(number, wire.count);
    assert_in_range(payload, 20, 1480);
    wire.bytes[wire.count++] = payload;
}

static void answer(unsigned flags, uint32_t sequence)
{
    uint8_t ip[40] = {0x45};
    if (lose_every && (unsigned)rand() % lose_every == 0)
        return;
    memcpy(ip + 12, &(uint32_t){0x0100090a}, 4);
    net_put16(ip + 20, 5001);
    net_put16(ip + 22, stack.session[0].local);
    net_put32(ip + 24, sequence);
    net_put32(ip + 28, peer.expected);
    ip[32] = 5 << 4;
    ip[33] = (uint8_t)flags;
    net_put16(ip + 34, peer.window);
    tcp_input(&stack, ip, 20, 40, (const uint8_t *)"peer..");
}

static void peer_data(uint32_t sequence, const uint8_t *data, unsigned bytes, bool fin)
{
    uint32_t at = sequence - peer.start - 1;
    unsigned fresh = 0;
    assert_true(at + bytes <= STREAM);
    for (unsigned i = 0; i < bytes; i++, at++) {
        fresh += !peer.have[at];
        if (peer.have[at])
            assert_int_equal(peer.data[at], data[i]);
        peer.data[at] = data[i];
        peer.have[at] = true;
    }
    fresh += fin && !peer.have[at];
    peer.have[at] = peer.have[at] || fin;
    peer.useless += fresh == 0;
    while (peer.have[peer.expected - peer.start - 1])
        peer.expected++;
    peer.finished = peer.expected - peer.start - 1 > STREAM;
}

static void peer_segment(const uint8_t *tcp, unsigned bytes)
{
    unsigned header = (tcp[12] >> 4) * 4u, flags = tcp[13], data = bytes - header;
    peer.segments++;
    if ((data && ++peer.data_segments == lose_number) || (lose_every && (unsigned)rand() % lose_every == 0))
        return;
    if (flags & SYN) {
        peer.start = net_get32(tcp + 4);
        peer.expected = peer.start + 1;
        peer.connected = true;
        answer(SYN | ACK, 7);
    } else if (peer.connected && (data || (flags & FIN))) {
        peer_data(net_get32(tcp + 4), tcp + header, data, flags & FIN);
        answer(ACK, 8);
    }
}

/* Sends STREAM bytes; the rounds (of a millisecond) that took, at most limit. */
static unsigned transfer(unsigned limit)
{
    unsigned rounds = 0;
    memset(&peer, 0, sizeof(peer));
    wire.count = 0;
    peer.window = 65535;
    memset(stack.session, 0, sizeof(stack.session));
    stack.session[0].data = malloc(TCP_BUFFER);
    stack.gateway = 0x0100090a;
    struct tcp_session *s = tcp_connect(&stack, stack.gateway, 5001, STREAM);
    assert_non_null(s);
    for (; s->state != TCP_FREE && rounds < limit; rounds++) {
        static typeof(wire) sent;
        now += ROUND;
        sent = wire;
        wire.count = 0;
        for (unsigned i = 0; i < sent.count; i++)
            peer_segment(sent.frame[i] + 34, sent.bytes[i]);
        tcp_run(&stack);
    }
    for (uint32_t i = 0; peer.finished && i < STREAM; i++)
        assert_int_equal(peer.data[i], '!' + i % 94);
    free(stack.session[0].data);
    return rounds;
}

static void without_loss(void **state)
{
    lose_every = lose_number = 0;
    assert_in_range(transfer(1000), 16, 60);
    assert_true(peer.finished);
    assert_int_equal(peer.useless, 0);
}

/* A lost segment once had everything after it sent again, and the answers to that had it sent again, and so on. */
static void one_lost_segment_is_sent_once_more(void **state)
{
    lose_every = 0;
    for (lose_number = 1; lose_number < 100; lose_number += 7) {
        assert_in_range(transfer(1000), 16, 60);
        assert_true(peer.finished);
        assert_int_equal(peer.useless, 0);
        assert_in_range(peer.segments, STREAM / TCP_MSS, STREAM / TCP_MSS + 10);
    }
    lose_number = 0;
}

static void many_lost_segments(void **state)
{
    lose_number = 0;
    for (unsigned seed = 1; seed <= 50; seed++) {
        srand(seed);
        lose_every = 3 + seed;
        transfer(1000000);
        assert_true(peer.finished);
        assert_in_range(peer.segments, STREAM / TCP_MSS, 3 * STREAM / TCP_MSS);
    }
    lose_every = 0;
}

/* The update that tells of an open window may be lost. */
static void a_shut_window_is_asked_after(void **state)
{
    memset(&peer, 0, sizeof(peer));
    memset(stack.session, 0, sizeof(stack.session));
    stack.session[0].data = malloc(TCP_BUFFER);
    wire.count = 0;
    struct tcp_session *s = tcp_connect(&stack, 0x0100090a, 5001, STREAM);
    peer_segment(wire.frame[0] + 34, wire.bytes[0]);
    assert_int_equal(s->state, TCP_ESTABLISHED);
    wire.count = 0;
    tcp_run(&stack);
    assert_int_equal(wire.count, 1); /* an acknowledgement, no data */
    now += FE_SECOND;
    wire.count = 0;
    tcp_run(&stack);
    assert_int_equal(wire.bytes[0], 20 + TCP_MSS);
    assert_int_equal(wire.count, 1);
    free(stack.session[0].data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_loss),
        cmocka_unit_test(one_lost_segment_is_sent_once_more),
        cmocka_unit_test(many_lost_segments),
        cmocka_unit_test(a_shut_window_is_asked_after),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
